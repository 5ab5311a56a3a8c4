"""Folders of saved mixtures: replaced as a whole, and refused where damaged or foreign."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from persistence_cases import assert_same, fitted, random_numbers

from mfa_sklearn import MFA
from mfa_sklearn._base import files
from mfa_sklearn.mixture._saving.folder import reserved


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
        (edit(format_version=True), "format_version True"),
        (edit(values=None), "lacks 'values' or 'arrays'"),
        (edit(arrays={}), "is not the file that config.json describes: .*expected None bytes and None"),
        (edit(arrays={"sha256": "/../../../etc/passwd"}), "is not the file that config.json describes"),
        (edit(versions="new"), "config.json' was changed after it was written"),
        (
            lambda folder: (folder / "config.json").write_text("[" * 100_000),
            "config.json is not JSON .*nested too deeply",
        ),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe{}"), "config.json is not JSON"),
        (lambda folder: (folder / "config.json").write_text('{"a": NaN}'), "config.json is not JSON .*NaN"),
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


def counting(monkeypatch: pytest.MonkeyPatch, before=lambda n: None, after=lambda n: None) -> list[object]:
    """Changes of names are counted, and something is done before and after each."""
    calls: list[object] = []

    def counted(original):
        def change(*args, **kwargs):
            calls.append(args)
            number = len(calls)
            before(number)
            result = original(*args, **kwargs)
            after(number)
            return result

        return change

    for module, name in ((os, "replace"), (os, "rename"), (Path, "unlink")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    return calls


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("at", range(1, 10))
def test_interrupted_anywhere_the_old_or_the_new_is_there(tmp_path, monkeypatch, at, after):
    old, new = fitted(), fitted(n_factors=1)
    old.save_pretrained(tmp_path)

    def stop(number: int) -> None:
        if number == at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        counting(patched, **{"after" if after else "before": stop})
        with suppress(KeyboardInterrupt):
            new.save_pretrained(tmp_path)
    loaded = MFA.from_pretrained(tmp_path)
    assert_same(old if loaded.n_factors == 2 else new, loaded)
    old.save_pretrained(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]
    assert_same(old, MFA.from_pretrained(tmp_path))


@pytest.mark.parametrize("at", range(1, 8))
def test_killed_anywhere_the_old_or_the_new_is_there(tmp_path, monkeypatch, at):
    """As a kill leaves it: nothing after the change of a name is done any more, tidying up included."""
    old, new = fitted(), fitted(n_factors=1)
    old.save_pretrained(tmp_path / "mixture")

    def copy(number: int) -> None:
        if number == at:
            shutil.copytree(tmp_path / "mixture", tmp_path / "left")

    calls = counting(monkeypatch, after=copy)
    new.save_pretrained(tmp_path / "mixture")
    monkeypatch.undo()
    if len(calls) < at:
        return
    loaded = MFA.from_pretrained(tmp_path / "left")
    assert_same(old if loaded.n_factors == 2 else new, loaded)
    new.save_pretrained(tmp_path / "left")
    assert sorted(os.listdir(tmp_path / "left")) == ["config.json", "model.safetensors"]


def test_a_first_save_that_was_killed_does_not_stand_in_the_way(tmp_path):
    fitted().save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    (tmp_path / ".config.4194399.json").write_text("{")
    with pytest.raises(FileNotFoundError, match=r"config\.json does not exist"):
        MFA.from_pretrained(tmp_path)
    fitted().save_pretrained(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]
    (tmp_path / "config.json").unlink()
    safetensors.numpy.save_file({"a": np.ones(3)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FileExistsError, match=r"holds other things \(\['model\.safetensors'\]"):
        fitted().save_pretrained(tmp_path)


def test_temporary_files_of_killed_runs_go_and_others_stay(tmp_path):
    fitted().save_pretrained(tmp_path)
    gone = [".model.safetensors.4194399", ".config.4194399.json", f".model-{'0' * 16}.safetensors"]
    for name in [*gone, ".notes.txt"]:
        (tmp_path / name).write_text("x")
    fitted().save_pretrained(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".notes.txt", "config.json", "model.safetensors"]


def test_a_mixture_is_kept_where_it_is_not_to_be_overwritten(tmp_path):
    old = fitted()
    old.save_pretrained(tmp_path, overwrite=False)
    with pytest.raises(
        FileExistsError, match=r"holds an earlier result; name another folder, or overwrite=True .*--force"
    ):
        fitted(n_factors=1).save_pretrained(tmp_path, overwrite=False)
    assert_same(old, MFA.from_pretrained(tmp_path))


def test_a_failed_write_names_the_file_and_not_a_temporary_one(tmp_path, monkeypatch):
    fitted().save_pretrained(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(OSError, match=rf"^cannot write '{tmp_path}/model\.safetensors': No space left; make room"):
        fitted(n_factors=1).save_pretrained(tmp_path)
    assert_same(fitted(), MFA.from_pretrained(tmp_path))


def test_threads_that_save_into_one_folder(tmp_path):
    mixtures = [fitted(n_factors=1), fitted(n_factors=3)]

    def save(mfa: MFA) -> None:
        for _ in range(5):
            with suppress(BlockingIOError):
                mfa.save_pretrained(tmp_path)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(save, mixtures))
    loaded = MFA.from_pretrained(tmp_path)
    assert_same(mixtures[0] if loaded.n_factors == 1 else mixtures[1], loaded)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]


def test_folders_that_are_none(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="is a file: give the folder that save_pretrained wrote"):
        MFA.from_pretrained(tmp_path / "file")
    for call in (MFA.from_pretrained, fitted().save_pretrained):
        with pytest.raises(TypeError, match="directory=None must be a path"):
            call(None)
    fitted().save_pretrained(tmp_path / "mixture")
    (tmp_path / "mixture" / "model.safetensors").unlink()
    (tmp_path / "mixture" / "model.safetensors").mkdir()
    with pytest.raises(ValueError, match=r"model\.safetensors is a folder, expected a file"):
        MFA.from_pretrained(tmp_path / "mixture")


def test_room_is_asked_for_where_a_size_is_known(tmp_path, monkeypatch):
    def full(_, n_bytes: int) -> None:
        raise OSError(errno.ENOSPC, f"no room for {n_bytes}")

    monkeypatch.setattr(files, "_allocate", full)
    with (
        pytest.raises(OSError, match=r"cannot write '.*new': no room for 5000; make room"),
        reserved(tmp_path / "new", n_bytes=5000),
    ):
        pytest.fail("there was room")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(tmp_path, name):
    fitted().save_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        MFA.from_pretrained(tmp_path)
