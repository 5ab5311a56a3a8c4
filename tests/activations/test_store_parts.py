"""Several processes write one store: byte for byte that of one, in any order, and never mixed with another run."""

from __future__ import annotations

import errno
import itertools
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
from tiny_stores import LABELS, NEVER, SOURCE, TEXTS, content, stopped_at, token_rows

from mfa_sklearn import MFA, ActivationStore
from mfa_sklearn._base import files
from mfa_sklearn._base.leftovers import LOCK_NAME, lock_name
from mfa_sklearn._base.stored import own_digest, with_digest
from mfa_sklearn.activations._part import ALL, Part
from mfa_sklearn.activations._row_plan import LayerRows
from mfa_sklearn.activations._store_parts import parts_told
from mfa_sklearn.activations._store_writer import write_store

OTHERS = TEXTS[::-1]


def write(path: Path, part: Part = ALL, texts: list[str] = TEXTS, extract: Any = token_rows, **options: Any) -> Any:
    settings = options.pop("settings", {})
    return write_store(path, extract, settings, SOURCE, texts, LABELS, shard_size=4, part=part, **options)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every file of the store of one process; eight shards, the last one smaller."""
    path = tmp_path_factory.mktemp("one")
    write(path)
    return content(path)


# ---------------------------------------------------------------- one store


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (2, 0, 1), (3, 2, 1, 0), tuple(range(11))])
def test_parts_in_any_order_give_the_store_of_one(
    tmp_path: Path, one: dict[str, bytes], order: tuple[int, ...]
) -> None:
    for done, number in enumerate(order, 1):
        store = write(tmp_path, Part(number, len(order)))
        left = set(order[done:]) & set(range(8))  # of eleven parts, three have nothing to do
        assert store.missing_parts == tuple(sorted(left)) and store.complete == (not left)
    assert content(tmp_path) == one
    assert ActivationStore(tmp_path).verify() == len(one) - 1


def test_parts_side_by_side_in_threads(tmp_path: Path, one: dict[str, bytes]) -> None:
    threads = [threading.Thread(target=write, args=(tmp_path, Part(i, 3))) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content(tmp_path) == one


def test_a_whole_store_is_given_to_any_part(tmp_path: Path) -> None:
    write(tmp_path)
    for part in (Part(1, 3), Part(0, 2), ALL):
        assert write(tmp_path, part, extract=NEVER).complete


RUN = """
import sys, time
from pathlib import Path
from tiny_stores import LABELS, SOURCE, TEXTS, token_rows
from mfa_sklearn.activations._part import Part
from mfa_sklearn.activations._store_writer import write_store
number, total, waits = map(int, sys.argv[2:])
def is_written(shard):
    manifest = Path(sys.argv[1]) / f"manifest.part-{number}-of-{total}.json"
    return manifest.exists() and f'"shard-{shard:05d}"' in manifest.read_text()
def extract(texts, labels, first):
    if waits:
        while first // 4 >= total and not is_written(first // 4 - total):  # which goes on behind this
            time.sleep(0.01)
        print(first, flush=True)
        sys.stdin.readline()
    return token_rows(texts, labels, first)
write_store(sys.argv[1], extract, {}, SOURCE, TEXTS, LABELS, shard_size=4, part=Part(number, total))
"""


def running(path: Path, part: Part, waits: bool) -> subprocess.Popen[str]:
    folders = os.pathsep.join(map(str, (Path(__file__).parents[2], Path(__file__).parents[1])))
    command = [sys.executable, "-c", RUN, str(path), *map(str, part), str(int(waits))]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ | {"PYTHONPATH": folders})


def test_processes_side_by_side_one_of_them_killed(tmp_path: Path, one: dict[str, bytes]) -> None:
    killed, other = running(tmp_path, Part(0, 2), waits=True), running(tmp_path, Part(1, 2), waits=False)
    assert killed.stdout and killed.stdin
    for _ in range(2):
        killed.stdout.readline()
        killed.stdin.write("\n")
        killed.stdin.flush()
    killed.stdout.readline()  # in its third shard
    with pytest.raises(BlockingIOError, match=rf"another run is writing there \(process {killed.pid} on "):
        write(tmp_path, Part(0, 2))
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    other.communicate()
    store = ActivationStore(tmp_path)
    assert other.returncode == 0 and store.missing_parts == (0,)
    assert [shard["texts"][0] // 4 for shard in store.manifest["shards"]] == [0, 1, 2, 3, 5, 7]
    assert write(tmp_path, Part(0, 2), extract=stopped_at(0, RuntimeError("extracted again"))).complete
    assert content(tmp_path) == one


# ---------------------------------------------------------------- what is missing


def test_a_store_without_some_parts_is_read_and_says_so(tmp_path: Path, one: dict[str, bytes]) -> None:
    whole = tmp_path / "whole"
    expected = write(whole)[7]
    write(tmp_path / "parts", Part(1, 4))
    store = write(tmp_path / "parts", Part(3, 4))
    assert store.missing_parts == (0, 2) and not store.complete
    assert "incomplete: parts 0 and 2 of 4 are missing" in repr(store)
    there = np.isin(expected.text_index // 4 % 4, (1, 3))
    np.testing.assert_array_equal(np.asarray(store[7]), np.asarray(expected)[there])
    np.testing.assert_array_equal(store[7].tokens, expected.tokens[there])
    np.testing.assert_array_equal(store[7].text_index, expected.text_index[there])
    assert list(store.texts) == [text if i // 4 % 2 else "" for i, text in enumerate(TEXTS)]
    assert store.verify() == sum(len(shard["files"]) for shard in store.manifest["shards"])
    with pytest.warns(UserWarning, match=r"14 of 30 texts of '.*', parts 0 and 2 of 4 are missing"):
        MFA(2, 1, max_iter=2, tol=0).fit(store)


def test_what_is_missing_in_words() -> None:
    assert parts_told({"count": 2, "missing": [0]}) == "part 0 of 2 is missing"
    many = parts_told({"count": 64, "missing": list(range(20))})
    assert many == "parts 0, 1, 2, 3, 4, 5, 6, 7 and 12 more of 64 are missing"


def test_an_interrupted_part_says_what_it_has_kept(tmp_path: Path, one: dict[str, bytes]) -> None:
    says = r"8 of 30 texts are kept in '.*' by part 1 of 2; to go on, do the same again"
    with pytest.raises(KeyboardInterrupt, match=says):
        write(tmp_path, Part(1, 2), extract=stopped_at(20, KeyboardInterrupt()))
    assert ActivationStore(tmp_path).missing_parts == (0, 1)
    write(tmp_path, Part(0, 2))
    assert write(tmp_path, Part(1, 2), extract=stopped_at(4, RuntimeError("extracted again"))).complete
    assert content(tmp_path) == one


def test_of_a_part_that_fails_at_once_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mended"):
        write(tmp_path / "new", Part(1, 2), extract=stopped_at(4, ValueError("can be mended")))
    assert not (tmp_path / "new").exists()


def test_parts_that_were_not_put_together_are_by_whoever_comes(
    tmp_path: Path, one: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("mfa_sklearn.activations._store_writer.finish", lambda run: None)  # killed before
        for number in range(2):
            write(tmp_path, Part(number, 2))
    store = ActivationStore(tmp_path)  # a reader, who may not write
    assert store.complete and store.verify() and "manifest.json" not in content(tmp_path)
    assert with_digest(store.manifest) == one["manifest.json"]
    for part in (ALL, Part(1, 2)):
        assert write(tmp_path, part, extract=NEVER).complete
        assert content(tmp_path) == one


def test_killed_while_parts_were_put_together(
    tmp_path: Path, one: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, Part(0, 2))
    unlink = Path.unlink

    def stopping(path: Path, missing_ok: bool = False) -> None:
        if path.name == "manifest.part-1-of-2.json" and (tmp_path / "manifest.json").exists():
            raise KeyboardInterrupt
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", stopping)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, Part(1, 2))
    assert ActivationStore(tmp_path).complete and "manifest.part-1-of-2.json" in content(tmp_path)
    assert write(tmp_path, Part(0, 2), extract=NEVER).complete
    assert content(tmp_path) == one


# ---------------------------------------------------------------- other runs


def test_another_number_of_parts_is_refused(tmp_path: Path, one: dict[str, bytes]) -> None:
    write(tmp_path, Part(0, 2))
    for part, match in (
        (Part(0, 3), r"in 2 parts, and this is part 0 of 3: go on with part=\(i, 2\)"),
        (ALL, "in 2 parts"),
    ):
        with pytest.raises(ValueError, match=match):
            write(tmp_path, part, extract=NEVER)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "one", extract=stopped_at(12, KeyboardInterrupt()))
    with pytest.raises(ValueError, match=r"in one part, .*go on with part=None \(--part 0/1\), or begin anew"):
        write(tmp_path / "one", Part(0, 2), extract=NEVER)
    for number in range(3):
        write(tmp_path / "one", Part(number, 3), resume=False)
    assert content(tmp_path / "one").keys() == {name.replace(".", "b.", name.startswith("shard")) for name in one}


def test_parts_of_other_texts_are_refused(tmp_path: Path) -> None:
    write(tmp_path, Part(0, 2))
    before = content(tmp_path)
    for part in (Part(1, 2), Part(0, 2), ALL):
        with pytest.raises(ValueError, match="holds activations of other texts, labels or parameters"):
            write(tmp_path, part, OTHERS, NEVER)
    assert content(tmp_path) == before
    assert write(tmp_path, ALL, OTHERS, resume=False).complete
    assert list(ActivationStore(tmp_path).texts) == OTHERS and "manifest.part-0-of-2.json" not in content(tmp_path)


@pytest.mark.parametrize("settings", [{}, {"max_length": 5}])
def test_parts_of_different_runs_are_not_read_as_one(tmp_path: Path, settings: dict[str, Any]) -> None:
    write(tmp_path / "a", Part(0, 2))
    write(tmp_path / "b", Part(1, 2 + (not settings)), settings=settings)
    for file in (tmp_path / "b").iterdir():
        file.rename(tmp_path / "a" / file.name)
    with pytest.raises(ValueError, match=r"manifest\.part-0-of-2\.json and manifest.*are parts of different runs"):
        ActivationStore(tmp_path / "a")
    assert write(tmp_path / "a", resume=False).complete


def test_parts_gathered_in_one_folder_are_one_store(tmp_path: Path, one: dict[str, bytes]) -> None:
    """As from machines without a common file system."""
    for number in range(2):
        write(tmp_path / str(number), Part(number, 2))
    for file in (tmp_path / "1").iterdir():
        file.rename(tmp_path / "0" / file.name)
    assert ActivationStore(tmp_path / "0").complete
    assert write(tmp_path / "0", extract=NEVER).complete and content(tmp_path / "0") == one


@pytest.mark.parametrize(
    "damage",
    [
        lambda manifest: manifest["part"].update(number=1),
        lambda manifest: manifest["part"].update(shard_size=0),
        lambda manifest: manifest["part"].update(mark="../"),
        lambda manifest: manifest.update(part=None),
        lambda manifest: manifest.pop("part"),
        lambda manifest: manifest["shards"].reverse(),
        lambda manifest: manifest["shards"][0].update(given=5),
    ],
)
def test_a_damaged_manifest_of_a_part_is_named(tmp_path: Path, damage: Callable[[dict[str, Any]], Any]) -> None:
    write(tmp_path, Part(0, 2))
    path = tmp_path / "manifest.part-0-of-2.json"
    manifest = json.loads(path.read_text())
    damage(manifest)
    path.write_bytes(with_digest(manifest))
    with pytest.raises(ValueError, match=r"manifest\.part-0-of-2\.json"):
        ActivationStore(tmp_path)


# ---------------------------------------------------------------- replacing


def test_parts_replace_a_store_when_they_are_whole(tmp_path: Path) -> None:
    old = np.asarray(write(tmp_path)[7])
    write(tmp_path, Part(0, 2), OTHERS, resume=False)
    np.testing.assert_array_equal(np.asarray(ActivationStore(tmp_path)[7]), old)
    assert list(write(tmp_path, Part(1, 2), OTHERS).texts) == OTHERS  # gone on with, without being told to replace
    assert {name.partition(".")[0] for name in content(tmp_path)} == {
        "manifest",
        *(f"shard-{i:05d}b" for i in range(8)),
    }


def test_each_part_starts_anew_by_itself(tmp_path: Path, one: dict[str, bytes]) -> None:
    write(tmp_path, Part(0, 2), resume=False)
    made = (tmp_path / "shard-00000.texts.json").stat().st_mtime_ns
    assert write(tmp_path, Part(1, 2), resume=False).complete
    assert (tmp_path / "shard-00000.texts.json").stat().st_mtime_ns == made and content(tmp_path) == one


def test_parts_that_are_being_written_are_not_replaced(tmp_path: Path) -> None:
    said: list[str] = []

    def extract(texts: list[str], labels: Any, first: int) -> LayerRows:
        for part in (ALL, Part(0, 3)):
            thread = threading.Thread(target=refused, args=(part,))
            thread.start()
            thread.join()
        return token_rows(texts, labels, first)

    def refused(part: Part) -> None:
        with pytest.raises(BlockingIOError) as caught:
            write(tmp_path, part, OTHERS, resume=False)
        said.append(str(caught.value))

    write(tmp_path, Part(1, 2), extract=extract)
    assert len(said) == 8 and all("another thread of this process" in text for text in said)
    assert ActivationStore(tmp_path).missing_parts == (0,)


def test_a_part_does_not_begin_beside_a_single_run(tmp_path: Path) -> None:
    said: list[str] = []

    def other() -> None:
        with pytest.raises(BlockingIOError) as caught:
            write(tmp_path, Part(0, 2))
        said.append(str(caught.value))

    def extract(texts: list[str], labels: Any, first: int) -> LayerRows:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return token_rows(texts, labels, first)

    assert write(tmp_path, extract=extract).complete and len(said) == 8


# ---------------------------------------------------------------- no rows, no room, no right


def test_a_selection_of_nothing_leaves_no_store(tmp_path: Path) -> None:
    def none(texts: list[str], labels: Any, first: int) -> LayerRows:
        found = token_rows(texts, labels, first)
        facts = {name: fact[:0] for name, fact in found.facts.items()}
        return LayerRows([found.layers[0][:0]], facts, found.texts, {})

    write(tmp_path / "new", Part(0, 2), extract=none)
    with pytest.raises(ValueError, match="chooses no token of the 30 texts"):
        write(tmp_path / "new", Part(1, 2), extract=none)
    assert not content(tmp_path / "new")


def test_a_full_disk_is_told_before_anything_is_extracted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_allocate", full)
    with pytest.raises(OSError, match="No space left on device; make room"):
        write(tmp_path / "new", Part(0, 2), extract=NEVER)
    assert not (tmp_path / "new").exists()


def test_a_disk_that_fills_up_keeps_what_is_whole(
    tmp_path: Path, one: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = np.save, itertools.count()

    def filling(*args: Any, **options: Any) -> None:
        if next(calls) == 25:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", filling)
        with pytest.raises(OSError, match=r"No space left.*; 8 of 30 texts are kept in '.*' by part 1 of 2"):
            write(tmp_path, Part(1, 2))
    for number in range(2):
        write(tmp_path, Part(number, 2))
    assert content(tmp_path) == one


def test_a_read_only_folder_is_told_before_anything_is_extracted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, Part(0, 2))

    def refuse(*_: Any) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("mfa_sklearn._base.locks.os.open", refuse)
    with pytest.raises(OSError, match="Read-only file system; name a place that you may write to"):
        write(tmp_path, Part(1, 2), extract=NEVER)
    assert ActivationStore(tmp_path).missing_parts == (1,)


def test_other_things_are_not_written_among(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds other things"):
        write(tmp_path, Part(0, 2))
    assert content(tmp_path).keys() == {"notes.txt"}


def test_locks_and_temporary_files_of_killed_parts_go(tmp_path: Path, one: dict[str, bytes]) -> None:
    write(tmp_path, Part(0, 2))
    names = [
        LOCK_NAME,
        lock_name("part-1-of-2"),
        ".shard-00001.layer-7.4194399.npy",
        ".manifest.part-1-of-2.4194399.json",
    ]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    write(tmp_path, Part(1, 2))
    assert content(tmp_path) == one


def test_the_manifest_put_together_has_its_checksum(tmp_path: Path) -> None:
    write(tmp_path, Part(0, 2))
    manifest = write(tmp_path, Part(1, 2)).manifest
    assert manifest["sha256"] == own_digest(manifest) and "part" not in manifest
