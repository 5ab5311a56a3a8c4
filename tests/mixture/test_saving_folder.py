"""Folders of saved mixtures: replaced as a whole, and refused where damaged or foreign."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from persistence_cases import assert_same, fitted, random_numbers

from mfa_sklearn import MFA


def test_saved_mixture_is_replaced_and_its_neighbors_stay(tmp_path):
    fitted().save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("mine")
    other = fitted(n_factors=3)
    other.save_pretrained(tmp_path)
    assert_same(other, MFA.from_pretrained(tmp_path))
    assert (tmp_path / "README.md").read_text() == "mine"


def test_attribute_that_no_file_can_hold_is_named(tmp_path):
    mfa = fitted()
    mfa.source_ = {"model": object()}
    with pytest.raises(TypeError, match="source_ cannot be saved"):
        mfa.save_pretrained(tmp_path)
    assert os.listdir(tmp_path) == []


def test_foreign_folder_is_not_written_into(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(FileExistsError, match=r"holds other things .*config\.json.*format is None"):
        fitted().save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        fitted().save_pretrained(tmp_path)
    with pytest.raises(FileExistsError, match="is a file"):
        fitted().save_pretrained(tmp_path / "notes.txt")
    assert os.listdir(tmp_path) == ["notes.txt"] and (tmp_path / "notes.txt").read_text() == "mine"


def test_failed_writing_leaves_the_old_mixture(tmp_path, monkeypatch):
    old = fitted()
    old.save_pretrained(tmp_path)
    new = fitted(n_factors=1)

    def full(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OSError, match="no space"):
            new.save_pretrained(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]
    assert_same(old, MFA.from_pretrained(tmp_path))


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def flip_a_bit(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


def truncate_config(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text()[:-40])


def edit(**changes):
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def edit_value(name: str, value):
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        config["values"][name] = value
        path.write_text(json.dumps(config))

    return damage


def other_arrays(content: bytes):
    """Arrays that are not a mixture's, under a checksum that is right."""

    def damage(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(content)
        entry = {"file": "model.safetensors", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        edit(arrays=entry)(folder)

    return damage


def arrays_with(**changes) -> bytes:
    weights, means, loadings, noise = random_numbers(shared=True)
    arrays = {"weights_": weights, "means_": means, "loadings_": loadings, "noise_variance_": noise}
    return safetensors.numpy.save({**arrays, **changes})


@pytest.mark.parametrize(
    "damage, message",
    [
        (truncate, "model.safetensors is not the file that config.json describes: it has .* bytes and SHA-256"),
        (flip_a_bit, "model.safetensors is not the file that config.json describes"),
        (truncate_config, "config.json is not JSON"),
        (edit(format="other"), "config.json is not of a saved mixture: its format is 'other'"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "its format is 'list'"),
        (edit(format_version=2), "format_version 2, but this version .* reads up to 1; upgrade"),
        (edit(format_version="1"), "format_version '1'"),
        (edit(values=None), "lacks 'values' or 'arrays'"),
        (edit(arrays=3), "lacks 'values' or 'arrays'"),
        (edit_value("future_parameter", 1), "written by .*future_parameter"),
        (edit_value("__class___", 1), "'__class___' is not the name of a learned attribute"),
        (other_arrays(b"nonsense"), "model.safetensors is not a safetensors file"),
        (other_arrays(safetensors.numpy.save({"a": np.ones(3)})), r"weights must be an array"),
        (other_arrays(arrays_with(means_=np.full((3, 4), np.nan))), "means holds NaN"),
        (other_arrays(arrays_with(means_=np.ones((3, 5)))), "shapes do not fit together"),
        (other_arrays(arrays_with(noise_variance_=np.zeros(4))), "noise_variance must be positive"),
    ],
)
def test_damaged_and_foreign_files_are_refused(tmp_path, damage, message):
    fitted().save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        MFA.from_pretrained(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(tmp_path, name):
    fitted().save_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        MFA.from_pretrained(tmp_path)
