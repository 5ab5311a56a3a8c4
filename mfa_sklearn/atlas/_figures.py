"""Figures of the components themselves: how wide they are, how near each other, and what lies along their axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from ..interpret._neighbors import bhattacharyya_distances
from ._charts import principal_axes
from ._mixture import Gathered

_N_AXES, _N_AT_ENDS, _N_COLUMNS = 2, 6, 3


class Figures:
    """Figures of all components of a mixture."""

    def __init__(self, gathered: Gathered) -> None:
        self._g = g = gathered
        mfa = g.mfa
        means, W = np.asarray(mfa.means_, dtype=np.float64), np.asarray(mfa.loadings_, dtype=np.float64)
        noise = np.broadcast_to(np.asarray(mfa.noise_variance_, dtype=np.float64), means.shape)
        self._distance = bhattacharyya_distances(np.arange(len(means)), means, W, noise)
        np.fill_diagonal(self._distance, np.inf)
        power = np.square(W).sum(2)
        trace = noise.sum(1) + power.sum(1)
        square = np.square(noise).sum(1) + 2 * (noise * power).sum(1) + np.square(W.mT @ W).sum((1, 2))
        self._spread, self._dimension = np.sqrt(trace), trace**2 / square
        self._xy = PCA(2, random_state=0).fit_transform(means) if min(means.shape) > 1 else np.zeros((len(means), 2))
        own, n = g.own.assigned, g.n_components
        sizes = np.maximum(1, np.bincount(own, minlength=n))
        self._sharp = np.bincount(own, g.own.posterior, minlength=n) / sizes

    n_clusters = 1

    def of(self, k: int) -> dict[str, Any]:
        share = principal_axes(self._g.mfa.loadings_[k])[1]
        counts = None if self._g.counted is None else self._g.counted.count[k]
        return {
            "weight": float(f"{self._g.mfa.weights_[k]:.4g}"),
            "sharpness": round(float(self._sharp[k]), 4) if self._g.ordered.sizes[k] else None,
            "spread": float(f"{self._spread[k]:.4g}"),
            "dimension": round(float(self._dimension[k]), 2),
            "factors_90": int(np.searchsorted(np.cumsum(share), 0.9 - 1e-12) + 1) if len(share) else 0,
            "purity": None if counts is None or not counts.sum() else round(float(counts.max() / counts.sum()), 4),
            "n_enriched": None,
            "x": float(f"{self._xy[k, 0]:.4g}"),
            "y": float(f"{self._xy[k, 1]:.4g}"),
            "cluster": 0,
        }

    def neighbors(self, k: int) -> list[dict[str, Any]]:
        d = self._distance[k]
        order = np.argsort(d, kind="stable")[: min(self._g.options.n_neighbors, len(d) - 1)]
        return [
            {
                "component": int(j),
                "distance": float(f"{d[j]:.4g}"),
                "mean": None,
                "covariance": None,
                "overlap": float(f"{np.exp(-d[j]):.3g}"),
            }
            for j in order
        ]

    def ends(self, k: int) -> list[tuple[int, float, list[str], list[str]]]:
        g = self._g
        coordinates, share = g.coordinates(k)
        if g.tokens is None or not len(coordinates):
            return []
        tokens = g.tokens[g.points[k]]
        found = []
        for j in range(min(_N_AXES, len(share))):
            order = np.argsort(coordinates[:, j], kind="stable")
            ends = [list(dict.fromkeys(tokens[some].tolist()))[:_N_AT_ENDS] for some in (order[:20], order[::-1][:20])]
            found.append((j, float(share[j]), *ends))
        return found

    def columns(self, k: int) -> list[str]:
        return []
