"""Which files of a folder are read, in which order, and what is told of the others."""

from __future__ import annotations

import os
from pathlib import PurePath

import numpy as np
import pytest

from mfa_sklearn import open_activations
from mfa_sklearn.activations._foreign.files import files_of


def saved(folder, *names):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        np.save(folder / name, np.full((2, 3), number))
    return folder


def test_files_are_in_the_order_of_their_numbers(tmp_path):
    names = ["a-1.npy", "a-2.npy", "a-10.npy", "a-10b.npy", "b.npy"]
    saved(tmp_path, *reversed(names))
    assert [file.name for file in files_of(tmp_path)] == names
    assert open_activations(tmp_path)[:, :][:, 0].tolist() == [4, 4, 3, 3, 2, 2, 1, 1, 0, 0]


def test_hidden_files_and_what_comes_with_any_folder_is_quiet(tmp_path):
    saved(tmp_path, "x.npy")
    for name in (".x.npy", "_metadata", "README.md", "config.json", "x.npy.lock"):
        (tmp_path / name).write_text("{}")
    assert [file.name for file in files_of(tmp_path)] == ["x.npy"]


def test_other_files_are_told(tmp_path):
    saved(tmp_path, "x.npy")
    (tmp_path / "y.csv").write_text("a,b")
    (tmp_path / "more").mkdir()
    with pytest.warns(
        UserWarning, match=r"holds 2 things besides, left out \('more', 'y.csv'\): read are files that end in"
    ):
        files_of(tmp_path)


def test_many_files_are_not_compared_with_each_other(tmp_path, monkeypatch):
    for number in range(200):
        (tmp_path / f"{number}.npy").touch()
    compared, equal = [], PurePath.__eq__
    monkeypatch.setattr(PurePath, "__eq__", lambda self, other: compared.append(self) or equal(self, other))
    assert len(files_of(tmp_path)) == 200 and len(compared) < 2000


def test_nothing_to_read_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"holds no activations \(no file\): read are files that end in .npy"):
        open_activations(tmp_path)
    (tmp_path / "x.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds no activations \('x.h5'\)"):
        open_activations(tmp_path)
    with pytest.raises(ValueError, match=r"cannot read '.*x.h5': read are files"):
        open_activations(tmp_path / "x.h5")
    with pytest.raises(ValueError, match=r"there is no '.*nowhere.npy'"):
        open_activations(tmp_path / "nowhere.npy")


def test_several_formats_are_not_mixed(tmp_path):
    saved(tmp_path, "x.npy")
    (tmp_path / "x.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"files of several formats, .npy and .pt: keep one"):
        open_activations(tmp_path)


def test_links_to_files_are_followed_and_to_nothing_told(tmp_path):
    saved(tmp_path / "blobs", "x.npy")
    (tmp_path / "acts").mkdir()
    (tmp_path / "acts" / "a.npy").symlink_to(tmp_path / "blobs" / "x.npy")
    assert open_activations(tmp_path / "acts").shape == (2, 3)
    (tmp_path / "acts" / "b.npy").symlink_to(tmp_path / "gone.npy")
    with pytest.raises(ValueError, match=r"there is no '.*b.npy', where its link leads"):
        open_activations(tmp_path / "acts")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    for path in (tmp_path, tmp_path / "x.npy"):
        with pytest.raises(ValueError, match=r"x.npy' is no regular file"):
            open_activations(path)


def test_names_are_shown_and_not_obeyed(tmp_path):
    """A name may hold what a terminal would obey."""
    name = "x\x1b[31m.npy"
    (tmp_path / name).write_bytes(b"none")
    with pytest.raises(ValueError) as caught:
        open_activations(tmp_path)
    assert "\x1b" not in str(caught.value) and "x\\x1b[31m.npy" in str(caught.value)
