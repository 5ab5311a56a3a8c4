"""Facts of many rows in four bytes each: strings and labels as the numbers of their distinct values.

Tokens of five million rows are half a gigabyte as an array of strings, and more as objects; there are some ten thousand
different ones. Tables that read their facts are gone through chunk by chunk, so that nothing else is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .annotated import row_fact
from .labels import is_missing
from .lazy_rows import LazyRows, read_facts

# Rows whose fact is in memory as it is, at once.
_ROWS = 2**16
# Facts that are strings, or may be.
_NAMES = ("tokens", "labels", "roles")
_read: WeakKeyDictionary[LazyRows, dict[str, Any]] = WeakKeyDictionary()


class Coded:
    """One of a few values for each of many rows; selecting rows gives an array of their values.

    Parameters
    ----------
    codes : ndarray of int of shape (n,)
        The number of each row's value, -1 for a row that has none.
    values : ndarray of shape (m,)
        In the order in which they first come.

    Examples
    --------
    >>> import numpy as np
    >>> fact = Coded(np.array([0, 1, 0, -1]), np.array(["cat", "dog"]))
    >>> len(fact), fact[1:].tolist(), fact[0]
    (4, ['dog', 'cat', None], 'cat')
    """

    ndim = 1

    def __init__(self, codes: np.ndarray, values: np.ndarray) -> None:
        self.codes, self.values = codes, values
        # A code of -1 takes the last entry.
        self._table = np.append(values.astype(object), [None]) if len(codes) and codes.min() < 0 else values

    @property
    def shape(self) -> tuple[int]:
        return (len(self.codes),)

    @property
    def dtype(self) -> np.dtype:
        """Of what a selection gives."""
        return self._table.dtype

    @property
    def counts(self) -> np.ndarray:
        """How many rows have each value, (m,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> Any:
        return self._table[self.codes[rows]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = self._table[self.codes]
        return whole if dtype is None else whole.astype(dtype)

    def __iter__(self) -> Iterator[Any]:
        return iter(self[:])

    def __repr__(self) -> str:
        return f"Coded({len(self)} rows, {len(self.values)} values)"


def compact_fact(X: Any, name: str) -> np.ndarray | Coded | None:
    """A fact per row; of a table that reads its facts, strings and labels as codes. None where it has none.

    Tokens of rows that know their token ids are told apart by these. As codes, labels that are missing are None, in
    whatever form they are missing.
    """
    return _kept(X, name, _coded) if name in _NAMES else row_fact(X, name)


def short_fact(X: Any, name: str) -> np.ndarray | None:
    """A fact per row that is a whole number, in four bytes where it is read and fits; None where there is none.

    What is computed of them is to be computed in eight bytes.

    Examples
    --------
    >>> from mfa_sklearn._base.annotated import AnnotatedArray
    >>> from mfa_sklearn._base.row_views import RowRange
    >>> X = RowRange(AnnotatedArray(np.eye(3), rows={"positions": [7, 8, 9]}), 1, 3)
    >>> short_fact(X, "positions")
    array([8, 9], dtype=int32)
    """
    return _kept(X, name, _short)


def _kept(X: Any, name: str, make: Callable[[LazyRows, str], Any]) -> Any:
    """What is made of a fact once for each table that reads its facts; of other tables the fact as it is."""
    if not isinstance(X, LazyRows) or name not in X.fact_names:
        return row_fact(X, name)
    known = _read.setdefault(X, {})
    if name not in known:
        known[name] = make(X, name)
    return known[name]


def _short(X: LazyRows, name: str) -> np.ndarray:
    found, fits = np.empty(len(X), dtype=np.int32), np.iinfo(np.int32)
    for place in _chunks(len(X)):
        some = read_facts(X, place, [name])[name]
        if some.dtype.kind not in "iu" or (len(some) and (some.min() < fits.min or some.max() > fits.max)):
            return X.rows[name]
        found[place] = some
    return found


def _coded(X: LazyRows, name: str) -> Coded:
    by_id = name == "tokens" and "token_ids" in X.fact_names
    numbering = _Numbering(len(X), is_missing if name == "labels" else _is_none)
    for place in _chunks(len(X)):
        key = "token_ids" if by_id else name
        keys = read_facts(X, place, [key])[key]

        def values(rows: np.ndarray, place: slice = place) -> np.ndarray:
            return read_facts(X, rows + place.start, [name])[name]

        numbering.add(keys, values if by_id else None)
    return numbering.coded()


class _Numbering:
    """Gathers the codes of a fact, chunk after chunk.

    Parameters
    ----------
    n_rows : int
        Of all chunks.
    is_none : callable
        Whether a key says that a row has no value.
    """

    def __init__(self, n_rows: int, is_none: Callable[[Any], bool]) -> None:
        self._codes, self._is_none = np.empty(n_rows, dtype=np.int32), is_none
        self._numbers: dict[Any, int] = {}
        self._values: list[np.ndarray] = []
        self._filled = 0

    def add(self, keys: np.ndarray, read: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
        """Take in more rows.

        Parameters
        ----------
        keys : ndarray
            What tells the rows' values apart.
        read : callable, optional
            Gives the values of rows by their ascending numbers in the chunk; by default the keys themselves.
        """
        distinct, first, inverse = _distinct(keys)
        n_before = len(self._numbers)
        known = np.array([self._number(key) for key in distinct], dtype=np.int32)
        rows = first[known >= n_before]
        if len(rows):
            self._values.append(keys[rows] if read is None else read(rows))
        self._codes[self._filled : self._filled + len(keys)] = known[inverse]
        self._filled += len(keys)

    def _number(self, key: Any) -> int:
        return -1 if self._is_none(key) else self._numbers.setdefault(key, len(self._numbers))

    def coded(self) -> Coded:
        """All of them."""
        kinds = {part.dtype.kind for part in self._values}
        parts = self._values if len(kinds) < 2 else [part.astype(object) for part in self._values]
        return Coded(self._codes, np.concatenate(parts) if parts else np.zeros(0, dtype=object))


def _is_none(key: Any) -> bool:
    return key is None


def _distinct(keys: np.ndarray) -> tuple[list[Any], np.ndarray, np.ndarray]:
    """Distinct keys as they first come, the rows (m,) where they do, and each row's key (n,)."""
    if keys.dtype == object:
        numbers: dict[Any, int] = {}
        inverse = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=int)
        return list(numbers), np.unique(inverse, return_index=True)[1], inverse
    values, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return values[order].tolist(), first[order], rank[inverse]


def _chunks(n_rows: int) -> Iterator[slice]:
    """Places of rows whose fact may be in memory at once."""
    for start in range(0, n_rows, _ROWS):
        yield slice(start, min(start + _ROWS, n_rows))
