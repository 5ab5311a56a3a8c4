"""One writer to a folder at a time, among threads and processes.

The lock is a file in the folder, held by the operating system for as long as the process lives: what a killed process
leaves is an unlocked file, which the next run takes over. The file says who holds it. Where locks of the system cannot
be had, what it says decides. So it does of another machine, whose locks this one may not see: there, a holder is gone
whose file has not been touched for some minutes, as every holder does again and again. Parts of a folder have locks of
their own names, and one that is held for a moment only is waited for.
"""

from __future__ import annotations

import errno
import json
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from .files import write_error
from .leftovers import LOCK_NAME, is_running, temporary_name

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_BUSY = (errno.EAGAIN, errno.EACCES)
_GUARD = threading.Lock()
# Which thread of which process holds which lock, and whether for a moment only.
_HELD: dict[str, tuple[int, int, bool]] = {}
# Seconds to wait for a lock that is held for a moment, and for the holder of one to say so.
_MOMENT = 300.0
_WORD = 2.0
# How often a holder touches its file, and after how long another machine's is taken to be gone, by the file's clock.
_BEAT = 30.0
_GONE = 600.0


@contextmanager
def locked(folder: str | os.PathLike[str], name: str = LOCK_NAME, brief: bool = False) -> Iterator[None]:
    """Make a folder, if it is missing, and be the only one to write to it.

    A thread that holds the lock may take it again. A folder that was made and is left empty is removed.

    Parameters
    ----------
    folder : path
    name : str
        Of the lock, where parts of the folder have their own.
    brief : bool, default=False
        Whether it is held for a moment only, so that others may wait for it.

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
        with _holding(folder, name, brief):
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
def _holding(folder: Path, name: str, brief: bool) -> Iterator[None]:
    key, me = os.path.join(os.path.realpath(folder), name), (os.getpid(), threading.get_ident())
    path, file = folder / name, None
    try:
        if _HELD.get(key, ())[:2] != me:
            file = _waited_for(path, key, (*me, brief))
        with _beating(file):
            yield
    finally:
        if file is not None:
            with _GUARD:
                _HELD.pop(key, None)
                _release(path, file)


@contextmanager
def _beating(file: BinaryIO | None) -> Iterator[None]:
    """A thread touches a lock's file inside the block, so that other machines see that its holder lives."""
    if file is None:
        yield
        return
    over, descriptor = threading.Event(), file.fileno()

    def beat() -> None:
        while not over.wait(_BEAT):
            with suppress(OSError, NotImplementedError):
                os.utime(descriptor if os.utime in os.supports_fd else file.name)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _release(path: Path, file: BinaryIO) -> None:
    try:
        if fcntl is None:  # where an open file cannot be deleted
            file.close()
        with suppress(OSError):
            path.unlink()
    finally:
        file.close()


def _waited_for(path: Path, key: str, me: tuple[int, int, bool]) -> BinaryIO:
    """A lock's file, held; one that somebody holds for a moment is waited for."""
    start = time.monotonic()
    while True:
        try:
            with _GUARD:
                file = _acquire(path, _HELD.get(key), me[2])
                _HELD[key] = me
                return file
        except _HeldError as error:
            # Between the lock and its word there is a moment in which nothing is said.
            patience = _MOMENT if error.holder.get("brief") else 0.0 if error.holder else _WORD
            if time.monotonic() - start >= patience:
                raise
        time.sleep(random.uniform(0.01, 0.05))


def _acquire(path: Path, holder: tuple[int, int, bool] | None, brief: bool) -> BinaryIO:
    """An open file that is locked, or whose earlier holder is gone."""
    if holder is not None and holder[0] == os.getpid():
        raise _HeldError(path, {"brief": holder[2]}, "another thread of this process")
    while True:
        try:
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        except OSError as error:
            raise write_error(path.parent, error) from error
        try:
            if _take(path, file, brief):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _take(path: Path, file: BinaryIO, brief: bool) -> bool:
    """Lock an open file and say in it who holds it; False if the file has been deleted meanwhile."""
    safe, earlier = _lock(path, file.fileno()), _read(path)
    try:
        if not os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return False
    except FileNotFoundError:
        return False
    if earlier and _may_live(path, earlier, safe):
        raise _HeldError(path, earlier)
    said = {"pid": os.getpid(), "since": _now()} | _machine() | ({"brief": True} if brief else {})
    try:
        file.truncate(0)
        file.write(json.dumps(said).encode())
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
            raise _HeldError(path, _read(path)) from error
        return False
    return True


def _may_live(path: Path, earlier: dict[str, Any], safe: bool) -> bool:
    """Whether the process that an earlier lock names may still be writing."""
    here = _machine()
    if here["host"] != earlier.get("host") and here["boot"] != earlier.get("boot"):
        return _silent_for(path) < _GONE
    pid = earlier.get("pid")
    return not safe and isinstance(pid, int) and here["boot"] == earlier.get("boot") and is_running(pid)


def _silent_for(path: Path) -> float:
    """Seconds since a file was touched, by the clock of its file system: those of two machines may differ."""
    probe = path.with_name(temporary_name("probe"))
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except OSError as error:
        raise write_error(path.parent, error) from error
    finally:
        probe.unlink(missing_ok=True)


class _HeldError(BlockingIOError):
    """Somebody else holds a lock; `holder` is what its file says of them."""

    def __init__(self, path: Path, holder: dict[str, Any], who: str = "") -> None:
        who = who or f"process {holder.get('pid', '?')} on {holder.get('host', '?')}, since {holder.get('since', '?')}"
        super().__init__(
            f"cannot write to {str(path.parent)!r}: another run is writing there ({who}); wait for its end or name "
            f"another folder (if you know that it has ended, delete {str(path)!r})"
        )
        self.holder = holder


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
