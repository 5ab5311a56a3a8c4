"""Columns of Parquet files, read row group by row group."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..._base.checks import import_optional, warn_user
from ..._base.lazy_rows import Index, in_order, parts_of
from ..._base.words import shortened
from .column import Column
from .names import fact_called

_NO_NAN = "rows without a number, and whole numbers have no NaN: fill them in, or write floating-point numbers"


class ParquetColumn(Column):
    """A column of a Parquet file: numbers, strings, or lists of equally many numbers.

    The row group that was read last is kept, so that batches of rows do not decode it again and again.
    """

    def __init__(self, path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype, groups: np.ndarray) -> None:
        super().__init__(path, name, shape, dtype)
        self._groups, self._names = groups, [name]
        self._last: tuple[int, np.ndarray] | None = None

    def check(self) -> None:
        """Refuse lists of unequal lengths, and rows without one, as far as the file's footer tells."""
        for number, counts in enumerate(self._counts()):
            n_rows = int(self._groups[number + 1] - self._groups[number])
            if counts.num_values != n_rows * self.shape[1]:
                raise ValueError(
                    f"{self.told} has {counts.num_values:,} numbers in {n_rows:,} rows from row "
                    f"{int(self._groups[number]):,} on, and {self.shape[1]:,} in the first: rows must be equally long, "
                    "and none be missing"
                )
        self._check_whole()

    def _check_whole(self) -> None:
        """Refuse whole numbers of which some are missing: they have no NaN."""
        if self.dtype.kind != "f" and self.has_nulls():
            raise ValueError(f"{self.told} has {_NO_NAN}")

    def has_nulls(self) -> bool:
        """Whether entries are missing, as far as the file's footer tells."""
        known = [counts.statistics for counts in self._counts() if counts.is_stats_set]
        return any(found.has_null_count and found.null_count for found in known)

    def _counts(self) -> list[Any]:
        """What the footer says, row group by row group."""
        names = tuple(f"{name}." for name in self._names)
        with _opened(self.path) as file:
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        columns = [group.column(place) for group in groups for place in range(group.num_columns)]
        return [column for column in columns if f"{column.path_in_schema}.".startswith(names)]

    def _read(self, index: Index, layer: int | None) -> np.ndarray:
        parts = list(parts_of(self._groups, index))
        if not parts:
            return np.zeros((0, *self.shape[1:]), self.dtype)
        pieces = [self._group(number)[local] for number, _, local in parts]
        return in_order(pieces, [where for _, where, _ in parts])

    def _group(self, number: int) -> np.ndarray:
        last = self._last
        if last is None or last[0] != number:
            last = self._last = (number, self._decoded(number))
        return last[1]

    def _decoded(self, number: int) -> np.ndarray:
        values = self._read_group(number).column(0).combine_chunks()
        if len(self.shape) == 1:
            return np.asarray(values.to_pylist(), dtype=object) if values.null_count else values.to_numpy(False)
        odd = np.asarray(values.value_lengths().fill_null(-1)) != self.shape[1]
        if odd.any():
            row = int(self._groups[number]) + int(np.argmax(odd))
            raise ValueError(f"{self.name!r} has no list of {self.shape[1]:,} numbers in row {row:,}")
        return self._numbers(values.flatten()).reshape(-1, self.shape[1])

    def _read_group(self, number: int) -> Any:
        with _opened(self.path) as file:
            return file.read_row_group(number, columns=self._names)

    def _numbers(self, values: Any) -> np.ndarray:
        """An array of pyarrow, whose numbers that are missing are NaN."""
        if values.null_count and self.dtype.kind != "f":
            raise ValueError(f"{self.name!r} has {_NO_NAN}")
        return values.to_numpy(zero_copy_only=False).astype(self.dtype, copy=False)

    def let_go(self) -> None:
        self._last = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last": None}


class ParquetFeatures(ParquetColumn):
    """Columns of a Parquet file, each of one feature, as one table."""

    def __init__(self, columns: Sequence[ParquetColumn]) -> None:
        first, names = columns[0], [column.name for column in columns]
        kind = np.result_type(*(column.dtype for column in columns))
        told = f"{names[0]} to {names[-1]}"
        super().__init__(first.path, told, (len(first), len(columns)), kind, first._groups)
        self._names = names

    def check(self) -> None:
        """Refuse whole numbers of which some are missing, as far as the file's footer tells."""
        self._check_whole()

    def like(self, first: ParquetFeatures) -> ParquetFeatures:
        """The same features in the order of another file's, whatever the order of the columns in this one.

        Raises
        ------
        ValueError
            If they are others.
        """
        odd = sorted({*self._names} ^ {*first._names})
        if odd:
            raise ValueError(
                f"{str(self.path)!r} and {str(first.path)!r} have other columns of numbers ({shortened(odd, 100)}): "
                "name those that are features by activations="
            )
        self._names = list(first._names)
        return self

    def _decoded(self, number: int) -> np.ndarray:
        group = self._read_group(number)
        return np.stack([self._numbers(group.column(name)) for name in self._names], axis=1)


def parquet_columns(path: Path) -> list[Column]:
    """The columns that may be rows or facts of them; of lists of no fixed length, the first one tells how many."""
    with _opened(path) as file:
        meta = file.metadata
        sizes = [meta.row_group(number).num_rows for number in range(meta.num_row_groups)]
        groups = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        found: list[Column] = []
        for field in file.schema_arrow:
            shape_and_type = _shape_and_type(file, field, meta.num_rows)
            if shape_and_type is not None:
                found.append(ParquetColumn(path, field.name, *shape_and_type, groups))
            elif meta.num_rows and fact_called(field.name, True):
                warn_user(f"{str(path)!r}, {field.name!r} is left out: it holds {field.type}, not numbers or strings")
    return found


def _shape_and_type(file: Any, field: Any, n_rows: int) -> tuple[tuple[int, ...], np.dtype] | None:
    types = import_optional("pyarrow.types", "reading Parquet")
    kind = field.type
    if types.is_fixed_size_list(kind):
        inner = _numpy_type(kind.value_type)
        return None if inner is None else ((n_rows, kind.list_size), inner)
    if types.is_list(kind) or types.is_large_list(kind):
        inner = _numpy_type(kind.value_type)
        if inner is None or inner.kind == "O" or not n_rows:
            return None
        first = next(file.iter_batches(1, row_groups=[0], columns=[field.name])).column(0)[0].as_py()
        return (n_rows, len(first or ())), inner
    inner = _numpy_type(kind)
    return None if inner is None else ((n_rows,), inner)


def _numpy_type(kind: Any) -> np.dtype | None:
    """The type of what is read; objects for strings, None for what is neither numbers nor strings."""
    types = import_optional("pyarrow.types", "reading Parquet")
    if types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind):
        return np.dtype(object)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return np.dtype(kind.to_pandas_dtype())
    return None


def _opened(path: Path) -> Any:
    return import_optional("pyarrow.parquet", f"reading {str(path)!r}").ParquetFile(path, memory_map=True)
