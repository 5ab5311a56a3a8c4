"""Rows of any table as plain numbers; those of memory maps are read without keeping their pages.

The pages of a mapped file that were touched count as resident memory, so that going through a map once makes the
process as large as the file. They are let go of after each piece that is copied; the page cache still has them.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .ahead import read_ahead
from .devices import to_numpy, to_tensor

if TYPE_CHECKING:
    from .annotated import RowSource

# Bytes of a map that are resident at once.
_SPAN_BYTES = 32 * 2**20


def copy_rows(X: np.ndarray, index: slice | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Rows of an array by a slice, or by row numbers from 0; of a memory map a copy, whose pages are let go of.

    Row numbers may be in any order; ascending ones are read fastest. They are written to `out`, if it is given.
    """
    mapping, plain = shared_mapping(X), np.asarray(X)
    if mapping is None:
        if out is None:
            return plain[index]
        out[...] = plain[index]
        return out
    start, stop, step = index.indices(len(plain)) if isinstance(index, slice) else (0, 0, 0)
    rows = slice(start, max(start, stop)) if step == 1 else np.arange(len(plain))[index]
    n_rows = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
    out = np.empty((n_rows, *plain.shape[1:]), dtype=plain.dtype) if out is None else out
    at_once = max(1, _SPAN_BYTES // max(1, plain[:1].nbytes))
    for place, some in _pieces(rows, at_once):
        out[place] = plain[some]
        _let_go(mapping, plain[some] if isinstance(some, slice) else plain[some.min() : some.max() + 1])
    return out


def shared_mapping(X: Any) -> mmap.mmap | None:
    """The mapping that an array is a view of, if its pages may be let go of without losing anything.

    Those of a copy-on-write map may not: what was written to them is nowhere else.
    """
    mode = None
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap):
            mode = X.mode
        X = X.base
    can = isinstance(X, mmap.mmap) and mode in ("r", "r+", "w+") and hasattr(mmap, "MADV_DONTNEED")
    return X if can else None


def _pieces(rows: slice | np.ndarray, at_once: int) -> Iterator[tuple[slice, slice | np.ndarray]]:
    """Places in the result, and rows for them that lie within `at_once` neighbors."""
    if isinstance(rows, slice):
        for start in range(rows.start, rows.stop, at_once):
            stop = min(start + at_once, rows.stop)
            yield slice(start - rows.start, stop - rows.start), slice(start, stop)
        return
    start = 0
    for some in np.split(rows, np.flatnonzero(np.diff(rows // at_once)) + 1):
        if len(some):
            yield slice(start, start + len(some)), some
        start += len(some)


def _let_go(mapping: mmap.mmap, view: np.ndarray) -> None:
    """Make the pages behind `view`, a part of a shared mapping, not resident."""
    reach = [(n - 1) * stride for n, stride in zip(view.shape, view.strides, strict=True)]
    origin = np.frombuffer(mapping, dtype=np.uint8).__array_interface__["data"][0]
    first = view.__array_interface__["data"][0] - origin
    low = first + sum(min(0, r) for r in reach)
    high = first + sum(max(0, r) for r in reach) + view.itemsize
    low -= low % mmap.PAGESIZE
    mapping.madvise(mmap.MADV_DONTNEED, low, high - low)


def read_rows(X: RowSource | Tensor, index: slice | np.ndarray, device: torch.device) -> Tensor:
    """Rows of `X` as a tensor in their own precision."""
    if isinstance(X, Tensor):
        rows = X.detach()[torch.as_tensor(index) if isinstance(index, np.ndarray) else index]
        return rows.to(device)
    return _as_tensor(read_values(X, index), device)


def read_values(X: RowSource | Tensor, index: slice | np.ndarray) -> np.ndarray:
    """Rows of any table by a slice or by numbers from 0 in any order, as a plain array, for which no facts are read.

    Of a memory map it is a copy, whose pages are let go of; numbers in bfloat16 become float32.
    """
    if isinstance(X, Tensor):
        return to_numpy(X.detach()[index if isinstance(index, slice) else torch.from_numpy(index).to(X.device)])
    if isinstance(X, np.ndarray):
        return copy_rows(X, index)
    if isinstance(index, slice):
        start, stop, step = index.indices(X.shape[0])
        index = slice(start, max(start, stop)) if step == 1 else np.arange(start, stop, step)
    if (numbers := getattr(type(X), "read_values", None)) is not None:
        return np.asarray(numbers(X, index))
    if isinstance(index, slice) or (np.diff(index) > 0).all():
        return np.asarray(X[index])
    ascending, places = np.unique(index, return_inverse=True)
    return np.asarray(X[ascending])[places]


def read_in_turn(X: RowSource | Tensor, places: Sequence[slice | np.ndarray], device: torch.device) -> Iterator[Tensor]:
    """Rows of one place after the other, in their own precision; those on disk are read ahead by another thread."""
    if len(places) < 2 or not is_on_disk(X):
        for place in places:
            yield read_rows(X, place, device)
        return
    # That thread knows nothing of torch's modes, so it makes no tensors. No name here holds what was read.
    yield from map(lambda values: _as_tensor(values, device), read_ahead(lambda place: read_values(X, place), places))


def is_on_disk(X: Any) -> bool:
    """Whether rows are read from a file, so that reading takes time: of a memory map, or a table that reads them."""
    return shared_mapping(X) is not None or hasattr(type(X), "read_values")


def _as_tensor(values: np.ndarray, device: torch.device) -> Tensor:
    """Numbers as a tensor, which shares their memory where it can."""
    return to_tensor(np.ascontiguousarray(values), device)
