"""Texts in JSON files: a list of texts or rows, columns, or texts by label."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .._base.words import shortened
from .columns import LABEL_NAMES, Columns, normalized
from .opened import opened

_LAYOUTS = "a list of objects, a list of strings, an object of columns or an object label -> sentences"


def json_rows(path: Path, columns: Columns) -> list[Any]:
    """The rows of a JSON file: texts, or objects of columns.

    Raises
    ------
    ValueError
        If it is no JSON, has a key twice, or its layout is none of those known or may be two of them.
    """
    with opened(path) as file:
        content = _parse(file.read(), path)
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}, not {_LAYOUTS}.")
    return _rows_of(content, path, columns)


def jsonl_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """The line numbers and the rows of a file with one text, or one object, a line, read one after the other.

    Raises
    ------
    ValueError
        If a line is no JSON, is a list or has a key twice.
    """
    with opened(path) as file:
        for number, line in enumerate(file, 1):  # lines end as files' do: JSON strings may hold U+2028 unescaped
            if not line.strip():
                continue
            row = _parse(line.rstrip("\n"), path, number)
            if isinstance(row, list):
                raise ValueError(
                    f"{path}: line {number} holds a list, not one row: a file that is a list is named .json."
                )
            yield number, row


def _parse(text: str, path: Path, line: int = 0) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        where = f"line {line or error.lineno} column {error.colno}"
        hint = "" if line else " A file with one object a line should be named .jsonl."
        raise ValueError(f"{path} is not valid JSON: {error.msg} at {where}.{hint}") from error
    except _TwiceError as error:
        where = f"an object in line {line}" if line else "one object"
        raise ValueError(
            f"{path}: {where} has the key {shortened(str(error))} twice: rename one or join them."
        ) from error
    except ValueError as error:  # a number of thousands of digits
        where = f", line {line}" if line else ""
        raise ValueError(f"{str(path)!r} cannot be read as a JSON file{where}: {error}.") from error
    except RecursionError as error:
        raise ValueError(f"{path} nests lists or objects too deeply to be texts.") from error


class _TwiceError(Exception):
    """A key that an object has twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(next(key for key in found if keys.count(key) > 1))
    return found


def _rows_of(content: dict[str, Any], path: Path, columns: Columns) -> list[Any]:
    """The rows of an object: by columns where it has one of texts, else texts by label."""
    values = list(content.values())
    if _is_split(content):  # pandas, orient="split"
        columns.check_header_of(path, content["columns"])
        return [dict(zip(map(str, content["columns"]), row, strict=True)) for row in content["data"]]
    by_row = bool(values) and all(isinstance(value, dict) and columns.holds_texts(value) for value in values)
    if columns.holds_texts(content):
        if by_row:
            raise ValueError(
                f"{path} can be read in two ways: as columns, or as rows that are named like columns, "
                f"{shortened(list(content)[:5], 200)}: write a list of objects."
            )
        return _rows_of_columns(content, path, columns)
    if by_row:
        return values  # pandas, orient="index"
    # A key that is the name of a column says that these are columns, and their texts are missing.
    by_label = not columns.named and not any(normalized(key) in LABEL_NAMES for key in content)
    if by_label and all(isinstance(value, list) and all(map(_is_text, value)) for value in values):
        return [{"text": text, "label": label} for label, texts in content.items() for text in texts]
    raise _unknown(content, path)


def _rows_of_columns(content: dict[str, Any], path: Path, columns: Columns) -> list[Any]:
    """The rows of an object of columns, if it is certain to be one."""
    values = list(content.values())
    if all(isinstance(value, dict) for value in values):  # pandas, orient="columns": cells by the names of rows
        order = list(values[0])
        if any(set(value) != set(order) for value in values):
            raise ValueError(f"{path} holds columns with different rows: write it as a list of objects.")
        values = [[value[row] for row in order] for value in values]
    if not all(isinstance(value, list) for value in values):
        raise _unknown(content, path)
    only_texts = all(_is_text(entry) for value in values for entry in value)
    labeled = columns.named or any(map(columns.is_label, content))
    if len({len(value) for value in values}) > 1 or (len(values) > 1 and only_texts and not labeled):
        raise _two_ways(content, path, next(key for key in content if columns.is_text(key)))
    return [dict(zip(content, row, strict=True)) for row in zip(*values, strict=True)]


def _two_ways(content: dict[str, Any], path: Path, text: str) -> ValueError:
    lengths = sorted({len(value) for value in content.values()})
    unequal = f" (which have {' and '.join(map(str, lengths[:4]))} rows)" if len(lengths) > 1 else ""
    return ValueError(
        f"{path} can be read in two ways: as columns{unequal}, the texts in {text!r}, or as texts by label, with the "
        f"labels {shortened(list(content)[:5], 200)}: name text_column={text!r} if it holds columns; else write a list "
        "of objects with the keys text and label."
    )


def _unknown(content: dict[str, Any], path: Path) -> ValueError:
    keys = shortened(list(content)[:5], 200)
    return ValueError(f"{path} holds an object with the keys {keys}, not {_LAYOUTS}.")


def _is_split(content: dict[str, Any]) -> bool:
    if set(content) not in ({"columns", "data"}, {"columns", "index", "data"}):
        return False
    columns, data = content["columns"], content["data"]
    return isinstance(columns, list) and isinstance(data, list) and all(_is_row(row, columns) for row in data)


def _is_row(row: Any, columns: list[Any]) -> bool:
    return isinstance(row, list) and len(row) == len(columns)


def _is_text(entry: Any) -> bool:
    return entry is None or isinstance(entry, str)
