"""What is no table of numbers, and which column of one is to blame, in words.

Checks of arrays know neither what a person meant by a string nor the names of columns. Here is what they are told
instead of "Reshape your data" and "could not convert string to float".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from .annotated import given_rows
from .words import shortened

_Check = TypeVar("_Check", bound=Callable[..., Any])
_ROWS = "rows of numbers, an array of shape (n_samples, n_features)"


def explained(check: _Check) -> _Check:
    """A check of rows whose refusals say what was given instead of rows, or which column holds no numbers.

    Parameters
    ----------
    check : callable
        From an estimator, its rows and further arguments to the rows that were checked.
    """

    @wraps(check)
    def explain(estimator: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        X = given_rows(X)
        refuse_what_is_no_table(X)
        try:
            rows = check(estimator, X, *args, **kwargs)
            if isinstance(rows, np.ndarray) and rows.dtype.kind not in "fiub":
                raise TypeError(f"X holds values of type {rows.dtype}, which are no numbers")
        except (TypeError, ValueError) as error:
            fault = _uneven_rows(X) or column_fault(X)
            if fault is None:
                raise
            raise (TypeError if isinstance(error, TypeError) else ValueError)(fault) from error
        return rows

    return explain  # type: ignore[return-value]


def refuse_what_is_no_table(X: Any) -> None:
    """Refuse what has no rows to read, with the way to rows where there is one.

    Raises
    ------
    TypeError
        For None, lazy frames, dicts, sets, arrays of records, iterators and single values. Paths have been opened
        before.
    """
    kind = type(X).__name__
    if X is None:
        raise TypeError(f"X is None: give {_ROWS}")
    if kind == "LazyFrame":
        raise TypeError("X is a LazyFrame, whose rows are not computed yet: give X.collect()")
    if isinstance(X, Mapping) and not hasattr(X, "shape"):
        raise TypeError(f"X is a {kind}, not {_ROWS}: if its entries are columns, give pandas.DataFrame(X)")
    if getattr(getattr(X, "dtype", None), "names", None):
        raise TypeError(f"X is an array of records with the fields {list(X.dtype.names)}: give pandas.DataFrame(X)")
    table = ("shape", "__array__", "__array_interface__", "__dataframe__", "__getitem__")
    if isinstance(X, Iterator) or not any(hasattr(X, name) for name in table):
        many = hasattr(X, "__iter__") and not isinstance(X, Set)
        batches = "; put its batches together with numpy.concatenate(list(X)), or hand them to partial_fit one by one"
        single = f": {X!r}" if np.isscalar(X) else ""
        raise TypeError(f"X is of type {kind}{single}, not {_ROWS}{batches if many else ''}")


def column_fault(X: Any) -> str | None:
    """Which column of a table holds no numbers, the value, and what to do; None if all do.

    Examples
    --------
    >>> column_fault([[1.0, 2], [3, "four"]])
    "column 1 of X holds 'four' in row 1, which is no number: encode text as numbers, or leave the column out"
    """
    for name, values in _columns(X):
        if values.dtype.kind in "Mm":
            what = "dates" if values.dtype.kind == "M" else "durations"
            return (
                f"column {name!r} of X holds {what} ({values.dtype}): make numbers of them, such as days since the "
                "first, or leave the column out"
            )
        if values.dtype.kind not in "OUST":
            continue
        for row, value in enumerate(values.tolist()):
            said = _no_number(value)
            if said is not None:
                text = isinstance(value, str | bytes)
                remedy = "encode text as numbers" if text else f"make numbers of such values ({said})"
                seen = f"column {name!r} of X holds {shortened(value)} in row {row}, which is no number"
                return f"{seen}: {remedy}, or leave the column out"
    return None


def _uneven_rows(X: Any) -> str | None:
    """Which row of a list is longer or shorter than its first; None if none is."""
    if not isinstance(X, Sequence) or not all(isinstance(row, Sequence) for row in X):
        return None
    row = next((i for i, row in enumerate(X) if len(row) != len(X[0])), None)
    if row is None:
        return None
    return f"row {row} of X has {len(X[row])} entries, row 0 has {len(X[0])}: give rows of one length"


def _columns(X: Any) -> Iterator[tuple[Any, np.ndarray]]:
    """Names and values of the columns that may not be numbers; nothing of a table that cannot be looked at."""
    if isinstance(X, np.ndarray):
        X = np.asarray(X)
        if X.ndim == 2 and X.dtype.kind not in "biufc":
            yield from enumerate(X.T)
    elif hasattr(X, "iloc") and hasattr(X, "columns"):
        for j, name in enumerate(X.columns):
            yield name, np.asarray(X.iloc[:, j])
    elif hasattr(X, "column_names"):  # arrow
        yield from ((name, np.asarray(X.column(j))) for j, name in enumerate(X.column_names))
    elif hasattr(X, "columns") and hasattr(X, "to_numpy"):  # polars
        yield from ((name, np.asarray(X[:, j])) for j, name in enumerate(X.columns))
    elif isinstance(X, Sequence) and len({len(row) if isinstance(row, Sequence) else -1 for row in X}) == 1:
        yield from ((j, np.array(column, dtype=object)) for j, column in enumerate(zip(*map(tuple, X), strict=True)))


def _no_number(value: Any) -> str | None:
    """What is said of a value that is neither a number nor missing; None of others."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    try:
        float(value)
    except (TypeError, ValueError) as error:
        return str(error)
    return None
