"""Which files of a folder are looked into, in the order of their names."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from ..._base.checks import warn_user
from ..._base.words import plural
from .formats import FORMATS

# Files that come with any folder, and say nothing that is needed here.
_QUIET = (".json", ".lock", ".md", ".txt", ".yaml", ".yml")
_READ = f"read are files that end in {', '.join(FORMATS)}"


def natural(name: str) -> list[tuple[int, int | str]]:
    """What names are sorted by, so that 2 comes before 10.

    Examples
    --------
    >>> sorted(["part10.npy", "part2.npy", "part.npy"], key=natural)
    ['part2.npy', 'part10.npy', 'part.npy']
    """
    pieces = (piece for piece in re.split(r"(\d+)", name.casefold()) if piece)
    return [(0, int(piece)) if piece.isdecimal() else (1, piece) for piece in pieces]


def files_of(path: Path) -> list[Path]:
    """A file, or those of a folder that are read, in the order of their names; of one format.

    Raises
    ------
    ValueError
        If there is none, one is no regular file, or they are of several formats.

    Warns
    -----
    UserWarning
        If there are others that may have been meant.
    """
    if not path.is_dir():
        return [_regular(path)]
    there = sorted((file for file in path.iterdir() if file.name[:1] not in "._"), key=lambda file: natural(file.name))
    found = [_regular(file) for file in there if file.suffix.lower() in FORMATS and not file.is_dir()]
    formats = sorted({file.suffix.lower() for file in found})
    if len(formats) > 1:
        raise ValueError(
            f"{str(path)!r} holds files of several formats, {' and '.join(formats)}: keep one of them there"
        )
    left = {*there} - {*found}
    others = [file.name for file in there if file in left and file.suffix.lower() not in _QUIET]
    if not found:
        raise ValueError(f"{str(path)!r} holds no activations ({_few(others) or 'no file'}): {_READ}")
    if others:
        warn_user(f"{str(path)!r} holds {plural(len(others), 'thing')} besides, left out ({_few(others)}): {_READ}")
    return found


def _regular(path: Path) -> Path:
    """`path`, if it is a file or a link to one: reading a device or a pipe might never end."""
    if not path.exists():
        raise ValueError(f"there is no {str(path)!r}" + (", where its link leads" if path.is_symlink() else ""))
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{str(path)!r} is no regular file: {_READ}")
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"cannot read {str(path)!r}: {_READ}")
    return path


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more
