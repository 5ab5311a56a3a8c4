"""The best entries of every component, from a stream of scored (row, component) pairs.

Entries are buffered and now and then reduced: entries of one item are merged, and of each component only the best are
kept. The last of these sets the component's threshold, below which nothing new need be looked at. No loop runs over
rows or components, and memory is that of the best entries plus the buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# Entries to gather before they are reduced (48 bytes each, several times that while sorting).
_BUFFER = 2_000_000
# Scores that agree to this many decimals are ordered by what breaks ties.
_DECIMALS = 6


class Entries(NamedTuple):
    """Scored candidates, one per entry of the arrays."""

    components: np.ndarray  # (P,) int64
    items: np.ndarray  # (P,) int64, what is ranked: a row, or a distinct token
    scores: np.ndarray  # (P,) float64, of the item: its best or its total
    peaks: np.ndarray  # (P,) float64, score of the item's best row
    ties: np.ndarray  # (P,) float64, decides between equal scores; higher is better
    rows: np.ndarray  # (P,) int64, the item's best row

    def take(self, index: np.ndarray) -> Entries:
        """Entries by index or mask."""
        return Entries(*(field[index] for field in self))


def rounded(scores: np.ndarray) -> np.ndarray:
    """Scores as they are compared."""
    return np.round(scores, _DECIMALS)


class Leaderboard:
    """Keeps the `n_best` entries of every component.

    Equal scores (to six decimals) are ordered by the entries' ties, then by who came first.

    Parameters
    ----------
    n_components : int
    n_best : int
    merge : {None, "max", "sum", "logsum"}
        What becomes of several entries of one item in one component; None if there are none such.
    n_rows : int
        How many entries an item can have at most; with it a sum of logs knows which terms cannot matter.

    Attributes
    ----------
    threshold : ndarray of shape (n_components,)
        Entries must have a higher score to change the result; not used for "sum".
    """

    def __init__(self, n_components: int, n_best: int, merge: str | None, n_rows: int) -> None:
        self.n_best = n_best
        self._merge = merge
        # n terms that each are n e^14 times smaller than a sum change it by less than one part in a million.
        self._margin = np.log(n_rows) + 14 if merge == "logsum" else 0.0
        self._parts: list[Entries] = []
        self._size, self._limit = 0, _BUFFER
        self.threshold = np.full(n_components, -np.inf)

    def add(self, entries: Entries) -> None:
        """Take in more entries; their rows must come after those of earlier calls."""
        self._parts.append(entries)
        self._size += len(entries.rows)
        if self._size > self._limit:
            self._reduce()
            self._limit = max(_BUFFER, 2 * self._size)

    def raise_threshold(self, scores: np.ndarray, items: np.ndarray) -> None:
        """Raise the thresholds to what a block of rows alone makes of them, before its entries are added.

        Parameters
        ----------
        scores : ndarray of shape (b, n_components)
        items : ndarray of shape (b,)
            What each row counts for.
        """
        order = np.argsort(items, kind="stable")
        first = np.flatnonzero(np.diff(items[order], prepend=-1))
        if len(first) < self.n_best:
            return
        peaks = np.maximum.reduceat(scores[order], first, axis=0)
        # A little below the n-th best, so that this one passes, and all that are equal to it in rounding.
        least = np.partition(peaks, -self.n_best, axis=0)[-self.n_best] - 10.0**-_DECIMALS
        np.maximum(self.threshold, least - self._margin, out=self.threshold)

    def best(self, rescored: Callable[[Entries], Entries] | None = None) -> tuple[Entries, np.ndarray]:
        """The best entries, by component and then best first, and the rank of each, from 1.

        Parameters
        ----------
        rescored : callable, optional
            Gives other scores to the merged entries, or leaves some out, before they are ranked. For sums only, of
            which nothing has been left out yet.
        """
        merged = self._merged()
        entries, rank = self._ranked(merged if rescored is None else rescored(merged))
        keep = rank <= self.n_best
        return entries.take(keep), rank[keep]

    def _reduce(self) -> None:
        entries = self._merged()
        if self._merge != "sum":
            entries, rank = self._ranked(entries)
            last = rank == self.n_best
            self.threshold[entries.components[last]] = entries.scores[last] - self._margin - 10.0**-_DECIMALS
            kept = rank <= self.n_best if self._margin == 0 else entries.scores >= self.threshold[entries.components]
            entries = entries.take(kept)
        self._parts, self._size = [entries], len(entries.rows)

    def _merged(self) -> Entries:
        """All entries so far, one per component and item."""
        entries = Entries(*map(np.concatenate, zip(*self._parts, strict=True)))
        if self._merge is None or not len(entries.rows):
            return entries
        key = entries.components * (entries.items.max() + 1) + entries.items
        order = np.lexsort((-entries.ties, -rounded(entries.peaks), key))
        first = np.flatnonzero(np.diff(key[order], prepend=-1))
        merged = entries.take(order[first])
        if self._merge == "max":
            return merged
        add = np.add if self._merge == "sum" else np.logaddexp
        return merged._replace(scores=add.reduceat(entries.scores[order], first))

    @staticmethod
    def _ranked(entries: Entries) -> tuple[Entries, np.ndarray]:
        order = np.lexsort((-entries.ties, -rounded(entries.scores)))
        # A stable sort of short integers is linear, which that of a third key would not be.
        short = np.int16 if entries.components.max(initial=0) < 2**15 else np.int64
        order = order[np.argsort(entries.components[order].astype(short), kind="stable")]
        entries = entries.take(order)
        start = np.flatnonzero(np.diff(entries.components, prepend=-1))
        length = np.diff(start, append=len(order))
        return entries, np.arange(1, len(order) + 1) - np.repeat(start, length)
