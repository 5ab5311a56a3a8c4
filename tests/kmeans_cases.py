"""Rows without clear clusters, rows that are only read, and nearest centers by brute force."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from mfa_sklearn.mixture._rows import Conditioner
from mfa_sklearn.mixture._start.samples import FiniteBatches, Sample, nested_samples

CPU = torch.device("cpu")


def overlapping(n_rows: int = 600, n_features: int = 5, seed: int = 0, dtype: str = "float64") -> np.ndarray:
    """Rows without clear clusters, about a mean far from the origin."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n_rows, n_features)) @ rng.standard_normal((n_features, n_features)) + 3).astype(dtype)


def brute_force(X: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest center of each row and the squared distance to it, from all differences."""
    distances = ((X.astype(float)[:, None, :] - centers[None]) ** 2).sum(-1)
    return distances.argmin(1), distances.min(1)


def identity_batches(X: np.ndarray, weights: np.ndarray | None = None, keep: bool = True) -> FiniteBatches:
    center, scale = torch.zeros(X.shape[1], dtype=torch.float64), torch.ones(X.shape[1], dtype=torch.float64)
    return FiniteBatches(X, Conditioner(center, scale), torch.float64, CPU, weights, keep=keep)


def samples_of(batches: FiniteBatches, sizes: list[int], rng: np.random.RandomState) -> Iterator[Sample]:
    for rows, weights in nested_samples(batches, sizes, rng):
        yield Sample(batches.read(rows), weights)


class Store:
    """Rows that can be had by slice or index only, and a record of which were."""

    def __init__(self, X: np.ndarray) -> None:
        self._X, self.shape, self.dtype = X, X.shape, X.dtype
        self.reads: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._X)

    def __getitem__(self, index: Any) -> np.ndarray:
        self.reads.append(np.arange(len(self))[index])
        return self._X[index]
