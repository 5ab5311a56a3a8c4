"""Runs that write a store: alone in their folder, interrupted anywhere, and never at the cost of what was there."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_stores import LABELS, SOURCE, TEXTS, stopped_at, token_rows

from mfa_sklearn import MFA, ActivationStore, KMeansInitializer
from mfa_sklearn._base import files
from mfa_sklearn._base.leftovers import LOCK_NAME
from mfa_sklearn.activations._row_plan import LayerRows
from mfa_sklearn.activations._store_run import check_place
from mfa_sklearn.activations._store_writer import write_store


def write(path: Path, extract: Callable[..., LayerRows] = token_rows, texts: list[str] = TEXTS, **options: Any) -> Any:
    return write_store(path, extract, {}, SOURCE, texts, LABELS[: len(texts)], shard_size=7, **options)


def rows(path: Path) -> np.ndarray:
    store = ActivationStore(path)
    assert store.complete and store.verify()
    return np.asarray(store[7])


def names(path: Path) -> set[str]:
    return set(os.listdir(path))


OTHERS = TEXTS[::-1]


# ---------------------------------------------------------------- two runs


def test_a_second_run_is_refused_while_the_first_writes(tmp_path: Path) -> None:
    said: list[str] = []

    def other() -> None:
        try:
            write(tmp_path / "new", texts=OTHERS)
        except OSError as error:
            said.append(str(error))

    def extract(texts: list[str], labels: Any, first: int) -> LayerRows:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return token_rows(texts, labels, first)

    store = write(tmp_path / "new", extract)
    assert len(said) == 5 and all("another thread of this process" in text for text in said)
    assert store.complete and list(store.texts) == TEXTS and LOCK_NAME not in names(tmp_path / "new")


RUN = """
import sys, time
from pathlib import Path
from tiny_stores import LABELS, SOURCE, TEXTS, token_rows
from mfa_sklearn.activations._store_writer import write_store
def is_written(number):
    name = f'"shard-{number:05d}{"b" if sys.argv[3] == "anew" else ""}"'
    return any(name in path.read_text() for path in Path(sys.argv[1]).glob("[!.]*.json"))
def extract(texts, labels, first):
    while first and not is_written(first // 7 - 1):  # which goes on behind this
        time.sleep(0.01)
    print(first, flush=True)
    sys.stdin.readline()
    return token_rows(texts, labels, first)
texts = TEXTS[::-1] if sys.argv[2] == "others" else TEXTS
write_store(sys.argv[1], extract, {}, SOURCE, texts, LABELS, shard_size=7, resume=sys.argv[3] == "resume")
"""


def running(path: Path, texts: str = "same", resume: str = "resume") -> subprocess.Popen[str]:
    """A run in another process that waits in each part for a line."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parents[2], Path(__file__).parents[1])))
    }
    command = [sys.executable, "-c", RUN, str(path), texts, resume]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def killed_after(process: subprocess.Popen[str], parts: int) -> None:
    assert process.stdin is not None and process.stdout is not None
    for _ in range(parts):
        process.stdout.readline()
        process.stdin.write("\n")
        process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_run_that_is_killed_is_gone_on_with(tmp_path: Path) -> None:
    process = running(tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(BlockingIOError, match=rf"another run is writing there \(process {process.pid} on "):
        write(tmp_path, texts=OTHERS)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    killed_after(process, 0)
    assert ActivationStore(tmp_path).manifest["shards"][-1]["texts"] == [0, 7] and LOCK_NAME in names(tmp_path)
    with pytest.raises(ValueError, match="holds activations of other texts"):
        write(tmp_path, texts=OTHERS)
    assert write(tmp_path, stopped_at(0, RuntimeError("extracted again"))).complete
    assert LOCK_NAME not in names(tmp_path)


def test_of_a_run_killed_in_its_first_part_nothing_is_left(tmp_path: Path) -> None:
    killed_after(running(tmp_path, "others"), 0)
    (tmp_path / "shard-00000.layer-3.npy").write_bytes(b"of another layer")
    (tmp_path / ".shard-00000.layer-7.4194399.npy").write_bytes(b"half")
    assert write(tmp_path).complete
    assert not [name for name in names(tmp_path) if name.startswith(".") or "layer-3" in name]


def test_a_kill_while_a_store_is_replaced_leaves_the_old_one(tmp_path: Path) -> None:
    old = np.asarray(write(tmp_path)[7])
    killed_after(running(tmp_path, "others", "anew"), 2)
    np.testing.assert_array_equal(rows(tmp_path), old)
    assert write(tmp_path, stopped_at(0, RuntimeError("the old one is there"))).complete
    replaced = write(tmp_path, stopped_at(7, RuntimeError("begun again")), OTHERS)
    assert list(replaced.texts) == OTHERS and replaced.verify()


# ---------------------------------------------------------------- replacing


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ValueError("x"), OSError(errno.ENOSPC, "No space left on device")]
)
@pytest.mark.parametrize("part", [0, 1, 4])
def test_the_old_store_stays_until_the_new_one_is_whole(tmp_path: Path, part: int, error: BaseException) -> None:
    old = np.asarray(write(tmp_path)[7])
    with pytest.raises(type(error)):
        write(tmp_path, stopped_at(7 * part, error), OTHERS, resume=False)
    np.testing.assert_array_equal(rows(tmp_path), old)
    if part:
        new = write(tmp_path, stopped_at(0, RuntimeError("begun again")), OTHERS)
    else:
        assert not [name for name in names(tmp_path) if "b." in name or "next" in name]
        new = write(tmp_path, texts=OTHERS, resume=False)
    assert list(new.texts) == OTHERS and new.verify()
    assert len({name.partition(".")[0] for name in names(tmp_path)}) == 6  # five parts and the manifest


def test_a_store_is_replaced_again_and_again(tmp_path: Path) -> None:
    for texts in (TEXTS, OTHERS, TEXTS[:9], OTHERS, TEXTS):
        store = write(tmp_path, texts=texts, resume=False)
        assert list(store.texts) == texts and store.verify()
        assert len(names(tmp_path)) == 1 + store.verify()


@pytest.mark.parametrize("at", range(4))
def test_interrupted_where_the_new_store_takes_the_place(
    tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = np.asarray(write(tmp_path)[7])
    unlink, calls = Path.unlink, []

    def stopping(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".npy" or path.name == "manifest.next.json":
            calls.append(path)
            if (
                (tmp_path / "manifest.json").exists()
                and len(calls) > 3 * at
                and (tmp_path / "shard-00004b.texts.json").exists()
            ):
                raise KeyboardInterrupt
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", stopping)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, texts=OTHERS, resume=False)
    found = ActivationStore(tmp_path)
    assert list(found.texts) == OTHERS or np.array_equal(found[7], old)
    assert list(write(tmp_path, texts=OTHERS).texts) == OTHERS
    assert len(names(tmp_path)) == 1 + ActivationStore(tmp_path).verify()


# ---------------------------------------------------------------- interrupts, full disks


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (0, r"none of 30 texts is kept in .*see shard_size"),
        (2, r"14 of 30 texts are kept in '.*'; to go on, do the same"),
    ],
)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_what_is_kept_is_told(tmp_path: Path, part: int, says: str, error: BaseException) -> None:
    with pytest.raises(type(error), match=says):
        write(tmp_path / "new", stopped_at(7 * part, error))
    assert (tmp_path / "new").exists() == (part > 0)
    assert write(tmp_path / "new").complete


def test_of_a_replacement_it_is_told_how_to_go_on(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(KeyboardInterrupt, match="beside the earlier store; to go on, do the same without resume=False"):
        write(tmp_path, stopped_at(14, KeyboardInterrupt()), OTHERS, resume=False)


def test_a_full_disk_is_told_before_anything_is_extracted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_allocate", full)
    with pytest.raises(
        OSError, match=rf"cannot write '{tmp_path}/new': No space left on device; make room \(.* MiB are free"
    ):
        write(tmp_path / "new", stopped_at(0, RuntimeError("extracted")))
    assert names(tmp_path) == set()


def test_room_for_the_first_part_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(files, "_allocate", lambda _, n_bytes: asked.append(n_bytes))
    write(tmp_path, least_bytes=123_456)
    assert asked == [123_456]


def test_a_failed_write_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        np, "save", lambda *_, **__: (_ for _ in ()).throw(OSError("107776 requested and 5088 written"))
    )
    with pytest.raises(OSError, match=r"shard-00000\.layer-7\.npy': 107776 requested and 5088 written; make room"):
        write(tmp_path)


# ---------------------------------------------------------------- what is there


def test_other_things_are_not_written_among(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(
        FileExistsError, match=r"holds other things \(\['notes\.txt'\]; .*name a new or an empty folder"
    ):
        write(tmp_path)
    with pytest.raises(FileExistsError, match="holds other things"):
        write(tmp_path, resume=False)
    assert names(tmp_path) == {"notes.txt"}


def test_parts_that_lost_their_manifest_are_not_written_over(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "manifest.json").unlink()
    before = names(tmp_path)
    with pytest.raises(FileExistsError, match="holds other things"):
        write(tmp_path, texts=OTHERS)
    assert names(tmp_path) == before


def test_a_damaged_manifest_is_not_replaced(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    for resume in (True, False):
        with pytest.raises(ValueError, match=r"manifest\.json' is damaged .*delete the store and extract again"):
            write(tmp_path, resume=resume)


def empty_rows(texts: list[str], labels: Any, first: int) -> LayerRows:
    found = token_rows(texts, labels, first)
    facts = {name: fact[:0] for name, fact in found.facts.items()}
    return LayerRows([found.layers[0][:0]], facts, found.texts, {})


def test_a_run_is_not_gone_on_with_where_parts_were_lost(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, stopped_at(21, KeyboardInterrupt()))
    (tmp_path / "shard-00001.layer-7.npy").unlink()
    with pytest.raises(ValueError, match=r"shard-00001\.layer-7\.npy' cannot be read"):
        write(tmp_path, stopped_at(21, RuntimeError("extracted")))
    assert write(tmp_path, resume=False).verify()


def test_a_selection_of_nothing_leaves_no_store(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="chooses no token of the 30 texts: choose more tokens"):
        write(tmp_path / "new", empty_rows)
    assert names(tmp_path) == set()
    assert write(tmp_path / "new", texts=OTHERS).complete
    with pytest.raises(ValueError, match="chooses no token"):
        write(tmp_path / "new", empty_rows, resume=False)
    assert list(ActivationStore(tmp_path / "new").texts) == OTHERS and len(rows(tmp_path / "new"))


def test_a_first_part_that_fails_does_not_stand_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mended"):
        write(tmp_path / "new", stopped_at(0, ValueError("can be mended")))
    assert names(tmp_path) == set()
    assert write(tmp_path / "new", texts=OTHERS).complete


@pytest.mark.parametrize("resume", [True, False])
def test_temporary_files_of_killed_runs_go(tmp_path: Path, resume: bool) -> None:
    write(tmp_path)
    for name in (".shard-00001.layer-7.4194399.npy", ".manifest.4194399.json", ".notes.4194399.txt"):
        (tmp_path / name).write_bytes(b"x")
    write(tmp_path, resume=resume)
    assert {name for name in names(tmp_path) if name.startswith(".")} == {".notes.4194399.txt"}


def test_a_finished_store_that_may_not_be_written_to_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)

    def refuse(*_: Any) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("mfa_sklearn._base.locks.os.open", refuse)
    assert write(tmp_path, stopped_at(0, RuntimeError("extracted"))).complete


def test_numbers_of_numpy_are_the_plain_ones(tmp_path: Path) -> None:
    def run(length: Any) -> ActivationStore:
        return write_store(tmp_path, token_rows, {"max_length": length}, SOURCE, TEXTS, LABELS)

    assert run(np.int64(5)).manifest == run(5).manifest
    with pytest.raises(ValueError, match="other texts, labels or parameters"):
        run(6)


# ---------------------------------------------------------------- fits of a part


@pytest.fixture
def part(tmp_path: Path) -> ActivationStore:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, stopped_at(14, KeyboardInterrupt()))
    return ActivationStore(tmp_path)


@pytest.mark.parametrize(
    "fit",
    [
        lambda store: MFA(2, 1, max_iter=2, tol=0).fit(store),
        lambda store: MFA(2, 1, max_iter=2, tol=0).fit(store[7]),
        lambda store: MFA(2, 1, max_iter=2, tol=0).partial_fit(store.open()),
        lambda store: KMeansInitializer(2).fit(store),
        lambda store: MFA(2, 1, max_iter=2, tol=0).fit(store.load()),
    ],
)
def test_a_fit_of_an_interrupted_store_warns(part: ActivationStore, fit: Callable[[Any], Any]) -> None:
    with pytest.warns(UserWarning, match=r"of an interrupted extraction, 14 of 30 texts of '"):
        fit(part)


@pytest.mark.filterwarnings("error:.*interrupted extraction")
def test_looking_at_a_part_and_fitting_the_whole_do_not(part: ActivationStore) -> None:
    assert len(part[7][:3]) == 3 and "incomplete" in repr(part)
    MFA(2, 1, max_iter=2, tol=0).fit(write(part.directory))


def test_the_manifest_says_what_it_holds(tmp_path: Path) -> None:
    manifest = json.loads((write(tmp_path).directory / "manifest.json").read_text())
    for shard in manifest["shards"]:
        for name, entry in shard["files"].items():
            assert (tmp_path / f"{shard['name']}.{name}").stat().st_size == entry["bytes"]


def test_a_folder_of_another_program_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "a web app"}')
    for refuse in (lambda: write(tmp_path), lambda: check_place(tmp_path)):
        with pytest.raises(FileExistsError, match="holds other things"):
            refuse()
    assert names(tmp_path) == {"manifest.json"}


def test_a_place_is_checked_before_there_are_texts(tmp_path: Path) -> None:
    check_place(tmp_path / "new" / "folder")
    assert not names(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds other things"):
        check_place(tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        check_place(tmp_path / "notes.txt")
    write(tmp_path / "store")
    check_place(tmp_path / "store")
