"""Many components, and truncated passes over their rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mixture_oracles import STRUCTURES, random_params, random_rows

from mfa_sklearn.mixture._em.exact import ExactPass, Pass
from mfa_sklearn.mixture._em.statistics import Statistics
from mfa_sklearn.mixture._em.truncated import TruncatedPass
from mfa_sklearn.mixture._model.params import MFAParams

FLOOR = 1e-6
MANY = 90


def many(spread: float = 2.0, n_rows: int = 900, name: str = "UCU", seed: int = 0) -> tuple[MFAParams, np.ndarray]:
    """Many components in six dimensions, and some ten rows for each."""
    params = random_params(STRUCTURES[name], (MANY, 6, 1), seed)
    params = params._replace(means=spread * params.means)
    return params, random_rows(params, n_rows, seed)


def row_weights(n_rows: int) -> np.ndarray:
    """Weights, some of them zero."""
    weights = np.random.default_rng(1).uniform(0.2, 3.0, n_rows)
    weights[::9] = 0
    return weights


def pass_of(kind: type, params, batches, seed: int = 0, soft_above: float = 1.0) -> Pass:
    """A pass of either kind."""
    rng = np.random.RandomState(seed)
    exact = ExactPass(params, batches, rng, soft_above)
    return exact if kind is ExactPass else TruncatedPass(exact, params, batches, rng)


class Walk:
    """A pass that is handed what it remembered, call after call, and gives the statistics."""

    def __init__(self, rows: Pass) -> None:
        self.rows = rows
        self.memory: Any = None
        self.looked = True

    def __call__(self, params: MFAParams, temperature: float = 1.0) -> Statistics:
        statistics, self.memory, self.looked = self.rows(params, temperature, self.memory)
        return statistics


def walk(kind: type, params, batches, seed: int = 0, soft_above: float = 1.0) -> Walk:
    return Walk(pass_of(kind, params, batches, seed, soft_above))


def truncated(params, batches, seed: int = 0, soft_above: float = 1.0) -> Walk:
    return walk(TruncatedPass, params, batches, seed, soft_above)


def moved(params: MFAParams, by: float, seed: int = 0) -> MFAParams:
    """Parameters whose means have moved at random."""
    shift = torch.tensor(np.random.default_rng(seed).standard_normal(params.means.shape))
    return params._replace(means=params.means + by * shift)


def further_pairs(rows: Walk) -> set[tuple[int, int]]:
    assert rows.memory is not None
    return set(zip(rows.memory.rows.tolist(), rows.memory.components.tolist(), strict=True))
