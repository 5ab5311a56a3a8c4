"""Several rows of a token that is listed once, so that it can be seen in more than one text."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._base.annotated import row_fact
from ._leaderboard import Entries, rounded
from ._scan import Chunk


class Occurrences:
    """Accumulates how well each row fits its most probable component.

    Parameters
    ----------
    activations : array of shape (n, n_features)
    n_rows : int
    """

    dense = False

    def __init__(self, activations: Any, n_rows: int) -> None:
        self._texts = row_fact(activations, "text_index")
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
        keys, wanted = assigned * n_types + types, entries.components * n_types + types[entries.rows]
        rows = np.flatnonzero(np.isin(keys, wanted))  # few of all: the tokens that are listed, in their components
        order = rows[np.lexsort((-self._log_joint[rows], -rounded(self._posterior[rows]), keys[rows]))]
        start, stop = (np.searchsorted(keys[order], wanted, side=side) for side in ("left", "right"))
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
