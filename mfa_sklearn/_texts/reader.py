"""A file's rows, whatever its format, sorted into texts with labels and reasons to leave a row out."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import Bunch

from .._base.files import reading
from .._base.labels import label_array
from .._base.words import plural, repaired, shortened
from .columns import TEXT_NAMES, Columns
from .csv_file import CsvTable
from .json_file import json_rows, jsonl_rows

FORMATS = {".csv": "a CSV file", ".json": "a JSON file", ".jsonl": "a file of JSON lines", ".txt": "a text file"}


class Rows(NamedTuple):
    """What a file holds: texts (str), objects of columns (dict), or what is neither."""

    content: list[Any]
    places: list[int]  # number of each, from 1
    unit: str  # what is numbered


def read_rows(path: Path, columns: Columns) -> Rows:
    """The rows of a file, read as its suffix says.

    Raises
    ------
    OSError
        If there is no such file, or it is a folder.
    ValueError
        If the suffix is unknown, or the file is not what it says or can be read in two ways.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file: name a {_suffixes()} file.")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is a pipe or a device, not a file: save what it gives in a {_suffixes()} file.")
    if not path.is_file():
        raise FileNotFoundError(f"No such file: {path}. read_texts takes the path of a {_suffixes()} file.")
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"Cannot tell the format of {path}: its suffix is {path.suffix!r}, not one of {_suffixes()}.")
    with reading(path, FORMATS[suffix]):
        return _READERS[suffix](path, columns)


def _suffixes() -> str:
    *most, last = FORMATS
    return f"{', '.join(most)} or {last}"


def _csv(path: Path, columns: Columns) -> Rows:
    table = CsvTable(path)
    try:
        columns.check_header(table.header)
    except ValueError as error:
        raise ValueError(f"{path} {error}.") from error
    if table.header and not table.rows:
        raise ValueError(
            f"{path} has no rows below its header {shortened(table.header, 200)}: the first line names the columns, "
            "and each line after it is a text."
        )
    return Rows([dict(zip(table.header, cells, strict=True)) for cells in table.rows], table.lines, "line")


def _json(path: Path, columns: Columns) -> Rows:
    rows = json_rows(path, columns)
    return Rows(rows, list(range(1, len(rows) + 1)), "row")


def _jsonl(path: Path, columns: Columns) -> Rows:
    places, rows = jsonl_rows(path)
    return Rows(rows, places, "line")


def _txt(path: Path, columns: Columns) -> Rows:
    if columns.named:
        raise ValueError(f"{path} is a text file, one text a line, and has no columns to choose.")
    # Not splitlines(): it would break lines at form feeds and the like. Line ends of all systems have become "\n".
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    found = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if null := next((number for number, line in found if "\0" in line), 0):
        raise ValueError(f"{path}: line {null} holds null characters, as UTF-16 text does: save it as UTF-8.")
    return Rows([line for _, line in found], [number for number, _ in found], "line")


_READERS = {".csv": _csv, ".json": _json, ".jsonl": _jsonl, ".txt": _txt}


def collect(rows: Rows, path: Path, columns: Columns) -> Bunch:
    """What `read_texts` returns; see there."""
    texts: list[str] = []
    labels: list[str | None] = []
    skipped = Counter[str]()
    for row, place in zip(rows.content, rows.places, strict=True):
        try:
            text, label, problem = columns.read(row)
        except ValueError as error:
            raise ValueError(f"{path}: {rows.unit} {place} {error}.") from error
        if problem:
            skipped[problem] += 1
        else:
            texts.append(text)
            labels.append(label)
    _check_any(texts, rows, skipped, path, columns)
    if skipped:
        _warn(f"Skipped {skipped.total()} of {plural(len(rows.content), 'row')} of {path}: {_reasons(skipped)}.")
    return Bunch(
        texts=_repaired(texts, path),
        labels=_label_array(labels, path),
        n_rows=len(rows.content),
        n_skipped=skipped.total(),
        skipped=dict(skipped),
        filename=str(path),
    )


def _repaired(texts: list[str], path: Path) -> list[str]:
    found = [repaired(text) for text in texts]
    if count := sum(new != old for new, old in zip(found, texts, strict=True)):
        held = f"{path}: {plural(count, 'text')} held half of a surrogate pair"
        _warn(f"{held}, now the replacement character U+FFFD.", stacklevel=5)
    return found


def _label_array(labels: list[str | None], path: Path) -> np.ndarray | None:
    if all(label is None for label in labels):
        return None
    return label_array([label and repaired(label) for label in labels], f"{path}: labels")


def _check_any(texts: list[str], rows: Rows, skipped: Counter[str], path: Path, columns: Columns) -> None:
    """Refuse a file without texts, or without the column of labels that was named."""
    seen = _seen_names(rows.content)
    fields = (row for row in rows.content if isinstance(row, dict))
    if columns.label is not None and not any(columns.is_label(name) for row in fields for name in row):
        raise ValueError(f"{path} has no column {columns.label!r}{seen}.")
    if not texts:
        wanted = repr(columns.text) if columns.text is not None else f"one of {', '.join(TEXT_NAMES)}"
        raise ValueError(
            f"No texts in {path}: {plural(len(rows.content), 'row')}{', ' + _reasons(skipped) if skipped else ''}. "
            f"Give every row a text under {wanted}{seen}, or name its column with text_column."
        )


def _reasons(skipped: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in skipped.most_common())


def _seen_names(rows: list[Any]) -> str:
    names = {str(key): None for row in rows[:100] if isinstance(row, dict) for key in row}
    return f" (seen: {', '.join(shortened(name)[1:-1] for name in list(names)[:10])})" if names else ""


def _warn(message: str, stacklevel: int = 4) -> None:
    warnings.warn(message, UserWarning, stacklevel=stacklevel)
