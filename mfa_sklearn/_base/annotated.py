"""Tables of rows, and facts that they carry beside their numbers.

Two kinds of facts exist: *row facts*, one entry per row (a token, a label), which are sliced with the rows, and *shared
facts*, which belong to the array as a whole (where it came from, the centers an initializer found for it). Anything
but a selection of rows - arithmetic, a reduction, a selection of columns - drops them: a fact that may no longer be
true is worse than none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from inspect import getattr_static
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import numpy as np
from scipy import sparse

from .checks import unmasked
from .frames import carried
from .labels import label_array
from .lazy_texts import LazyTexts
from .paths import opened

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class RowSource(Protocol):
    """A table of shape (n, d) that is read row by row, such as an array on disk."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, rows: Any) -> Any:
        """Rows by a slice, or by ascending row numbers."""


class AnnotatedRows(RowSource, Protocol):
    """A table that carries facts, in memory or on disk."""

    def __len__(self) -> int: ...

    @property
    def rows(self) -> Mapping[str, np.ndarray]:
        """Facts per row, each of length ``len(self)``."""

    @property
    def shared(self) -> Mapping[str, Any]:
        """Facts about the table as a whole."""


# Functions that write to their first argument.
_WRITERS = {np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask}
# Attributes that make other rows of the same numbers when they are set.
_LAYOUT = ("shape", "strides", "dtype")


class AnnotatedArray(np.ndarray):
    """A two-dimensional array with facts about its rows and about itself.

    Parameters
    ----------
    data : array-like of shape (n, d)
    rows : dict of str to array-like of length n, optional
        Facts per row; those that are None are left out.
    shared : dict of str to object, optional
        Facts about the whole array.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn._base.annotated import AnnotatedArray
    >>> X = AnnotatedArray(np.eye(3), rows={"name": ["a", "b", "c"]})
    >>> X[1:].rows["name"].tolist()
    ['b', 'c']
    >>> type(X + 1).__name__
    'ndarray'
    """

    _rows: dict[str, np.ndarray]
    _shared: dict[str, Any]

    def __new__(
        cls,
        data: ArrayLike,
        rows: Mapping[str, ArrayLike | None] | None = None,
        shared: Mapping[str, Any] | None = None,
    ) -> AnnotatedArray:
        values = np.asarray(data)
        if values.ndim != 2:
            raise ValueError(f"expected a two-dimensional array of rows, got shape {values.shape}")
        array = values.view(cls)
        array._rows = {name: _entries(name, fact) for name, fact in (rows or {}).items() if fact is not None}
        array._shared = dict(shared or {})
        for name, fact in array._rows.items():
            if len(fact) != len(array):
                raise ValueError(f"row fact {name!r} has {len(fact)} entries for {len(array)} rows")
        return array

    def __array_finalize__(self, obj: Any) -> None:
        # Views and copies come through here without their facts; __getitem__, copy and astype hand them on.
        self._rows = {}
        self._shared = {}

    @property
    def rows(self) -> dict[str, np.ndarray]:
        """Facts per row, each of length ``len(self)``."""
        return self._rows

    @property
    def shared(self) -> dict[str, Any]:
        """Facts about the array as a whole."""
        return self._shared

    def __getitem__(self, key: Any) -> Any:
        selected = super().__getitem__(key)
        row_key, keeps_columns = row_selection(key)
        if not (keeps_columns and isinstance(selected, AnnotatedArray) and selected.ndim == 2):
            return np.asarray(selected) if isinstance(selected, np.ndarray) else selected
        selected._rows = {name: fact[row_key] for name, fact in self._rows.items()}
        selected._shared = dict(self._shared)
        return selected

    def __setitem__(self, key: Any, value: Any) -> None:
        # One number written somewhere (NaN, where a value is to be missing) leaves the rows what they are.
        super().__setitem__(key, value)
        everywhere = key is Ellipsis or (isinstance(key, slice) and key == slice(None))
        if np.ndim(value) or everywhere:
            self._forget()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _LAYOUT:
            self._forget()

    def _forget(self) -> None:
        """Drop all facts, because numbers were changed in place."""
        self._rows, self._shared = {}, {}

    def take(self, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
        """Rows by their indices, with their facts; along another axis a plain array."""
        if axis == 0 and out is None and mode == "raise":
            return self[np.asarray(indices)]
        return np.asarray(self).take(indices, axis=axis, out=out, mode=mode)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        plain = [np.asarray(x) if isinstance(x, AnnotatedArray) else x for x in inputs]
        if out is not None:
            kwargs["out"] = tuple(np.asarray(x) if isinstance(x, AnnotatedArray) else x for x in out)
            for x in out:
                if isinstance(x, AnnotatedArray):
                    x._forget()
        return getattr(ufunc, method)(*plain, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func in _WRITERS and isinstance(args[0], AnnotatedArray):
            args[0]._forget()
        out = kwargs.get("out")
        if isinstance(out, AnnotatedArray):
            out._forget()
        if func is np.swapaxes and len(args) == 3 and args[1] == args[2]:
            # What numpy's generators shuffle: they are to write here, not to a view, so that facts do not outlive it.
            return args[0]
        result = super().__array_function__(func, types, args, kwargs)
        if isinstance(result, AnnotatedArray) and not result._rows and not result._shared:
            return np.asarray(result)
        return result

    def copy(self, order: Any = "C") -> AnnotatedArray:
        """A copy of numbers and facts."""
        copied = super().copy(order)
        copied._rows = {name: fact.copy() for name, fact in self._rows.items()}
        copied._shared = dict(self._shared)
        return copied

    def __copy__(self) -> AnnotatedArray:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any] | None) -> AnnotatedArray:
        copied = self.copy()
        copied._rows, copied._shared = deepcopy(self._rows, memo), deepcopy(self._shared, memo)
        return copied

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        """The numbers in another precision, with their facts; a plain array with ``subok=False``."""
        cast = super().astype(*args, **kwargs)
        if isinstance(cast, AnnotatedArray):
            cast._rows, cast._shared = dict(self._rows), dict(self._shared)
        return cast

    def with_shared(self, **facts: Any) -> AnnotatedArray:
        """The same numbers (not copied) and row facts, with these shared facts added."""
        view = self.view()
        view._rows = dict(self._rows)
        view._shared = {**self._shared, **facts}
        return view

    def fill(self, value: Any) -> None:
        """Fill with one value; facts go."""
        super().fill(value)
        self._forget()

    def resize(self, *args: Any, **kwargs: Any) -> None:
        """Change the shape in place; facts go."""
        super().resize(*args, **kwargs)
        self._forget()

    def put(self, *args: Any, **kwargs: Any) -> None:
        """Write values by their places; facts go."""
        super().put(*args, **kwargs)
        self._forget()

    def sort(self, *args: Any, **kwargs: Any) -> None:
        """Sort in place; facts go, because numbers leave their rows."""
        super().sort(*args, **kwargs)
        self._forget()

    def partition(self, *args: Any, **kwargs: Any) -> None:
        """Partition in place; facts go, because numbers leave their rows."""
        super().partition(*args, **kwargs)
        self._forget()

    def __reduce__(self) -> Any:
        reduced: Any = super().__reduce__()
        shared = {name: tuple(fact) if isinstance(fact, LazyTexts) else fact for name, fact in self._shared.items()}
        return reduced[0], reduced[1], (reduced[2], self._rows, shared)

    def __setstate__(self, state: Any) -> None:
        numbers, self._rows, self._shared = state
        super().__setstate__(numbers)


def _entries(name: str, fact: ArrayLike) -> np.ndarray:
    """A row fact as an array; of a list of labels with those that are missing as None."""
    return label_array(fact) if name == "labels" and not isinstance(fact, np.ndarray) else np.asarray(fact)


def row_selection(key: Any) -> tuple[Any, bool]:
    """The part of an index that selects rows, and whether every column is kept."""
    if key is Ellipsis:
        return slice(None), True
    if not isinstance(key, tuple):
        return key, key is not None
    if len(key) == 1:
        return row_selection(key[0])
    whole = len(key) == 2 and (key[1] is Ellipsis or (isinstance(key[1], slice) and key[1] == slice(None)))
    return key[0], whole and key[0] is not Ellipsis


def annotate(X: ArrayLike, **facts: Any) -> AnnotatedArray:
    """`X` with shared facts attached; its numbers are not copied and facts it already has are kept."""
    array = X if isinstance(X, AnnotatedArray) else AnnotatedArray(X)
    return array.with_shared(**facts)


def given_rows(X: Any) -> Any:
    """`X`, or the table it stands for.

    A path stands for what lies there, a container of tables for the one that its method `__mfa_rows__` gives, a list of
    these or of other tables for all their rows, and a masked array for one with NaN where it is masked.
    """
    if _is_list_of_tables(X):
        from .row_views import Concatenated  # which builds on this module

        return given_rows(X[0]) if len(X) == 1 else Concatenated([given_rows(table) for table in X])
    X = opened(X) if isinstance(X, str | os.PathLike) else X
    find = getattr(type(X), "__mfa_rows__", None)
    return unmasked(X if find is None else find(X))


def _is_list_of_tables(X: Any) -> bool:
    """Whether `X` is a list of paths, stores or tables; a list of lists of numbers is one table."""
    return isinstance(X, list | tuple) and len(X) > 0 and all(map(_is_table, X))


def _is_table(X: Any) -> bool:
    if isinstance(X, str | os.PathLike) or getattr_static(type(X), "__mfa_rows__", None) is not None:
        return True
    return (isinstance(X, np.ndarray) and X.ndim == 2) or is_row_source(X)


def is_row_source(X: Any) -> TypeGuard[RowSource]:
    """Whether `X` is to be read row by row; arrays, lists, frames and sparse matrices are validated as a whole."""
    if isinstance(X, np.ndarray) or sparse.issparse(X):
        return False
    return _offers(X, "shape", "dtype", "__getitem__") and len(X.shape) == 2


def row_fact(X: Any, name: str) -> np.ndarray | None:
    """A fact per row of `X`, or None where it has none."""
    return X.rows.get(name) if _is_annotated(X) else None


def has_row_fact(X: Any, name: str) -> bool:
    """Whether the rows of `X` carry a fact, without reading it."""
    return _is_annotated(X) and name in X.rows


def shared_fact(X: Any, name: str) -> Any:
    """A shared fact of `X`, or None where it has none; a frame has those it was given by `frames.carry`."""
    return (X.shared if _is_annotated(X) else carried(X)).get(name)


def _is_annotated(X: Any) -> TypeGuard[AnnotatedRows]:
    return _offers(X, "rows", "shared")


def _offers(X: Any, *names: str) -> bool:
    """Whether `X` has all these attributes, found without computing one: a table on disk would read its facts."""
    return all(getattr_static(X, name, None) is not None for name in names)
