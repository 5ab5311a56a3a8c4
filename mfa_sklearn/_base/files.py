"""Files that are either whole or absent, and places found fit to write to before work is spent."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .home import home_path
from .leftovers import clear_leftovers, is_passing, temporary_name

_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
_PROBE = "probe"
# Enough to notice a full disk, little enough to cost nothing.
_PROBE_BYTES = 2**12
_FORCE = "overwrite=True (on the command line: --force)"


def as_path(name: str, value: str | os.PathLike[str]) -> Path:
    """What was given as the path `name`.

    Raises
    ------
    TypeError
        If it is no path.
    """
    try:
        return home_path(value)
    except TypeError:
        raise TypeError(f"{name}={value!r} must be a path: give a string or a pathlib.Path") from None


@contextmanager
def replacing(path: str | os.PathLike[str], called: Path | None = None) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it takes the place of `path` if the block ends well.

    Whenever the process ends, `path` is the old file or the whole new one.

    Parameters
    ----------
    path : path
        Its suffix is kept, because some writers choose the format by it.
    called : path, optional
        What it is called in errors, if `path` is not its last name.

    Raises
    ------
    OSError
        If a file cannot be written; the message names it and says what to do.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "table.csv"
    >>> with replacing(target) as temporary:
    ...     _ = temporary.write_text("a,b")
    >>> target.read_text(), len(list(target.parent.iterdir()))
    ('a,b', 1)
    """
    path = home_path(path)
    temporary = path.with_name(temporary_name(path.name))
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise write_error(called or path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def reading(path: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """Whatever a parser raises at a file that somebody gave becomes a ValueError that names the file.

    Damaged files make parsers raise nearly anything (EOFError, KeyError, RecursionError, MemoryError, ...), which from
    elsewhere would be a bug. So this stands around the reading of one file and nothing else. An error of the system
    that names its file, and one that names `path` already, are left as they are.

    Parameters
    ----------
    path : path
    kind : str
        What it should be, such as "a CSV file".

    Raises
    ------
    ValueError

    Examples
    --------
    >>> with reading("a.json", "a JSON file"):
    ...     [].pop()
    Traceback (most recent call last):
    ValueError: 'a.json' cannot be read as a JSON file: IndexError: pop from empty list
    """
    name = os.fspath(path)
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{name!r} is not UTF-8 text ({error}): save it as UTF-8 and read it again") from error
    except ImportError:
        raise
    except Exception as error:
        plain = isinstance(error, ValueError | OSError)
        if plain and (str(name) in str(error) or getattr(error, "filename", None) is not None):
            raise
        said = str(error) if plain else f"{type(error).__name__}: {error}".rstrip(": ")
        raise ValueError(f"{name!r} cannot be read as {kind}: {said}") from error


def _flush(path: Path) -> None:
    """Have the content on the disk before the name is, so that a power failure leaves no empty file either."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_error(path: Path, error: OSError) -> OSError:
    """An error that names what could not be written, why, and what to do; of the kind of `error`."""
    reason = error.strerror or str(error)
    kind = PermissionError if isinstance(error, PermissionError) else OSError
    named = kind(f"cannot write {str(path)!r}: {reason}; {_remedy(path, error)}")
    named.errno = error.errno
    return named


def _remedy(path: Path, error: OSError) -> str:
    if error.errno in _RIGHTS:
        return "name a place that you may write to, or have its permissions changed"
    if error.errno == errno.EFBIG:
        return "files may not become that large there: raise the limit (ulimit -f), or name another place"
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP):
        return "a file or a link is in its way: name another place"
    place = next((parent for parent in path.absolute().parents if parent.is_dir()), None)
    free = "" if place is None else f" ({shutil.disk_usage(place).free / 2**20:,.0f} MiB are free there)"
    return f"make room{free}, or name another place"


def probe(folder: Path, n_bytes: int = _PROBE_BYTES) -> None:
    """Make a file of this size in a folder, and delete it again.

    Raises
    ------
    OSError
        If it cannot be made: for lack of permissions, of room, or because files may not be as large.
    """
    temporary = folder / temporary_name(_PROBE)
    try:
        with temporary.open("xb") as file:
            _allocate(file.fileno(), max(n_bytes, _PROBE_BYTES))
    except OSError as error:
        raise write_error(folder, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _allocate(descriptor: int, n_bytes: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, n_bytes)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
    block = bytes(min(n_bytes, 2**20))
    for start in range(0, n_bytes, len(block)):
        os.write(descriptor, block[: n_bytes - start])


def check_writable(path: str | os.PathLike[str], suffixes: tuple[str, ...] = (), overwrite: bool = True) -> Path:
    """`path`, if a file can be made there; found out by making one beside it.

    Raises
    ------
    ValueError
        If its folder is missing, it is a folder, or its suffix is not one of `suffixes`.
    FileExistsError
        If there is such a file, unless it is to be overwritten.
    OSError
        If its folder cannot be written to.
    """
    path = home_path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {str(path)!r}: its name must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise ValueError(f"cannot write {str(path)!r}: it is a folder")
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}, make it first")
    if path.exists() and not overwrite:
        raise FileExistsError(f"cannot write {str(path)!r}: it exists; name another file, or {_FORCE} to replace it")
    clear_leftovers(path.parent, {path.name, _PROBE}.__contains__)
    probe(path.parent)
    return path


def check_folder(
    path: str | os.PathLike[str],
    mark: str,
    read: Callable[[Path], object] = Path.read_bytes,
    *,
    overwrite: bool = True,
    ours: Callable[[str], bool] | None = None,
    left: Callable[[str], bool] = lambda _: False,
) -> Path:
    """`path`, if it is a folder that can be made, is empty, or holds the file `mark` and so an earlier result.

    Parameters
    ----------
    path : path
    mark : str
        Name of a file that every result has.
    read : callable
        Reads that file, and raises OSError or ValueError if it is another program's.
    overwrite : bool, default=True
        Whether an earlier result may be there.
    ours : callable, optional
        Of which names there may be temporary files, left by killed runs; by default of `mark`.
    left : callable, optional
        Names of other files that a run leaves if it is killed before it has written `mark`; by default none.

    Raises
    ------
    FileExistsError
        If it is a file, a folder of something else, or an earlier result is there and may not be.
    """
    path = home_path(path)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"cannot write to {str(path)!r}: it is a file, name a folder")
    own = ours or mark.__eq__
    names = sorted(file.name for file in path.iterdir()) if path.is_dir() else []
    found = [name for name in names if not (left(name) or is_passing(name, lambda n: n == _PROBE or own(n)))]
    if not found:
        return path
    try:
        read(path / mark)
    except (OSError, ValueError) as error:
        raise FileExistsError(
            f"cannot write to {str(path)!r}: it holds other things ({found[:3]}; {error}), name a new or an empty "
            "folder"
        ) from error
    if not overwrite:
        raise FileExistsError(
            f"cannot write to {str(path)!r}: it holds an earlier result; name another folder, or {_FORCE} to replace it"
        )
    return path
