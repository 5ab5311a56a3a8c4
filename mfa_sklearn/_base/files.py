"""Files that are either whole or absent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .home import home_path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it takes the place of `path` if the block ends well.

    Parameters
    ----------
    path : path
        Its suffix is kept, because some writers choose the format by it.

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
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
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


def check_writable(path: str | os.PathLike[str], suffixes: tuple[str, ...] = ()) -> Path:
    """`path`, if a file can be made there.

    Raises
    ------
    ValueError
        If its folder is missing, it is a folder, or its suffix is not one of `suffixes`.
    """
    path = home_path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {str(path)!r}: its name must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise ValueError(f"cannot write {str(path)!r}: it is a folder")
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}, make it first")
    return path


def check_folder(path: str | os.PathLike[str], mark: str, read: Callable[[Path], object] = Path.read_bytes) -> Path:
    """`path`, if it is a folder that can be made, is empty, or holds the file `mark` and so an earlier result.

    Parameters
    ----------
    path : path
    mark : str
        Name of a file that every result has.
    read : callable
        Reads that file, and raises OSError or ValueError if it is another program's.

    Raises
    ------
    FileExistsError
        If it is a file, or a folder of something else.
    """
    path = home_path(path)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"cannot write to {str(path)!r}: it is a file, name a folder")
    found = sorted(file.name for file in path.iterdir()) if path.is_dir() else []
    if found:
        try:
            read(path / mark)
        except (OSError, ValueError) as error:
            raise FileExistsError(
                f"cannot write to {str(path)!r}: it holds other things ({found[:3]}; {error}), name a new or an empty "
                "folder"
            ) from error
    return path
