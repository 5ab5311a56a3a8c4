"""Many components, and truncated passes over their rows."""

from __future__ import annotations

import numpy as np
import torch
from mixture_oracles import STRUCTURES, random_params, random_rows

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


def truncated(params, batches, seed: int = 0, soft_above: float = 1.0) -> TruncatedPass:
    return TruncatedPass(params, batches, np.random.RandomState(seed), soft_above)


def moved(params: MFAParams, by: float, seed: int = 0) -> MFAParams:
    """Parameters whose means have moved at random."""
    shift = torch.tensor(np.random.default_rng(seed).standard_normal(params.means.shape))
    return params._replace(means=params.means + by * shift)


def further_pairs(rows: TruncatedPass) -> set[tuple[int, int]]:
    assert rows.state is not None
    return set(zip(rows.state.rows.tolist(), rows.state.components.tolist(), strict=True))
