"""Names of files that are only passing, temporary ones and locks, and clearing away those of runs that were killed."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LOCK_NAME = ".mfa-sklearn.lock"
_LOCK = re.compile(r"\.mfa-sklearn(\.[a-z0-9-]+)?\.lock")
_COUNT = itertools.count()
# Names written before there was a host in them end in the process's number alone.
_TEMPORARY = re.compile(r"\.(?P<stem>.+?)\.(?P<pid>\d{1,10})(-(?P<host>[0-9a-f]{8})-\d+)?(?P<suffix>\.[A-Za-z]\w*)?")


def temporary_name(name: str) -> str:
    """A name to write the file `name` under at first, which no other process and no other thread uses.

    Its suffix is kept, because some writers choose the format by it.
    """
    path = Path(name)
    return f".{path.stem}.{os.getpid()}-{_host()}-{next(_COUNT)}{path.suffix}"


def target_of(name: str) -> str | None:
    """The file that a temporary name stands for; None if it is no temporary name.

    Examples
    --------
    >>> target_of(".table.4711-0123abcd-0.csv"), target_of(".table.4711.csv"), target_of("table.csv")
    ('table.csv', 'table.csv', None)
    """
    found = _TEMPORARY.fullmatch(name)
    return found and f"{found['stem']}{found['suffix'] or ''}"


def lock_name(what: str) -> str:
    """The name of the lock of some of a folder's content, such as "part-0-of-4"."""
    return f".mfa-sklearn.{what}.lock"


def is_passing(name: str, ours: Callable[[str], bool]) -> bool:
    """Whether it is a lock's name, or a temporary one of a file that `ours` accepts."""
    target = target_of(name)
    return _LOCK.fullmatch(name) is not None or (target is not None and ours(target))


def clear_leftovers(folder: Path, ours: Callable[[str], bool], locked: bool = False) -> None:
    """Delete temporary files of killed runs.

    Parameters
    ----------
    folder : path
    ours : callable
        Which names are written by the caller; temporary files of others stay.
    locked : bool, default=False
        Whether nobody else can be writing here. Else files of processes that run, or ran on another machine, stay.
    """
    if not folder.is_dir():
        return
    for name in os.listdir(folder):
        target = target_of(name)
        if target is not None and ours(target) and (locked or _is_dead(name)):
            with suppress(OSError):  # a reader without the right to delete can still do its work
                (folder / name).unlink()


def _is_dead(name: str) -> bool:
    found = _TEMPORARY.fullmatch(name)
    return found is not None and found["host"] in (None, _host()) and not is_running(int(found["pid"]))


def is_running(pid: int) -> bool:
    """Whether a process of this machine has this number; True where that cannot be asked."""
    if os.name == "nt":  # there, a signal of zero ends the process
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
