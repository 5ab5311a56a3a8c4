"""Tables in CSV files, by a reader that refuses what does not fit.

What is certain is read: a header, then rows of as many fields, quotes doubled inside quotes. Wherever the usual
leniency of readers would give a cell that its author did not write - a comma in a text without quotes, a quote that is
never closed - there is an error that names the line. What separates fields is certain where one reading of the header
alone has a column of texts.
"""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import IO, Any

from .._base.checks import warn_user
from .._base.words import plural, shortened
from .columns import Columns
from .opened import opened

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

# The csv module has one limit for all readers, far below the length of a book, and raises it only for all.
_LIMIT = threading.Lock()
_LONGEST = 2**31 - 1
# So many lines in one cell that all look like rows of the table are taken for rows after a quote that was not closed.
_SUSPICIOUS_LINES = 3


class CsvTable:
    """The rows of a CSV file, read one after the other as it is iterated over: (line it begins in, cells).

    Parameters
    ----------
    path : path
    columns : Columns
        Of which the header tells how fields are separated.
    delimiter : str, optional
        What separates fields, if that is known.

    Attributes
    ----------
    header : list of str
        Empty before the file is read, or if it is.
    delimiter : str
        What separates fields, known as `header` is.

    Raises
    ------
    ValueError
        If a row does not fit the header, a quote is not closed or is escaped by a backslash, it is not certain what
        separates fields, or the file is not UTF-8.

    Warns
    -----
    UserWarning
        If cells hold several lines that look like rows.
    """

    def __init__(self, path: Path, columns: Columns | None = None, delimiter: str | None = None) -> None:
        self._path = path
        self._columns = columns or Columns()
        self._given = delimiter
        self.delimiter = delimiter or ","
        self.header: list[str] = []

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        self.header = []
        suspicious: list[int] = []
        with opened(self._path, newline="") as file:
            for line, cells in self._records(file):
                if not self.header:
                    self._columns.check_header_of(self._path, cells)
                    self.header = cells
                    continue
                self._check_fields(line, cells)
                if _holds_rows(cells, len(self.header) - 1, self.delimiter):
                    suspicious.append(line)
                yield line, cells
        self._warn_of_swallowed_rows(suspicious)

    def _records(self, file: IO[str]) -> Iterator[tuple[int, list[str]]]:
        """Cells of each record that is not blank, and the line it begins in."""
        recent: list[str] = []  # the lines of the record being read, as they stand in the file
        head = list(_up_to_the_first(file))
        self._settle_delimiter(len(head), head[-1] if head else "")

        def remembered() -> Iterator[str]:
            for line in chain(head, file):
                recent.append(line)
                yield line

        reader = csv.reader(remembered(), strict=True, delimiter=self.delimiter)
        while True:
            line = reader.line_num + 1
            recent.clear()
            try:
                cells = _next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise self._refused(line, self._reason(error, recent)) from error
            if any(cell.strip() for cell in cells) or len(cells) > 1:
                self._check_quotes(line, cells, recent)
                yield line, cells

    def _settle_delimiter(self, number: int, line: str) -> None:
        """What separates fields, told from the one reading of the header that has a column of texts."""
        if self._given is not None:
            return
        if "\0" in line:
            raise self._refused(number, "holds null characters, as UTF-16 text does: save it as UTF-8")
        readings = {mark: _split(line, mark) for mark in DELIMITERS if mark == "," or mark in line}
        fitting = [mark for mark, names in readings.items() if self._columns.holds_texts(names)]
        if len(fitting) > 1 or (not fitting and "," not in line and len(readings) > 1):
            shown = " or ".join(
                f"{shortened(readings[mark])}, separated by {DELIMITERS[mark]}" for mark in fitting or readings
            )
            raise self._refused(number, f"can be read in several ways: the columns {shown}. Name one with text_column")
        self.delimiter = fitting[0] if fitting else ","

    def _check_fields(self, line: int, cells: list[str]) -> None:
        if len(cells) != len(self.header):
            several = DELIMITERS[self.delimiter]
            remedy = (
                f"put a text that holds {several} in quotes"
                if len(cells) > len(self.header)
                else f"put a text that holds line breaks in quotes, and write a {several[:-1]} for an empty cell too"
            )
            raise self._refused(line, f"has {plural(len(cells), 'field')}, the header {len(self.header)}: {remedy}")
        if len(cells) > 1 and [cell.lstrip("\ufeff") for cell in cells] == self.header:  # of files put together
            raise self._refused(line, f"is the header {shortened(cells)} once more: remove it")

    def _check_quotes(self, line: int, cells: list[str], recent: list[str]) -> None:
        """A quote after a blank is no quote to CSV, and a comma behind it would end the cell."""
        for cell in cells:
            if cell[:1] in " \t" and cell.lstrip()[:1] == '"':
                quoted = cell.replace('"', '""')
                if f'"{quoted}"' not in "".join(recent):
                    raise self._refused(line, f"has a blank before a quote ({shortened(cell)}): remove the blank")

    def _reason(self, error: csv.Error, recent: list[str]) -> str:
        text = "".join(recent)
        if '\\"' in text:
            return 'escapes a quote with a backslash, \\": CSV doubles it, ""'
        if "unexpected end of data" in str(error):
            return f"opens a quote that is never closed ({shortened(text.strip())}): close it"
        return f"closes a quote inside a text ({error}): double the quotes that belong to the text"

    def _warn_of_swallowed_rows(self, lines: list[int]) -> None:
        if lines:
            warn_user(
                f"{self._path}: in {plural(len(lines), 'text')} lines look like rows of the table, first from line "
                f"{lines[0]} on: look whether its quote is closed where it should be"
            )

    def _refused(self, line: int, reason: str) -> ValueError:
        return ValueError(f"{self._path} cannot be read with certainty: line {line} {reason}.")


def _next(reader: Any) -> list[str]:
    with _LIMIT:
        limit = csv.field_size_limit(_LONGEST)
        try:
            return next(reader)
        finally:
            csv.field_size_limit(limit)


def _up_to_the_first(file: IO[str]) -> Iterator[str]:
    """Lines up to the first that is not blank."""
    for line in file:
        yield line
        if line.strip():
            return


def _split(line: str, delimiter: str) -> list[str]:
    """The fields of a header's first line."""
    with suppress(csv.Error):
        return next(csv.reader([line.strip("\r\n")], delimiter=delimiter), [])
    return [line]


def _holds_rows(cells: list[str], marks: int, delimiter: str) -> bool:
    for cell in cells:
        if marks and cell.count("\n") >= _SUSPICIOUS_LINES:
            lines = cell.split("\n")
            # The first line begins in a row and the last ends in one: which of them is whole depends on the column.
            if any(all(line.count(delimiter) == marks for line in part) for part in (lines[1:], lines[:-1])):
                return True
    return False
