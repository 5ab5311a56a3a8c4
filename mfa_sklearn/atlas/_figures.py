"""Figures of the components themselves: how wide they are, how near each other, and what lies along their axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from ..interpret._neighbors import bhattacharyya_distances
from ._mixture import Gathered


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
        self._sharp = g.own.sharpness
        energy = np.square(np.linalg.svd(W, compute_uv=False)) if W.shape[2] else np.zeros((len(means), 0))
        self._share = energy / np.maximum(energy.sum(1, keepdims=True), 1e-300)
        self._enriched = None if g.counted is None else (g.counted.tested.q_value <= 0.05).sum(1)

    n_clusters = 1

    def of(self, k: int) -> dict[str, Any]:
        """The figures of one component."""
        g, share = self._g, self._share[k]
        counts = None if g.counted is None else g.counted.count[k]
        return {
            "weight": float(f"{g.mfa.weights_[k]:.4g}"),
            "sharpness": round(float(self._sharp[k]), 4) if g.ordered.sizes[k] else None,
            "spread": float(f"{self._spread[k]:.4g}"),
            "dimension": round(float(self._dimension[k]), 2),
            "factors_90": int(np.searchsorted(np.cumsum(share), 0.9 - 1e-12) + 1) if share.any() else 0,
            "purity": None if counts is None or not counts.sum() else round(float(counts.max() / counts.sum()), 4),
            "n_enriched": None if self._enriched is None else int(self._enriched[k]),
            "x": float(f"{self._xy[k, 0]:.4g}"),
            "y": float(f"{self._xy[k, 1]:.4g}"),
            "cluster": 0,
        }

    def neighbors(self, k: int) -> list[dict[str, Any]]:
        """The components nearest to one."""
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
