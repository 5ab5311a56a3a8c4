"""Files that are replaced as a whole or not at all, and paths that can be written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mfa_sklearn import MFA
from mfa_sklearn._base import files
from mfa_sklearn._base.files import as_path, check_folder, check_writable, probe, reading, replacing


def test_replacing_leaves_nothing_behind_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            r"No space left on device; make room \([\d,]+ MiB are free there\)",
        ),
        (OSError(errno.ENOTDIR, "Not a directory"), "Not a directory; a file or a link is in its way: name"),
        (OSError("107776 requested and 5088 written"), "107776 requested and 5088 written; make room"),
        (OSError(errno.EFBIG, "File too large"), "File too large; .*ulimit -f"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system; name a place that you may write to"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied; name a place that you may write to"),
    ],
)
def test_what_cannot_be_written_is_named_with_a_remedy(tmp_path: Path, error: OSError, says: str) -> None:
    with (
        pytest.raises(OSError, match=rf"^cannot write '{tmp_path}/a\.csv': {says}") as caught,
        replacing(tmp_path / "a.csv"),
    ):
        raise error
    assert caught.value.errno == error.errno
    assert isinstance(caught.value, PermissionError) == isinstance(error, PermissionError)


def test_a_folder_that_vanished_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"cannot write '.*gone/a\.csv': No such file"),
        replacing(tmp_path / "gone" / "a.csv") as t,
    ):
        t.write_text("x")


def test_threads_that_write_one_file(tmp_path: Path) -> None:
    def write(number: int) -> None:
        with replacing(tmp_path / "a.csv") as temporary:
            temporary.write_text(str(number) * 1000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(40)))
    assert len(set((tmp_path / "a.csv").read_text())) <= 2 and os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("fallocate", [True, False])
def test_a_probe_of_the_size_to_come(tmp_path: Path, fallocate: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fallocate:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    sizes: list[int] = []
    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda p, **k: (sizes.append(p.stat().st_size), unlink(p, **k))[1])
    probe(tmp_path, 2_500_000)
    probe(tmp_path)
    assert sizes == [2_500_000, 4096] and os.listdir(tmp_path) == []


def test_files_that_may_not_become_as_large(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from pathlib import Path; from mfa_sklearn._base.files import probe\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))\n"
        "probe(Path(sys.argv[1]), 40_000)\n"
        "try:\n    probe(Path(sys.argv[1]), 60_000)\nexcept OSError as error:\n    print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert found.stdout.startswith(f"cannot write '{tmp_path}': File too large; files may not become that large there")
    assert os.listdir(tmp_path) == []


def test_a_file_that_exists_is_not_overwritten_without_being_told(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    assert check_writable(target, overwrite=False) == target
    target.write_text("mine")
    with pytest.raises(
        FileExistsError, match=r"it exists; name another file, or overwrite=True \(on the command line: --force\)"
    ):
        check_writable(target, overwrite=False)
    assert check_writable(target, overwrite=True) == target and target.read_text() == "mine"


def test_a_place_that_cannot_be_written_to_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_allocate", full)
    with pytest.raises(OSError, match=rf"cannot write '{tmp_path}': No space left"):
        check_writable(tmp_path / "a.csv")
    assert os.listdir(tmp_path) == []


def test_temporary_files_of_killed_writers_of_the_same_file_go(tmp_path: Path) -> None:
    for name in (".a.4194399.csv", ".b.4194399.csv", ".probe.4194399"):
        (tmp_path / name).write_text("x")
    check_writable(tmp_path / "a.csv")
    assert os.listdir(tmp_path) == [".b.4194399.csv"]


def test_folders_with_earlier_results_and_with_what_killed_runs_left(tmp_path: Path) -> None:
    for name in (".mark.4194399.json", ".mfa-sklearn.lock", ".probe.4194399"):
        (tmp_path / name).write_text("x")
    assert check_folder(tmp_path, "mark.json", overwrite=False) == tmp_path
    (tmp_path / "part.npy").write_text("x")
    assert check_folder(tmp_path, "mark.json", left="part.npy".__eq__) == tmp_path
    with pytest.raises(FileExistsError, match=r"holds other things \(\['part\.npy'\]"):
        check_folder(tmp_path, "mark.json")
    (tmp_path / "mark.json").write_text("x")
    assert check_folder(tmp_path, "mark.json") == tmp_path
    with pytest.raises(FileExistsError, match="holds an earlier result; name another folder, or overwrite=True"):
        check_folder(tmp_path, "mark.json", overwrite=False)


def test_what_is_no_path() -> None:
    assert as_path("folder", "a") == Path("a") == as_path("folder", Path("a"))
    for value in (None, 3, ["a"], b"a"):
        with pytest.raises(TypeError, match=r"folder=.* must be a path: give a string or a pathlib\.Path"):
            as_path("folder", value)  # type: ignore[arg-type]


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
