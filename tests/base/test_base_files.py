"""Files that are replaced as a whole or not at all, and paths that can be written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mfa_sklearn import MFA
from mfa_sklearn._base.files import check_folder, check_writable, reading, replacing


def test_replacing_leaves_nothing_behind_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_check_writable(tmp_path: Path) -> None:
    assert check_writable(tmp_path / "a.CSV", (".csv",)) == tmp_path / "a.CSV"
    with pytest.raises(ValueError, match="it is a folder"):
        check_writable(tmp_path)


SMALL = MFA.from_params([1.0], [[0.0, 2.0]], [[[1.0], [1.0]]], [0.5, 0.5])


def test_folders_are_told_by_the_file_that_results_have(tmp_path: Path) -> None:
    for free in (tmp_path / "new", tmp_path):
        assert check_folder(free, "mark.json") == free
    (tmp_path / "mark.json").write_text("{}")
    assert check_folder(tmp_path, "mark.json") == tmp_path
    with pytest.raises(FileExistsError, match="it is a file, name a folder"):
        check_folder(tmp_path / "mark.json", "mark.json")
    with pytest.raises(FileExistsError, match=r"holds other things \(\['mark.json'\]; .*name a new or an empty folder"):
        check_folder(tmp_path, "other.json")


def test_a_file_of_the_name_may_be_another_programs(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        if path.read_text() != "ours":
            raise ValueError(f"{path} is theirs")

    (tmp_path / "mark").write_text("theirs")
    with pytest.raises(FileExistsError, match="mark is theirs"):
        check_folder(tmp_path, "mark", read)
    (tmp_path / "mark").write_text("ours")
    assert check_folder(tmp_path, "mark", read) == tmp_path


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_mixture_is_whole_or_absent(allowed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, calls = os.replace, []

    def full(*names: str) -> None:
        calls.append(names)
        if len(calls) > allowed:
            raise OSError("no space left")
        replace(*names)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        SMALL.save_pretrained(tmp_path)
    assert os.listdir(tmp_path) == ["model.safetensors"][:allowed]
    monkeypatch.undo()
    SMALL.save_pretrained(tmp_path / "again")
    assert sorted(os.listdir(tmp_path / "again")) == ["config.json", "model.safetensors"]
    np.testing.assert_array_equal(MFA.from_pretrained(tmp_path / "again").means_, SMALL.means_)


@pytest.mark.parametrize(
    "error",
    [
        EOFError("cut"),
        KeyError("d/f.json"),
        TypeError(),
        RecursionError("deep"),
        IndexError("at"),
        MemoryError(),
        OSError("bad"),
    ],
)
def test_whatever_a_parser_raises_names_the_file(error: Exception) -> None:
    with (
        pytest.raises(ValueError, match=r"'d/f\.json' cannot be read as a list: .+") as caught,
        reading("d/f.json", "a list"),
    ):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [ValueError("f.json has no end"), FileNotFoundError(2, "none", "other"), ImportError("x")]
)
def test_an_error_that_says_enough_is_left_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, reading("f.json", "a list"):
        raise error
    assert caught.value is error


def test_an_interrupt_is_no_damage() -> None:
    with pytest.raises(KeyboardInterrupt), reading("f.json", "a list"):
        raise KeyboardInterrupt
