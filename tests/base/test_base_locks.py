"""One writer to a folder: among threads and processes, through kills, and told by whom."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mfa_sklearn._base import locks
from mfa_sklearn._base.leftovers import LOCK_NAME, is_passing, lock_name
from mfa_sklearn._base.locks import locked

HOLD = """
import sys
from mfa_sklearn._base.locks import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until it is told to end, or killed."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdin is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def test_the_lock_of_another_process_is_told_and_ends_with_it(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path) as process:
        match = rf"another run is writing there \(process {process.pid} on .*wait for its end or name another folder"
        with pytest.raises(BlockingIOError, match=match), locked(tmp_path):
            pytest.fail("two hold it")
    with locked(tmp_path):
        assert os.listdir(tmp_path) == [LOCK_NAME]
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_leaves_is_taken_over(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert os.listdir(tmp_path) == [LOCK_NAME]
        with locked(tmp_path):
            assert json.loads((tmp_path / LOCK_NAME).read_text())["pid"] == os.getpid()
    assert os.listdir(tmp_path) == []


def test_another_thread_is_refused_and_the_same_one_is_not(tmp_path: Path) -> None:
    said: list[str] = []

    def other() -> None:
        try:
            with locked(tmp_path / "." / "x"):
                said.append("held")
        except BlockingIOError as error:
            said.append(str(error))

    with locked(tmp_path / "x"):
        with locked(tmp_path / "x"):
            pass
        assert (tmp_path / "x" / LOCK_NAME).exists()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "another thread of this process" in said.pop()
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert said == ["held"]


def test_many_threads_hold_it_one_at_a_time(tmp_path: Path) -> None:
    inside, most, done = [0], [0], []

    def work(number: int) -> None:
        while done.count(number) < 5:
            with suppress(BlockingIOError), locked(tmp_path):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1
                done.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] and len(done) == 20 and os.listdir(tmp_path) == []


def test_folders_made_and_left_empty_are_removed(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b"):
        pass
    with pytest.raises(RuntimeError), locked(tmp_path / "a" / "b"):
        raise RuntimeError
    assert os.listdir(tmp_path) == []
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").write_text("x")
    assert os.listdir(tmp_path / "a") == ["b"]


ELSEWHERE = {"pid": 1, "host": "another-machine", "boot": "another-start", "since": "2026-01-01 00:00:00"}


def test_a_lock_of_another_machine_is_not_taken_over(tmp_path: Path) -> None:
    lock = tmp_path / LOCK_NAME
    lock.write_text(json.dumps(ELSEWHERE))
    match = rf"process 1 on another-machine, since 2026-01-01 .*delete '{lock}'"
    with pytest.raises(BlockingIOError, match=match), locked(tmp_path):
        pytest.fail("taken over")
    assert json.loads(lock.read_text()) == ELSEWHERE
    lock.unlink()
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '{"pid": "x"}', "[" * 5000])
def test_a_lock_that_says_nothing_is_judged_by_the_system(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK_NAME).write_text(
        content if content != '{"pid": "x"}' else json.dumps(locks._machine() | {"pid": "x"})
    )
    with locked(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_a_restart_of_the_machine_ends_its_locks(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text(json.dumps(locks._machine() | {"pid": os.getpid(), "boot": "earlier"}))
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("system", [None, "no locks"])
def test_where_the_system_has_no_locks_the_files_words_count(
    tmp_path: Path, system: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if system is None:
        monkeypatch.setattr(locks, "fcntl", None)
    else:
        monkeypatch.setattr(locks.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(38, "not implemented")))
    lock = tmp_path / LOCK_NAME
    lock.write_text(json.dumps(locks._machine() | {"pid": os.getppid()}))
    with pytest.raises(BlockingIOError, match=f"process {os.getppid()}"), locked(tmp_path):
        pytest.fail("taken over")
    lock.write_text(json.dumps(locks._machine() | {"pid": 2**30}))
    with locked(tmp_path):
        assert lock.exists()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError, match=r"cannot write '.*file/x': .*name another place"),
        locked(tmp_path / "file" / "x"),
    ):
        pytest.fail("made")


def test_a_folder_without_the_right_to_write_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with (
        monkeypatch.context() as patched,
        pytest.raises(PermissionError, match=r"cannot write .*a place that you may write"),
    ):
        patched.setattr(locks.os, "open", refuse)
        with locked(tmp_path / "x"):
            pytest.fail("held")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("silent", "gone"), [(0, False), (300, False), (700, True)])
def test_a_holder_on_another_machine_is_gone_when_it_no_longer_touches_its_file(
    tmp_path: Path, silent: int, gone: bool
) -> None:
    lock = tmp_path / LOCK_NAME
    lock.write_text(json.dumps(ELSEWHERE))
    touched = lock.stat().st_mtime - silent
    os.utime(lock, (touched, touched))
    if gone:
        with locked(tmp_path):
            assert json.loads(lock.read_text())["pid"] == os.getpid()
    else:
        with pytest.raises(BlockingIOError, match="process 1 on another-machine, since 2026"), locked(tmp_path):
            pytest.fail("two hold it")
    assert os.listdir(tmp_path) == ([] if gone else [LOCK_NAME])


def test_a_holder_touches_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_BEAT", 0.01)
    touched = threading.Event()
    monkeypatch.setattr(os, "utime", lambda *_: touched.set())
    monkeypatch.setattr(os, "supports_fd", {os.utime})
    with locked(tmp_path):
        assert touched.wait(300)
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("(beat)")]  # as it calls itself


def test_locks_of_other_names_are_held_side_by_side(tmp_path: Path) -> None:
    said: list[str] = []

    def other() -> None:
        with locked(tmp_path), locked(tmp_path, lock_name("part-1-of-2")):
            said.append("held")

    with locked(tmp_path, lock_name("part-0-of-2")):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert os.listdir(tmp_path) == [lock_name("part-0-of-2")]
    assert said == ["held"]
    assert is_passing(lock_name("part-0-of-2"), lambda _: False) and not is_passing("part.lock", lambda _: False)


def test_a_lock_that_is_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    order: list[str] = []
    begun = threading.Event()

    def other() -> None:
        begun.set()
        with locked(tmp_path):
            order.append("second")

    with locked(tmp_path, brief=True):
        thread = threading.Thread(target=other)
        thread.start()
        begun.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_moment_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_MOMENT", 0.05)
    (tmp_path / LOCK_NAME).write_text(json.dumps(ELSEWHERE | {"brief": True}))
    with pytest.raises(BlockingIOError, match="if you know that it has ended, delete"), locked(tmp_path):
        pytest.fail("two hold it")
