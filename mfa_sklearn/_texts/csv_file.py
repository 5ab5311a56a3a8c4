"""Tables in CSV files, by a reader that refuses what does not fit.

What is certain is read: a header, then rows of as many fields, quotes doubled inside quotes. Wherever the usual
leniency of readers would give a cell that its author did not write - a comma in a text without quotes, a quote that is
never closed - there is an error that names the line.
"""

from __future__ import annotations

import csv
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from .._base.words import plural, shortened

# The csv module has one limit for all readers, far below the length of a book, and raises it only for all.
_LIMIT = threading.Lock()
_LONGEST = 2**31 - 1
# So many lines in one cell that all look like rows of the table are taken for rows after a quote that was not closed.
_SUSPICIOUS_LINES = 3


class CsvTable:
    """The rows of a CSV file.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    header : list of str
        Empty if the file is.
    lines : list of int
        The line each row begins in, from 1.
    rows : list of list of str
        As many cells as the header has.

    Raises
    ------
    ValueError
        If a row does not fit the header, a quote is not closed or is escaped by a backslash, fields are not separated
        by commas, or the file is not UTF-8.

    Warns
    -----
    UserWarning
        If cells hold several lines that look like rows.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.header: list[str] = []
        self.lines: list[int] = []
        self.rows: list[list[str]] = []
        with _LIMIT, path.open(encoding="utf-8-sig", newline="") as file:
            limit = csv.field_size_limit(_LONGEST)
            try:
                for line, cells in self._records(file):
                    self._take(line, cells)
            finally:
                csv.field_size_limit(limit)
        self._warn_of_swallowed_rows()

    def _records(self, file: TextIO) -> Iterator[tuple[int, list[str]]]:
        """Cells of each record that is not blank, and the line it begins in."""
        recent: list[str] = []  # the lines of the record being read, as they stand in the file

        def remembered() -> Iterator[str]:
            for line in file:
                recent.append(line)
                yield line

        reader = csv.reader(remembered(), strict=True)
        while True:
            line = reader.line_num + 1
            recent.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise self._refused(line, self._reason(error, recent)) from error
            if any(cell.strip() for cell in cells) or len(cells) > 1:
                self._check_quotes(line, cells, recent)
                yield line, cells

    def _take(self, line: int, cells: list[str]) -> None:
        if not self.header:
            self._check_header(line, cells)
            self.header = cells
            return
        if len(cells) != len(self.header):
            remedy = (
                "put a text that holds commas in quotes"
                if len(cells) > len(self.header)
                else "put a text that holds line breaks in quotes, and write a comma for an empty cell too"
            )
            raise self._refused(line, f"has {plural(len(cells), 'field')}, the header {len(self.header)}: {remedy}")
        if len(cells) > 1 and [cell.lstrip("\ufeff") for cell in cells] == self.header:  # of files put together
            raise self._refused(line, f"is the header {shortened(cells)} once more: remove it")
        self.lines.append(line)
        self.rows.append(cells)

    def _check_header(self, line: int, cells: list[str]) -> None:
        if any("\0" in cell for cell in cells):
            raise self._refused(line, "holds null characters, as UTF-16 text does: save it as UTF-8")
        for delimiter, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if len(cells) == 1 and delimiter in cells[0]:
                raise self._refused(line, f"separates its fields with {name} ({shortened(cells[0])}): use commas")

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

    def _warn_of_swallowed_rows(self) -> None:
        commas = len(self.header) - 1
        found = [line for line, cells in zip(self.lines, self.rows, strict=True) if _holds_rows(cells, commas)]
        if found:
            warnings.warn(
                f"{self._path}: in {plural(len(found), 'text')} lines look like rows of the table, first from line "
                f"{found[0]} on: look whether its quote is closed where it should be",
                UserWarning,
                stacklevel=5,
            )

    def _refused(self, line: int, reason: str) -> ValueError:
        return ValueError(f"{self._path} cannot be read with certainty: line {line} {reason}.")


def _holds_rows(cells: list[str], commas: int) -> bool:
    for cell in cells:
        if commas and cell.count("\n") >= _SUSPICIOUS_LINES:
            lines = cell.split("\n")
            # The first line begins in a row and the last ends in one: which of them is whole depends on the column.
            if any(all(line.count(",") == commas for line in part) for part in (lines[1:], lines[:-1])):
                return True
    return False
