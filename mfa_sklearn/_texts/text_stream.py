"""Texts of a file that is larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from .._base.words import shortened
from .columns import Columns
from .opened import suffix_of
from .reader import Reading, check_file, read_rows

# Rows that are looked at before work is spent.
_LOOKED_AT = 100


class TextStream:
    """Texts of a file with their labels, which is read anew, and never held, each time this is iterated over.

    Parameters
    ----------
    path : path
    columns : Columns

    Raises
    ------
    ImportError, OSError, ValueError
        As `stream_texts`.
    """

    def __init__(self, path: Path, columns: Columns) -> None:
        if check_file(path) == ".json":
            raise ValueError(
                f"{path} is one JSON value, which has to be read whole: write it with one object a line, as .jsonl, or "
                "take read_texts."
            )
        self._path, self._columns = path, columns
        self._check_beginning()

    def __iter__(self) -> Iterator[tuple[Any, str | None]]:
        return iter(Reading(self._path, self._columns))

    def __repr__(self) -> str:
        return f"<texts of {str(self._path)!r}, read as they are needed>"

    def _check_beginning(self) -> None:
        """Refuse a file whose first rows have no such columns."""
        rows = read_rows(self._path, self._columns)
        first = [row for _, row in islice(rows, _LOOKED_AT)]
        rows.close()  # type: ignore[attr-defined]
        names = [name for row in first if isinstance(row, dict) for name in row]
        columns, shown = self._columns, shortened(list(dict.fromkeys(map(str, names)))[:10], 200)
        if columns.label is not None and not any(map(columns.is_label, names)):
            raise ValueError(f"{self._path} has no column {columns.label!r} in its first rows: they have {shown}.")
        if suffix_of(self._path) != ".txt" and not any(not columns.read(row)[2] for row in first):
            raise ValueError(
                f"{self._path} has no texts in its first {len(first)} rows: they have {shown}. Name the column of "
                "texts with text_column."
            )
