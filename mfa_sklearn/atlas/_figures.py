"""Figures of the components themselves: how wide they are, how near each other, and their places on a map."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..interpret._between.component_map import component_map
from ..interpret._between.distances import component_distances
from ..interpret._shape import component_shapes
from ._gathered import Gathered
from ._schema import Neighbor


class Figures:
    """Figures of all components of a mixture.

    Parameters
    ----------
    gathered : Gathered

    Attributes
    ----------
    n_clusters : int
        On the map.
    """

    def __init__(self, gathered: Gathered) -> None:
        self._g = gathered
        self._distances = component_distances(gathered.mfa)
        self._total = self._distances.bhattacharyya
        self._map = component_map(gathered.mfa, self._distances, random_state=gathered.options.random_state)
        self.n_clusters = len(np.unique(self._map.clusters))
        self._shapes, self._sharpness = component_shapes(gathered.mfa, gathered.units), gathered.own.sharpness
        self._enriched = self._purity = None
        if gathered.counted is not None:
            self._enriched = gathered.counted.n_enriched
            self._purity = gathered.counted.purity

    def of(self, k: int) -> dict[str, Any]:
        """The figures of one component."""
        return {
            "weight": figures(self._g.mfa.weights_[k], 4),
            "sharpness": _known(self._sharpness[k]),
            "spread": figures(self._shapes["spread"][k], 4),
            "dimension": round(float(self._shapes["dimension"][k]), 2),
            "factors_90": int(self._shapes["factors_90"][k]),
            "purity": None if self._purity is None else _known(self._purity[k]),
            "n_enriched": None if self._enriched is None else int(self._enriched[k]),
            "x": round(float(self._map.coordinates[k, 0]), 4),
            "y": round(float(self._map.coordinates[k, 1]), 4),
            "cluster": int(self._map.clusters[k]),
        }

    def neighbors(self, k: int) -> list[Neighbor]:
        """The components nearest to one."""
        distance = self._total[k].copy()
        distance[k] = np.inf
        nearest = np.argsort(distance, kind="stable")[: min(self._g.options.n_neighbors, len(distance) - 1)]
        return [
            Neighbor(
                component=int(other),
                distance=figures(distance[other], 4),
                mean=figures(self._distances.mean[k, other], 4),
                covariance=figures(self._distances.covariance[k, other], 4),
                overlap=figures(np.exp(-distance[other]), 3),
            )
            for other in nearest
        ]


def figures(value: float, n_digits: int) -> float:
    """A number with so many significant digits.

    >>> figures(1234.567, 4), figures(0.000123456, 3)
    (1235.0, 0.000123)
    """
    return float(f"{value:.{n_digits}g}")


def _known(share: float) -> float | None:
    """A share to four decimals, None where there is nothing to take one of."""
    return round(float(share), 4) if np.isfinite(share) else None
