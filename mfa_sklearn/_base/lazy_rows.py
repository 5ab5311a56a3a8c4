"""Tables that read their numbers, and facts of their rows, when they are asked for.

Numbers and facts are read apart from each other: what needs numbers alone (a fit) reads no facts, and what needs one
fact of some rows reads that of these rows. The functions here do the same for any table, be it an array, a tensor, or
what another package reads from a file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .annotated import AnnotatedArray, row_selection
from .mapped import read_values as read_values

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

# Rows by a run of them, or by their numbers from 0 in any order.
Index = slice | np.ndarray

_INDEXED = "a store is indexed by a slice, a mask or a list of rows"


class LazyRows(ABC):
    """A table of shape (n, d) that carries facts and reads them, and its numbers, when they are asked for.

    Selecting rows by a slice, an array of row numbers or a mask gives an array with the facts of these rows; a single
    number gives one plain row; `numpy.asarray` reads everything.
    """

    ndim = 2

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype:
        """Of the numbers."""

    @property
    @abstractmethod
    def shared(self) -> dict[str, Any]:
        """Facts about the table as a whole."""

    @property
    @abstractmethod
    def fact_names(self) -> tuple[str, ...]:
        """Names of the facts per row that there are."""

    @abstractmethod
    def read_values(self, index: Index) -> np.ndarray:
        """Numbers of rows, without their facts.

        Parameters
        ----------
        index : slice or ndarray of int64
            A run from a start to a stop, both given and within the table; or row numbers from 0, in any order.
        """

    @abstractmethod
    def read_facts(self, index: Index, names: Collection[str]) -> dict[str, np.ndarray]:
        """Facts of rows, which are given as in `read_values`."""

    @property
    def array_type(self) -> type[AnnotatedArray]:
        """Of what a selection of rows gives."""
        return AnnotatedArray

    @cached_property
    def rows(self) -> Mapping[str, np.ndarray]:
        """Facts per row, for all rows; each is read when it is first asked for."""
        return LazyFacts(self)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        rows, keeps_columns = row_selection(key)
        if not keeps_columns:
            raise IndexError(f"{_INDEXED}: select columns of what that gives")
        if isinstance(rows, int | np.integer) and not isinstance(rows, bool):
            return self.read_values(row_index(np.array([rows]), len(self)))[0]
        index = row_index(rows, len(self))
        return self.array_type(self.read_values(index), self.read_facts(index, self.fact_names), self.shared)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(f"a {type(self).__name__} is read when it is asked for, so an array of it is a copy")
        values = self.read_values(slice(0, len(self)))
        return values if dtype is None else values.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"


class LazyFacts(Mapping[str, np.ndarray]):
    """Facts per row of all rows, each read at first use, so that asking for one does not read the others."""

    def __init__(self, table: LazyRows) -> None:
        self._table = table
        self._read: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self:
            raise KeyError(name)
        if name not in self._read:
            self._read |= self._table.read_facts(slice(0, len(self._table)), [name])
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._table.fact_names

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.fact_names)

    def __len__(self) -> int:
        return len(self._table.fact_names)

    def __repr__(self) -> str:
        return f"facts of {len(self._table)} rows: {', '.join(self)}"


# ---------------------------------------------------------------- any table


def read_facts(X: Any, index: Index, names: Collection[str]) -> dict[str, np.ndarray]:
    """Facts of rows of any table that has them; of a table that reads its facts, those of these rows alone."""
    if isinstance(X, LazyRows):
        return X.read_facts(index, names)
    facts = facts_of(X, "rows")
    return {name: facts[name][index] for name in names}


def fact_names(X: Any) -> tuple[str, ...]:
    """Names of the facts per row that a table carries, found without reading one."""
    return X.fact_names if isinstance(X, LazyRows) else tuple(facts_of(X, "rows"))


def dtype_of(X: Any) -> np.dtype:
    """Of the numbers that `read_values` gives."""
    if not isinstance(X, Tensor):
        return np.dtype(X.dtype)
    kind = torch.float32 if X.dtype == torch.bfloat16 else X.dtype
    return torch.empty(0, dtype=kind).numpy().dtype


def facts_of(X: Any, kind: str) -> Mapping[str, Any]:
    found = getattr(X, kind, None)
    return found if isinstance(found, Mapping) else {}


def array_type_of(X: Any) -> type[AnnotatedArray]:
    if isinstance(X, LazyRows):
        return X.array_type
    return type(X) if isinstance(X, AnnotatedArray) else AnnotatedArray


# ---------------------------------------------------------------- rows by their numbers


def row_index(key: slice | ArrayLike, n_rows: int) -> Index:
    """Rows of a slice, a mask or an array of numbers: a run of them, or their numbers from 0.

    Raises
    ------
    IndexError
        If it is none of these, a mask of another length, or a number is out of range.
    """
    if isinstance(key, slice):
        start, stop, step = key.indices(n_rows)
        return slice(start, max(start, stop)) if step == 1 else np.arange(start, stop, step)
    index = np.asarray(key)
    if index.dtype == bool and index.ndim == 1:
        if len(index) != n_rows:
            raise IndexError(f"{_INDEXED}: a mask of {len(index)} entries does not fit {n_rows} rows")
        return np.flatnonzero(index)
    if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
        raise IndexError(f"{_INDEXED}, not by {type(key).__name__} of shape {index.shape} and dtype {index.dtype}")
    outside = (index < -n_rows) | (index >= n_rows)
    if outside.any():
        raise IndexError(f"row {int(index[np.argmax(outside)])} is out of range for {n_rows} rows")
    return np.where(index < 0, index + n_rows, index).astype(np.int64)


def parts_of(offsets: np.ndarray, index: Index) -> Iterator[tuple[int, Index, Index]]:
    """The parts of a table that rows lie in: a part's number, places in `index`, and row numbers in the part.

    Parameters
    ----------
    offsets : ndarray of shape (n_parts + 1,)
        The first row of each part, and the number of all rows.
    index : slice or ndarray
        As in `LazyRows.read_values`.
    """
    if isinstance(index, slice):
        low, high = int(np.searchsorted(offsets, index.start, "right")) - 1, int(np.searchsorted(offsets, index.stop))
        for number, (first, last) in enumerate(pairwise(offsets[low : high + 1].tolist()), low):
            start, stop = max(first, index.start), min(last, index.stop)
            if start < stop:
                yield number, slice(start - index.start, stop - index.start), slice(start - first, stop - first)
        return
    numbers = np.searchsorted(offsets, index, side="right") - 1
    order = np.argsort(numbers, kind="stable")
    for where in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        if len(where):
            number = int(numbers[where[0]])
            yield number, where, as_run(index[where] - offsets[number])


def in_order(pieces: Sequence[np.ndarray], places: Sequence[Index]) -> np.ndarray:
    """Pieces of a fact put together, each entry at its place; of numbers and strings an array of objects."""
    kinds = {"n" if piece.dtype.kind in "biuf" else piece.dtype.kind for piece in pieces}
    joined = np.concatenate(pieces if len(kinds) == 1 else [piece.astype(object) for piece in pieces])
    if all(isinstance(where, slice) for where in places):
        return joined
    order = np.empty(len(joined), dtype=np.int64)
    order[np.concatenate(places)] = np.arange(len(joined))  # type: ignore[arg-type]
    return joined[order]


def as_run(index: np.ndarray) -> Index:
    """A run of rows as a slice, which a memory map reads without an index array."""
    if len(index) and np.array_equal(index, np.arange(index[0], index[0] + len(index))):
        return slice(int(index[0]), int(index[0]) + len(index))
    return index


def count_of(index: Index) -> int:
    return index.stop - index.start if isinstance(index, slice) else len(index)
