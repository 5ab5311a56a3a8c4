"""What each row is under its most probable component, kept from one pass over the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..interpret._scan import Chunk


class OwnRows:
    """Accumulates, of each row, its component and its densities; then orders the rows of each component by them.

    Parameters
    ----------
    weights : ndarray of shape (K,)
    n_rows : int

    Attributes
    ----------
    assigned : ndarray of shape (n,)
        The most probable component.
    log_density : ndarray of shape (n,)
        ``log N(x | k)`` under it, in nats.
    log_prob : ndarray of shape (n,)
        Log density of the row under the mixture.
    """

    dense = False

    def __init__(self, weights: np.ndarray, n_rows: int) -> None:
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(np.asarray(weights, dtype=np.float64))
        self.assigned = np.empty(n_rows, dtype=np.int64)
        self.log_density, self.log_prob = np.empty(n_rows), np.empty(n_rows)

    def update(self, chunk: Chunk) -> None:
        """Take in a chunk of rows."""
        rows, components, posterior, log_joint = chunk.own_pairs
        self.assigned[rows] = components
        self.log_density[rows] = log_joint - self._log_weights[components]
        self.log_prob[rows] = log_joint - np.log(posterior)

    @property
    def posterior(self) -> np.ndarray:
        """Responsibility of each row's component for it, (n,)."""
        return np.exp(self.log_density + self._log_weights[self.assigned] - self.log_prob)

    def ordered(self) -> OrderedRows:
        """Rows by component, and those of one component by their log density."""
        order = np.lexsort((self.log_density, self.assigned))
        starts = np.searchsorted(self.assigned[order], np.arange(len(self._log_weights) + 1))
        return OrderedRows(order, self.log_density[order], starts)


class OrderedRows:
    """Rows of every component, by ascending log density under it.

    Parameters
    ----------
    order : ndarray of shape (n,)
        Row numbers.
    log_density : ndarray of shape (n,)
        Theirs.
    starts : ndarray of shape (K + 1,)
        Where the rows of each component begin.
    """

    def __init__(self, order: np.ndarray, log_density: np.ndarray, starts: np.ndarray) -> None:
        self._order, self._log_density, self._starts = order, log_density, starts
        self.sizes = np.diff(starts)

    def rows(self, component: int) -> np.ndarray:
        """Row numbers of a component, the least typical first."""
        return self._order[self._starts[component] : self._starts[component + 1]]

    def log_density(self, component: int) -> np.ndarray:
        """Their log densities under the component, ascending."""
        return self._log_density[self._starts[component] : self._starts[component + 1]]

    def score(self, component: int, log_density: Any) -> np.ndarray:
        """Per cent of the component's own rows whose log density is no higher; zeros for one without rows."""
        own = self.log_density(component)
        return 100 * np.searchsorted(own, log_density, side="right") / max(1, len(own))
