"""Texts that are read as they are needed: of a file larger than memory, or of rows that somebody else reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from os import PathLike
from typing import Any

from .._base.home import home_path
from .._base.words import shortened
from .columns import Columns
from .reader import UNITS, Reading, check_file, read_rows

# Rows that are looked at before work is spent.
_LOOKED_AT = 100


class TextStream:
    """Texts with their labels, which are read, and never held, while this is iterated over.

    Parameters
    ----------
    source : path, or iterable of rows
    columns : Columns

    Attributes
    ----------
    labeled : bool
        Whether it gives pairs of a text and its label: whether one of the first rows has a column of labels.

    Raises
    ------
    ImportError, OSError, TypeError, ValueError
        As `stream_texts`.
    """

    def __init__(self, source: str | PathLike[str] | Iterable[Any], columns: Columns) -> None:
        self._source, self._columns = source, columns
        self._is_file = isinstance(source, str | PathLike)
        self._name, self._unit = "the stream of rows", "row"
        if self._is_file:
            self._source = home_path(source)  # type: ignore[arg-type]
            self._name, self._unit = str(self._source), UNITS[self._check_file()]
        elif not isinstance(source, Iterable) or isinstance(source, bytes | Mapping) or getattr(source, "ndim", 1) > 1:
            records = ": give frame.to_dict('records')" if hasattr(source, "to_dict") else ""
            raise TypeError(
                "texts are streamed from a path or an iterable of rows, such as dicts, got "
                f"{type(source).__name__}{records}"
            )
        rows = self._rows()
        head = list(islice(rows, _LOOKED_AT))
        self.labeled = self._check_beginning([row for _, row in head])
        if self._is_file:
            rows.close()  # type: ignore[attr-defined]
        # Rows of an iterable that can be read once only are not read again.
        self._begun: Iterator[Any] | None = None if self._is_file else chain(head, rows)

    def __iter__(self) -> Iterator[Any]:
        if self._begun is None and isinstance(self._source, Iterator):
            raise ValueError(f"{self._name} was read already, which an iterator can be once only: make another one.")
        rows, self._begun = self._begun or self._rows(), None
        found = Reading(rows, self._columns, self._name, self._unit)
        for text, label in found:
            if self.labeled:
                yield text, label
            elif label is None:
                yield text
            else:
                raise ValueError(
                    f"{self._name} has the label {shortened(label)} in row {found.n_rows:,}, and no column of labels "
                    "in its first rows: name it with label_column."
                )

    def __repr__(self) -> str:
        return f"<texts of {self._name if self._is_file else 'rows'}, read as they are needed>"

    def _rows(self) -> Iterator[tuple[int, Any]]:
        if self._is_file:
            return read_rows(self._source, self._columns)  # type: ignore[arg-type]
        return enumerate(self._source, 1)  # type: ignore[arg-type]

    def _check_file(self) -> str:
        suffix = check_file(self._source)  # type: ignore[arg-type]
        if suffix == ".json":
            raise ValueError(
                f"{self._source} is one JSON value, which has to be read whole: write it with one object a line, as "
                ".jsonl, or take read_texts."
            )
        return suffix

    def _check_beginning(self, first: list[Any]) -> bool:
        """Refuse rows of which the first have no such columns; whether there is one of labels."""
        columns = self._columns
        names = [name for row in first if isinstance(row, Mapping) for name in row]
        shown = shortened(list(dict.fromkeys(map(str, names)))[:10], 200)
        labeled = any(map(columns.is_label, names))
        if columns.label is not None and not labeled:
            raise ValueError(f"{self._name} has no column {columns.label!r} in its first rows: they have {shown}.")
        if not any(
            isinstance(row, str) or columns.holds_texts(row if isinstance(row, Mapping) else ()) for row in first
        ):
            raise ValueError(
                f"{self._name} has no texts in its first {len(first)} rows: they have {shown}. Name the column of "
                "texts with text_column."
            )
        return labeled
