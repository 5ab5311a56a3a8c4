"""Several rows of a token that is listed once, so that it can be seen in more than one text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._base.coded import short_fact
from ._leaderboard import Entries, rounded
from ._scan import Chunk

# Rows that are compared at once.
_ROWS = 2**20


class Occurrences:
    """Accumulates how well each row fits its most probable component.

    Parameters
    ----------
    activations : array of shape (n, n_features)
    n_rows : int
    """

    dense = False

    def __init__(self, activations: Any, n_rows: int) -> None:
        self._texts = short_fact(activations, "text_index")
        self._posterior, self._log_joint = np.empty(n_rows), np.empty(n_rows)

    def update(self, chunk: Chunk) -> None:
        """Take in a chunk of rows."""
        rows, _, posterior, log_joint = chunk.own_pairs
        self._posterior[rows], self._log_joint[rows] = posterior, log_joint

    def of(self, entries: Entries, types: np.ndarray, assigned: np.ndarray, n_most: int) -> list[np.ndarray]:
        """Up to `n_most` rows of each entry: its own, then the best of its component, of other texts first.

        Parameters
        ----------
        entries : Entries
        types : ndarray of shape (n,)
            What tells the rows' tokens apart.
        assigned : ndarray of shape (n,)
            The rows' most probable components.
        n_most : int
        """
        n_types = int(types.max(initial=0)) + 1
        wanted = entries.components * n_types + types[entries.rows]
        # Few of all: the tokens that are listed, in their components.
        rows = np.concatenate([np.zeros(0, dtype=int), *_rows_with(wanted, assigned, types, n_types)])
        keys = assigned[rows] * n_types + types[rows]
        best = np.lexsort((-self._log_joint[rows], -rounded(self._posterior[rows]), keys))
        order, keys = rows[best], keys[best]
        start, stop = (np.searchsorted(keys, wanted, side=side) for side in ("left", "right"))
        return [
            self._varied(np.r_[first, order[a:b]], n_most)
            for first, a, b in zip(entries.rows, start, stop, strict=True)
        ]

    def _varied(self, rows: np.ndarray, n_most: int) -> np.ndarray:
        """The first distinct rows of a list, a text's second row only after the first of all texts."""
        rows = rows[np.sort(np.unique(rows, return_index=True)[1])]
        if self._texts is None:
            return rows[:n_most]
        first = np.sort(np.unique(self._texts[rows], return_index=True)[1])
        return np.concatenate([rows[first], np.delete(rows, first)])[:n_most]


def _rows_with(wanted: np.ndarray, assigned: np.ndarray, types: np.ndarray, n_types: int) -> Iterator[np.ndarray]:
    """Rows whose ``component * n_types + type`` is wanted, block by block."""
    for start in range(0, len(types), _ROWS):
        some = slice(start, start + _ROWS)
        yield start + np.flatnonzero(np.isin(assigned[some] * n_types + types[some], wanted))
