"""What lies at either end of each principal axis, and what stands for a region where there are no tokens."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .._base.words import cut
from ..interpret._ends import tail_rows
from ..interpret._over_represented import Items, OverRepresented
from ..interpret._scale import standard_deviations
from ..interpret._telling_columns import column_names, column_offsets
from ._gathered import Gathered

# Share of a region's rows that counts as an end, and the rows that an end has at least.
_FRACTION, _LEAST = 0.1, 3
_N_TOKENS, _N_TEXTS, _N_COLUMNS = 6, 3, 3
# Characters of a text.
_LONGEST = 81
# Columns that matter less than this, in standard deviations of the column or shares of the axis, are not named.
_MATTERS = 0.25


class AxisEnds(NamedTuple):
    """One axis of a component."""

    axis: int
    share: float
    low: list[str]
    high: list[str]


class Ends:
    """Words for the ends of all components' axes: tokens, texts, or columns that are smaller and larger there.

    Parameters
    ----------
    gathered : Gathered
    """

    def __init__(self, gathered: Gathered) -> None:
        self._g, n_components = gathered, gathered.n_components
        self._tails = [
            tail_rows(gathered.assigned, place, n_components, _FRACTION, _LEAST) for place in gathered.places.T
        ]
        g = gathered
        self._found: list[tuple[list[list[str]], list[list[str]]]] = []
        if g.texts.are_rows:
            self._found = [(self._texts(low), self._texts(high)) for low, high in self._tails]
        elif g.tokens is not None and g.token_codes is not None:
            _, first = np.unique(g.token_codes, return_index=True)
            items = Items(g.token_codes, [str(token) for token in g.tokens[first]])
            compared = OverRepresented(items, g.assigned, n_components)
            self._found = [
                (
                    [[items.names[item] for item in own] for own in compared.among(low, _N_TOKENS)],
                    [[items.names[item] for item in own] for own in compared.among(high, _N_TOKENS)],
                )
                for low, high in self._tails
            ]
        self._names, self._offsets = column_names(g.mfa), column_offsets(g.mfa)
        self._deviation = standard_deviations(g.mfa)

    def of(self, k: int) -> list[AxisEnds]:
        """The axes of a component along which it has variance and rows."""
        found = []
        for axis, share in enumerate(self._g.axes.shares[k].tolist()):
            if share > 0 and self._g.ordered.sizes[k] > 1:
                low, high = self._words(k, axis)
                found.append(AxisEnds(axis, share, low, high))
        return found

    def _words(self, k: int, axis: int) -> tuple[list[str], list[str]]:
        if self._found:
            return self._found[axis][0][k], self._found[axis][1][k]
        direction = np.asarray(self._g.mfa.loadings_[k]) @ self._g.axes.rotations[k][:, axis] / self._deviation
        return self._named(-direction), self._named(direction)

    def columns(self, k: int) -> list[str]:
        """Columns in which the component's mean differs most from that of all rows, by their standard deviations."""
        if self._found:
            return []
        return self._named(self._offsets[k])

    def _named(self, change: np.ndarray) -> list[str]:
        """The columns that change most, with a sign."""
        order = np.argsort(-np.abs(change), kind="stable")[:_N_COLUMNS]
        largest = float(np.abs(change).max(initial=0))
        return [
            f"{'+' if change[d] > 0 else '−'}{self._names[d]}"
            for d in order
            if abs(change[d]) >= _MATTERS * largest and change[d] != 0
        ]

    def _texts(self, rows: np.ndarray) -> list[list[str]]:
        """The outermost texts of each component, of rows that are sorted by component, shortened."""
        owners = self._g.assigned[rows]
        starts = np.searchsorted(owners, np.arange(self._g.n_components + 1))
        return [
            [cut(self._g.texts.text_of(row), _LONGEST) for row in rows[a:b][:_N_TEXTS]] for a, b in pairwise(starts)
        ]
