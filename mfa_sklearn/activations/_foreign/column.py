"""A table, or one entry per row, in a file: shape and type are known from the file's head, rows are read later."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..._base.files import reading
from ..._base.lazy_rows import Index, in_order, parts_of, read_values
from ..._base.words import shortened


class Column(ABC):
    """Something in a file with an entry per row: numbers (n, d) or (n, n_layers, d), or a fact (n,).

    Parameters
    ----------
    path : Path
    name : str
        Of the tensor or column in the file; "" where a file holds one alone.
    shape : tuple of int
    dtype : dtype
        Of what is read.
    """

    def __init__(self, path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.path, self.name, self.shape, self.dtype = path, name, tuple(shape), np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def told(self) -> str:
        """What it is called in errors."""
        return f"{str(self.path)!r}" + (f", {self.name!r}" if self.name else "")

    def check(self) -> None:  # noqa: B027 - most heads say no more than the shape
        """Refuse a table that its file's head shows to be none."""

    def has_nulls(self) -> bool:
        """Whether the file's head says that entries are missing."""
        return False

    def let_go(self) -> None:  # noqa: B027 - most keep nothing
        """Keep nothing of what was read."""

    def read(self, index: Index, layer: int | None = None) -> np.ndarray:
        """Entries of rows, which are given as in `LazyRows.read_values`; of a table of several layers those of one."""
        with reading(self.path, "what it was when it was opened"):
            return self._read(index, layer)

    @abstractmethod
    def _read(self, index: Index, layer: int | None) -> np.ndarray: ...


class ArrayColumn(Column):
    """One that a file gives as an array or tensor of which parts are read when they are asked for."""

    @abstractmethod
    def array(self) -> Any:
        """The array or tensor."""

    def _read(self, index: Index, layer: int | None) -> np.ndarray:
        whole = self.array()
        if tuple(whole.shape) != self.shape:
            raise ValueError(f"it has shape {tuple(whole.shape)} by now, and had {self.shape}: open it again")
        return read_values(whole if layer is None else whole[:, layer], index)


class LayerOf(Column):
    """One layer of a table of several, (n, n_layers, d)."""

    def __init__(self, column: Column, place: int) -> None:
        super().__init__(column.path, column.name, (column.shape[0], column.shape[2]), column.dtype)
        self._column, self._place = column, place

    def _read(self, index: Index, layer: int | None) -> np.ndarray:
        return self._column.read(index, self._place)


def layers_of(column: Column, numbers: Sequence[int] | None) -> list[tuple[int, Column]]:
    """The layers of a table of several, called by `numbers`, or 0, 1, ..."""
    numbers = range(column.shape[1]) if numbers is None else numbers
    if len(numbers) != column.shape[1]:
        raise ValueError(f"{column.told} has {column.shape[1]} layers, and layers={shortened(list(numbers))}")
    return [(int(number), LayerOf(column, place)) for place, number in enumerate(numbers)]


class Columns:
    """Columns of several files, one after the other; only the one that was read last may keep what it read."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns, self._last = tuple(columns), 0
        self._offsets = np.concatenate([[0], np.cumsum([len(column) for column in columns])]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._offsets[-1])

    def read(self, index: Index) -> np.ndarray:
        """Entries of rows, which are given as in `LazyRows.read_values`."""
        parts = list(parts_of(self._offsets, index)) or [(0, slice(0, 0), slice(0, 0))]
        pieces = []
        for number, _, local in parts:
            if number != self._last:
                self.columns[self._last].let_go()
                self._last = number
            pieces.append(self.columns[number].read(local))
        return in_order(pieces, [where for _, where, _ in parts])
