"""Paths that begin with ``~``, the home folder: a shell writes them out, Python and quoted arguments do not."""

from __future__ import annotations

import os
from pathlib import Path


def home_path(path: str | os.PathLike[str]) -> Path:
    """`path` with a leading ``~`` or ``~user`` written out.

    Raises
    ------
    ValueError
        If there is no such home folder.

    Examples
    --------
    >>> home_path("~/acts") == Path.home() / "acts"
    True
    >>> home_path("acts/~").as_posix()
    'acts/~'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"there is no home folder for {os.fspath(path)!r}: write the path out") from error
