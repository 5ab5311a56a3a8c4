"""Random parameters with weighted rows, and their statistics under any parameters."""

from __future__ import annotations

import numpy as np
import torch
from mixture_oracles import STRUCTURES, e_step, random_params, random_rows

from mfa_sklearn.mixture._model.density import prepare
from mfa_sklearn.mixture._model.params import MFAParams


def problem(name: str, size: tuple[int, int, int] = (3, 5, 2), n_rows: int = 40):
    """Parameters, rows, and a positive weight for each row."""
    params = random_params(STRUCTURES[name], size)
    X = torch.tensor(random_rows(params, n_rows))
    weights = torch.tensor(np.random.default_rng(1).uniform(0.2, 3.0, n_rows))
    return params, X, weights


def statistics_of(params: MFAParams, X: torch.Tensor, weights: torch.Tensor | None = None, temperature: float = 1.0):
    """Statistics of the rows under these parameters."""
    return e_step(prepare(params, X.dtype), X, weights, temperature)[0]
