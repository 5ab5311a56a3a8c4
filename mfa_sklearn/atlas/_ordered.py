"""Rows of every component, from the least to the most typical one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..interpret._own_rows import OwnRows


class OrderedRows:
    """Rows of every component, by ascending log density under it.

    Parameters
    ----------
    own : OwnRows
        That was shown all rows.
    complete : ndarray of bool of shape (n,)
        Rows without missing values; the densities of others do not compare, and they are left out.

    Attributes
    ----------
    sizes : ndarray of shape (K,)
        How many of these rows each component has.
    """

    def __init__(self, own: OwnRows, complete: np.ndarray) -> None:
        order = np.lexsort((own.log_density, own.components))
        self._order = order[complete[order]]
        self._log_density = own.log_density[self._order]
        self._starts = np.searchsorted(own.components[self._order], np.arange(own.n_components + 1))
        self.sizes = np.diff(self._starts)

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
