"""Texts in Parquet files, of which only the columns of texts and labels are read, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .._base.checks import import_optional
from .._base.words import shortened
from .columns import Columns

_ROWS = 1024  # at a time


def parquet_rows(path: Path, columns: Columns) -> Iterator[tuple[int, dict[str, Any]]]:
    """The numbers and the rows of a Parquet file, one after the other.

    Raises
    ------
    ImportError
        If pyarrow is missing.
    ValueError
        If it is no Parquet file, damaged or cut off, or lacks a column that is named or one of texts.
    """
    pyarrow = import_optional("pyarrow", "a Parquet file")
    parquet = import_optional("pyarrow.parquet", "a Parquet file")
    try:
        with parquet.ParquetFile(path) as file:
            names = _columns_of(path, list(file.schema_arrow.names), columns)
            number = 0
            for batch in file.iter_batches(batch_size=_ROWS, columns=names):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        said = str(error).split("\n")[0]
        raise ValueError(f"{path} is no whole Parquet file ({said}): copy or download it again.") from error


def _columns_of(path: Path, names: list[str], columns: Columns) -> list[str]:
    """Those that are texts or labels."""
    columns.check_header_of(path, names)
    if not columns.holds_texts(names):
        raise ValueError(f"{path} has no column of texts among {shortened(names, 200)}: name it with text_column.")
    return [name for name in names if columns.is_text(name) or columns.is_label(name)]
