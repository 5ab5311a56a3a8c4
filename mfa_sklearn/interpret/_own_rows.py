"""What each row says of its own component: how surely it belongs there, how typical it is, where it lies.

`OwnRows` takes one pass over the rows together with any other table. What it knows afterwards is per row, three numbers
each, from which the rows of every component are ranked in one sort.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._scan import Chunk

# Rows whose pairs are counted at once.
_ROWS = 2**20


class OwnRows:
    """Accumulates each row's most probable component, its responsibility and its log density there.

    Attributes
    ----------
    components : ndarray of int64 of shape (n,)
        The most probable component of each row.
    responsibility : ndarray of shape (n,)
        Posterior of that component, in (0, 1].
    log_density : ndarray of shape (n,)
        ``log N(x | k)`` of the row under that component, in nats.
    """

    dense = False

    def __init__(self, mfa: Any, n_rows: int) -> None:
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(np.asarray(mfa.weights_, dtype=np.float64))
        self.n_components = len(self._log_weights)
        self.components = np.empty(n_rows, dtype=np.int64)
        self.responsibility, self.log_density = np.empty(n_rows), np.empty(n_rows)

    def update(self, chunk: Chunk) -> None:
        """Take in a chunk of rows."""
        rows, components, posterior, log_joint = chunk.own_pairs
        self.components[rows], self.responsibility[rows] = components, posterior
        self.log_density[rows] = log_joint - self._log_weights[components]

    @property
    def size(self) -> np.ndarray:
        """How many rows each component has, (K,)."""
        return np.bincount(self.components, minlength=self.n_components)

    @property
    def sharpness(self) -> np.ndarray:
        """Mean responsibility of each component's own rows, (K,) in (0, 1]; NaN without rows."""
        total = np.bincount(self.components, self.responsibility, self.n_components)
        with np.errstate(invalid="ignore"):
            return total / self.size

    def typical(self, n_most: int, among: np.ndarray | None = None) -> list[np.ndarray]:
        """The rows of highest log density of each component, the highest first; the first of equals.

        Parameters
        ----------
        n_most : int
        among : ndarray of bool of shape (n,), optional
            Which rows may be taken.
        """
        return ranked_rows(self.components, -self.log_density, self.n_components, n_most, among)

    def outlying(self, n_most: int, among: np.ndarray | None = None) -> list[np.ndarray]:
        """The rows of lowest log density of each component, the lowest first; the first of equals."""
        return ranked_rows(self.components, self.log_density, self.n_components, n_most, among)


def ranked_rows(
    components: np.ndarray, values: np.ndarray, n_components: int, n_most: int, among: np.ndarray | None = None
) -> list[np.ndarray]:
    """Up to `n_most` rows of each component, those of the smallest values first, the first of equals.

    Parameters
    ----------
    components : ndarray of int of shape (n,)
    values : ndarray of shape (n,)
    n_components, n_most : int
    among : ndarray of bool of shape (n,), optional
        Which rows may be taken; by default all.
    """
    if among is None or among.all():  # without copies as long as the table
        order = np.lexsort((values, components))
    else:
        rows = np.flatnonzero(among)
        order = rows[np.lexsort((values[rows], components[rows]))]
    start, stop = bounds(components[order], n_components)
    return [order[a : min(b, a + n_most)] for a, b in zip(start, stop, strict=True)]


def pair_counts(
    components: np.ndarray, codes: np.ndarray, n_codes: int, rows: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of a component and of what its rows hold, and how many rows are of each, (P,) and (P,) int64.

    They are gone through in blocks, so that nothing as long as the table is made.

    Parameters
    ----------
    components : ndarray of int of shape (n,)
    codes : ndarray of int of shape (n,)
        What each row holds, less than `n_codes`; rows of -1 hold nothing and are left out.
    n_codes : int
    rows : ndarray of int, optional
        Which rows to count; by default all.

    Returns
    -------
    pairs : ndarray of int64
        ``component * n_codes + code``, ascending.
    counts : ndarray of int64
    """
    n_rows = len(components) if rows is None else len(rows)
    found = [np.zeros((2, 0), dtype=np.int64)]
    for start in range(0, n_rows, _ROWS):
        some = slice(start, start + _ROWS) if rows is None else rows[start : start + _ROWS]
        owners, held = components[some], codes[some]
        known = held >= 0
        found.append(np.stack(np.unique(owners[known] * np.int64(n_codes) + held[known], return_counts=True)))
    pairs, counts = np.concatenate(found, axis=1)
    distinct, place = np.unique(pairs, return_inverse=True)
    return distinct, np.bincount(place, counts, len(distinct)).astype(np.int64)


def bounds(components: np.ndarray, n_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each component's entries begin and end in an ascending list, (K,) and (K,)."""
    every = np.arange(n_components)
    return np.searchsorted(components, every, "left"), np.searchsorted(components, every, "right")


def tuples(rows: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    """Row numbers as a table holds them."""
    return [tuple(own.tolist()) for own in rows]
