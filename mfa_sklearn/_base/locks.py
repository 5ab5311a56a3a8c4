"""One writer to a folder at a time, among threads and processes.

The lock is a file in the folder, held by the operating system for as long as the process lives: what a killed process
leaves is an unlocked file, which the next run takes over. The file says who holds it. Where locks of the system cannot
be had, or the file is of another machine, what it says decides.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from .files import write_error
from .leftovers import LOCK_NAME, is_running

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_BUSY = (errno.EAGAIN, errno.EACCES)
_GUARD = threading.Lock()
# Which thread of which process holds which folder.
_HELD: dict[str, tuple[int, int]] = {}


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Make a folder, if it is missing, and be the only one to write to it.

    A thread that holds the lock may take it again. A folder that was made and is left empty is removed.

    Raises
    ------
    BlockingIOError
        If another thread or process holds the lock.
    OSError
        If the folder cannot be made or written to.
    """
    folder = Path(folder)
    made = _make(folder)
    try:
        with _holding(folder):
            yield
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()


def _make(folder: Path) -> list[Path]:
    """Make a folder and those above it; the ones made, innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error
    return missing


@contextmanager
def _holding(folder: Path) -> Iterator[None]:
    key, me = os.path.realpath(folder), (os.getpid(), threading.get_ident())
    path, file = folder / LOCK_NAME, None
    try:
        with _GUARD:
            nested = _HELD.get(key) == me
            if not nested:
                file = _acquire(path, _HELD.get(key))
                _HELD[key] = me
        yield
    finally:
        if file is not None:
            with _GUARD:
                _HELD.pop(key, None)
                _release(path, file)


def _release(path: Path, file: BinaryIO) -> None:
    try:
        if fcntl is None:  # where an open file cannot be deleted
            file.close()
        with suppress(OSError):
            path.unlink()
    finally:
        file.close()


def _acquire(path: Path, holder: tuple[int, int] | None) -> BinaryIO:
    """An open file that is locked, or whose earlier holder is gone."""
    if holder is not None and holder[0] == os.getpid():
        raise _refusal(path, _read(path), "another thread of this process")
    while True:
        try:
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        except OSError as error:
            raise write_error(path.parent, error) from error
        try:
            if _take(path, file):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _take(path: Path, file: BinaryIO) -> bool:
    """Lock an open file and say in it who holds it; False if the file has been deleted meanwhile."""
    safe, earlier = _lock(path, file.fileno()), _read(path)
    try:
        if not os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return False
    except FileNotFoundError:
        return False
    if earlier and _may_live(earlier, safe):
        raise _refusal(path, earlier)
    try:
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "since": _now()} | _machine()).encode())
    except OSError as error:
        raise write_error(path.parent, error) from error
    return True


def _lock(path: Path, descriptor: int) -> bool:
    """Whether the system has locked the file; False if it has no locks there."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            raise _refusal(path, _read(path)) from error
        return False
    return True


def _may_live(earlier: dict[str, Any], safe: bool) -> bool:
    """Whether the process that an earlier lock names may still be writing."""
    here = _machine()
    if here["host"] != earlier.get("host") and here["boot"] != earlier.get("boot"):
        return True
    pid = earlier.get("pid")
    return not safe and isinstance(pid, int) and here["boot"] == earlier.get("boot") and is_running(pid)


def _refusal(path: Path, holder: dict[str, Any], who: str = "") -> BlockingIOError:
    who = who or f"process {holder.get('pid', '?')} on {holder.get('host', '?')}, since {holder.get('since', '?')}"
    return BlockingIOError(
        f"cannot write to {str(path.parent)!r}: another run is writing there ({who}); wait for its end or name another "
        f"folder (if you know that it has ended, delete {str(path)!r})"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _machine() -> dict[str, str]:
    """The name of this machine, and of its start, which containers on it share."""
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"host": socket.gethostname(), "boot": boot or socket.gethostname()}


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
