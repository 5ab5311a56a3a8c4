"""A file's rows, whatever its format, sorted into texts with labels and reasons to leave a row out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from .._base.checks import warn_user
from .._base.files import reading
from .._base.labels import label_array
from .._base.words import plural, repaired, shortened
from .columns import TEXT_NAMES, Columns
from .csv_file import CsvTable
from .json_file import json_rows, jsonl_rows
from .opened import COMPRESSED, is_compressed, opened, suffix_of
from .parquet_file import parquet_rows

FORMATS = {
    ".csv": "a CSV file",
    ".tsv": "a table separated by tabs",
    ".json": "a JSON file",
    ".jsonl": "a file of JSON lines",
    ".txt": "a text file",
    ".parquet": "a Parquet file",
}
# What the rows of a file are numbered as, from 1.
UNITS = dict.fromkeys(FORMATS, "line") | {".json": "row", ".parquet": "row"}


def read_rows(path: Path, columns: Columns) -> Iterator[tuple[int, Any]]:
    """The rows of a file, read as its suffix says: their numbers, and texts (str), objects of columns, or what is
    neither.

    Raises
    ------
    ImportError
        If the format needs a package that is missing.
    OSError
        If there is no such file, or it is a folder.
    ValueError
        If the suffix is unknown, or the file is not what it says or can be read in two ways.
    """
    suffix = check_file(path)
    with reading(path, FORMATS[suffix]):
        yield from _READERS[suffix](path, columns)


def check_file(path: Path) -> str:
    """The suffix that tells a file's format.

    Raises
    ------
    OSError
        If there is no such file, or it is a folder.
    ValueError
        If the suffix is unknown.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file: name a {_suffixes()} file.")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is a pipe or a device, not a file: save what it gives in a {_suffixes()} file.")
    if not path.is_file():
        raise FileNotFoundError(f"No such file: {path}. read_texts takes the path of a {_suffixes()} file.")
    suffix = suffix_of(path)
    if suffix not in FORMATS:
        raise ValueError(
            f"Cannot tell the format of {path}: its suffix is {suffix!r}, not one of {_suffixes()}, nor one of these "
            f"followed by {COMPRESSED}."
        )
    if suffix == ".parquet" and is_compressed(path):
        raise ValueError(f"{path} is compressed as a whole, which Parquet is inside: decompress it.")
    return suffix


def _suffixes() -> str:
    *most, last = FORMATS
    return f"{', '.join(most)} or {last}"


def _csv(path: Path, columns: Columns, delimiter: str | None = None) -> Iterator[tuple[int, Any]]:
    table, line = CsvTable(path, columns, delimiter), 0
    for line, cells in table:
        yield line, dict(zip(table.header, cells, strict=True))
    if table.header and not line:
        raise ValueError(
            f"{path} has no rows below its header {shortened(table.header, 200)}: the first line names the columns, "
            "and each line after it is a text."
        )


def _tsv(path: Path, columns: Columns) -> Iterator[tuple[int, Any]]:
    return _csv(path, columns, "\t")


def _json(path: Path, columns: Columns) -> Iterator[tuple[int, Any]]:
    return enumerate(json_rows(path, columns), 1)


def _jsonl(path: Path, columns: Columns) -> Iterator[tuple[int, Any]]:
    return jsonl_rows(path)


def _txt(path: Path, columns: Columns) -> Iterator[tuple[int, Any]]:
    if columns.named:
        raise ValueError(f"{path} is a text file, one text a line, and has no columns to choose.")
    with opened(path) as file:
        for number, line in enumerate(file, 1):  # lines end as files' do, not at form feeds and the like
            if not line.strip():
                continue
            if "\0" in line:
                raise ValueError(f"{path}: line {number} holds null characters, as UTF-16 text does: save it as UTF-8.")
            yield number, line.rstrip("\n")


_READERS: dict[str, Callable[[Path, Columns], Iterator[tuple[int, Any]]]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".json": _json,
    ".jsonl": _jsonl,
    ".txt": _txt,
    ".parquet": parquet_rows,
}


class Reading:
    """Texts and labels of rows, one after the other as it is iterated over, with counts of what was left out.

    Parameters
    ----------
    rows : iterable of (int, row)
        As `read_rows` gives them.
    columns : Columns
    name : str
        What the rows are called in messages, such as the file's path.
    unit : str
        What their numbers count.

    Attributes
    ----------
    n_rows : int
        Seen so far.
    skipped : Counter
        Reasons to leave a row out.

    Raises
    ------
    ValueError
        As `read_rows`; if a row can be read in two ways; and at the end, where no row has a text, or a column of labels
        that is named.
    """

    def __init__(self, rows: Iterable[tuple[int, Any]], columns: Columns, name: str, unit: str = "row") -> None:
        self.rows, self.columns, self.name, self.unit = rows, columns, name, unit
        self.n_rows = 0
        self.skipped = Counter[str]()
        self._seen: dict[str, None] = {}  # names of columns
        self._n_repaired, self._labeled = 0, columns.label is None

    @classmethod
    def of_file(cls, path: Path, columns: Columns) -> Reading:
        """Of a file."""
        return cls(read_rows(path, columns), columns, str(path), UNITS[check_file(path)])

    def __iter__(self) -> Iterator[tuple[Any, str | None]]:
        for place, row in self.rows:
            self.n_rows += 1
            self._note(row)
            try:
                text, label, problem = self.columns.read(row)
            except ValueError as error:
                raise ValueError(f"{self.name}: {self.unit} {place} {error}.") from error
            if problem:
                self.skipped[problem] += 1
            else:
                yield self._repaired(text), label and repaired(label)
        self._check()
        self._warn()

    def _note(self, row: Any) -> None:
        """Remember the names of columns, for messages."""
        if isinstance(row, Mapping):
            self._labeled = self._labeled or any(map(self.columns.is_label, row))
            if self.n_rows <= _SEEN_ROWS:
                self._seen |= dict.fromkeys(map(str, row))

    def _repaired(self, text: Any) -> Any:
        if not isinstance(text, str):  # a chat
            return text
        found = repaired(text)
        self._n_repaired += found != text
        return found

    def _check(self) -> None:
        """Refuse a file without texts, or without the column of labels that was named."""
        names = ", ".join(shortened(name)[1:-1] for name in list(self._seen)[:10])
        seen = f" (seen: {names})" if names else ""
        if not self._labeled:
            raise ValueError(f"{self.name} has no column {self.columns.label!r}{seen}.")
        if self.n_rows == self.skipped.total():
            wanted = repr(self.columns.text) if self.columns.text is not None else f"one of {', '.join(TEXT_NAMES)}"
            raise ValueError(
                f"No texts in {self.name}: {plural(self.n_rows, 'row')}{self._reasons(', ')}. "
                f"Give every row a text under {wanted}{seen}, or name its column with text_column."
            )

    def _warn(self) -> None:
        if self.skipped:
            n_skipped = self.skipped.total()
            warn_user(f"Skipped {n_skipped} of {plural(self.n_rows, 'row')} of {self.name}: {self._reasons()}.")
        if self._n_repaired:
            warn_user(
                f"{self.name}: {plural(self._n_repaired, 'text')} held half of a surrogate pair, now the replacement "
                "character U+FFFD."
            )

    def _reasons(self, before: str = "") -> str:
        return before * bool(self.skipped) + ", ".join(f"{count} {why}" for why, count in self.skipped.most_common())


_SEEN_ROWS = 100


def collect(path: Path, columns: Columns) -> Bunch:
    """What `read_texts` returns; see there."""
    found = Reading.of_file(path, columns)
    rows = list(found)
    return Bunch(
        texts=[text for text, _ in rows],
        labels=_label_array([label for _, label in rows], path),
        n_rows=found.n_rows,
        n_skipped=found.skipped.total(),
        skipped=dict(found.skipped),
        filename=str(path),
    )


def _label_array(labels: list[str | None], path: Path) -> np.ndarray | None:
    if all(label is None for label in labels):
        return None
    return label_array(labels, f"{path}: labels")
