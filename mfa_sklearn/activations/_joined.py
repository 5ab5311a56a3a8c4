"""Several arrays of activations as one, read when rows of it are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._base.annotated import annotate, given_rows, is_row_source
from .._base.frames import carried
from .._base.lazy_rows import facts_of
from .._base.row_views import Concatenated
from ._activation_rows import ActivationRows
from ._appended import as_table


class JoinedActivations(ActivationRows, Concatenated):
    """Activations one after the other; see `concat`."""


def concat(tables: Iterable[Any]) -> JoinedActivations:
    """Activations one after the other, as one table; nothing is copied, and rows are read as they are needed.

    Facts per row are those that all have; labels are also kept where some have none. The texts of each follow those
    before it, and ``text_index`` counts on with them. Use it in place of `numpy.concatenate`, which drops facts.

    Parameters
    ----------
    tables : list of arrays, tensors, stores of one layer, what `open_activations` gives, or paths
        Each of shape (n_i, d).

    Returns
    -------
    array-like of shape (sum of n_i, d)
        Taken wherever an array of activations is; ``rows[:]`` reads them all as an `ActivationArray`.

    Raises
    ------
    TypeError
        If they are no list of tables.
    ValueError
        If there are none, they have different numbers of columns, or are known to come from different places (another
        model, layer, site or pooling).

    Warns
    -----
    UserWarning
        If facts are left out because some tables have them and others do not.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import ActivationArray
    >>> from mfa_sklearn.activations import concat
    >>> X = ActivationArray(np.eye(2), {"tokens": ["a", "b"], "text_index": [0, 0]}, {"texts": ("ab",)})
    >>> Y = ActivationArray(np.eye(2), {"tokens": ["c", "d"], "text_index": [0, 1]}, {"texts": ("c", "d")})
    >>> both = concat([X, Y])
    >>> both.shape, both.tokens.tolist(), both.text_index.tolist(), both.texts[2]
    ((4, 2), ['a', 'b', 'c', 'd'], [0, 0, 1, 2], 'd')
    """
    if isinstance(tables, str | bytes | Mapping) or hasattr(tables, "shape") or not isinstance(tables, Iterable):
        raise TypeError(f"tables must be a list of tables, got {type(tables).__name__}: give [first, second, ...]")
    found = []
    for number, table in enumerate(tables):
        rows = given_rows(table)
        is_table = is_row_source(rows) or facts_of(rows, "rows") or facts_of(rows, "shared")
        found.append(rows if is_table else annotate(as_table(rows, f"table {number}"), **carried(rows)))
    return JoinedActivations(found)
