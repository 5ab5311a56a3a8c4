"""Which component of one mixture is which of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..._base.annotated import row_fact
from ..._base.checks import import_optional
from .._inputs import as_rows, check_mixture
from .._scan import Assignments, scan

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from ...activations import ActivationStore, StoredActivations
    from ...mixture import MFA


# What tells rows apart, where both know it.
_FACTS = {"tokens": "tokens", "text_index": "texts", "positions": "positions"}


def match_components(
    mfa: MFA,
    other: MFA,
    X: ArrayLike | ActivationStore | StoredActivations,
    X_other: ArrayLike | ActivationStore | StoredActivations | None = None,
) -> pd.DataFrame:
    """Pair the components of two mixtures, one to one, so that the pairs share as many rows as possible.

    Parameters
    ----------
    mfa, other : fitted MFA
        Mixtures of the same rows from other starts or with other numbers of components, or of two layers.
    X : ActivationArray, activation store or array-like, of shape (n, n_features)
        Rows for the first mixture.
    X_other : ActivationArray, activation store or array-like, of shape (n, n_features of the other), optional
        The same rows for the other mixture, such as the same tokens at another layer; by default `X`.

    Returns
    -------
    DataFrame
        One line per pair that shares a row, the largest first, with the columns

        * component, other: the two components;
        * shared: rows whose most probable component is the one in the first mixture and the other in the second;
        * jaccard: shared rows over the rows of either, from 0 to 1;
        * size, other_size: rows of each.

    Raises
    ------
    ValueError
        If the two sets of rows are of different lengths, or carry different tokens.

    See Also
    --------
    component_distances : distances between the components of two mixtures of one space.

    Notes
    -----
    An assignment problem (Kuhn, Naval Research Logistics Quarterly 2, 1955), solved by
    `scipy.optimize.linear_sum_assignment`. With unequal numbers of components some stay alone.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.interpret import match_components
    >>> centers = np.array([[0.0, 0], [9, 9], [0, 9]])
    >>> X = np.random.default_rng(0).normal(centers, 1, size=(20, 3, 2)).reshape(-1, 2)
    >>> first, second = (MFA(3, 1, init=start, max_iter=0).fit(X) for start in (centers, centers[::-1]))
    >>> match_components(first, second, X)
       component  other  shared  jaccard  size  other_size
    0          0      2      20      1.0    20          20
    1          1      1      20      1.0    20          20
    2          2      0      20      1.0    20          20
    """
    import_optional("pandas", "match_components")
    shape = check_mixture(mfa), check_mixture(other)
    rows = as_rows(X, mfa)
    others = as_rows(X if X_other is None else X_other, other)
    check_same_rows(rows, others)
    return matched(_assigned(mfa, rows), _assigned(other, others), shape)


def matched(first: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> pd.DataFrame:
    """The table that `match_components` returns, of the components (n,) of the same rows in two mixtures."""
    counts = shared_rows(first, second, shape)
    pairs = linear_sum_assignment(counts, maximize=True)
    shared, sizes = counts[pairs], [counts.sum(axis)[pair] for axis, pair in zip((1, 0), pairs, strict=True)]
    either = sizes[0] + sizes[1] - shared
    columns = {"component": pairs[0], "other": pairs[1], "shared": shared, "jaccard": shared / np.maximum(either, 1)}
    pd = import_optional("pandas", "match_components")
    table = pd.DataFrame({**columns, "size": sizes[0], "other_size": sizes[1]})
    return table[table["shared"] > 0].sort_values("shared", ascending=False, kind="stable", ignore_index=True)


def shared_rows(first: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How many rows are of each component of the first and each of the second, (K, L)."""
    return np.bincount(first * shape[1] + second, minlength=shape[0] * shape[1]).reshape(shape)


def _assigned(mfa: MFA, rows: Any) -> np.ndarray:
    found = Assignments(len(rows))
    scan(mfa, rows, found)
    return found.components


def check_same_rows(rows: Any, others: Any, names: tuple[str, str] = ("X", "X_other")) -> None:
    """Refuse rows that are not the same rows in two places; `names` are what a user knows them by."""
    first, second = names
    if len(rows) != len(others):
        raise ValueError(
            f"{first} has {len(rows)} rows and {second} {len(others)}: give the same rows, in the same order"
        )
    if rows is others:
        return
    for name, what in _FACTS.items():
        here, there = row_fact(rows, name), row_fact(others, name)
        if here is None or there is None:
            continue
        unlike = np.flatnonzero(np.asarray(here) != np.asarray(there))
        if len(unlike):
            seen = " and ".join(repr(fact[unlike[0]].item()) for fact in (here, there))
            raise ValueError(
                f"{first} and {second} are of different {what}, first in row {unlike[0]} ({seen}): give the same "
                "rows, in the same order, for both mixtures"
            )
