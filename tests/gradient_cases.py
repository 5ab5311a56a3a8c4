"""The gradient solver on small tables, and which rows it holds out."""

from __future__ import annotations

import numpy as np

from mfa_sklearn import MFA


def gradient(n_components: int = 2, n_factors: int = 1, **arguments) -> MFA:
    """The gradient solver with settings that suit small tables."""
    settings = {"solver": "gradient", "learning_rate": 0.02, "batch_size": 50, "random_state": 0, **arguments}
    return MFA(n_components, n_factors, **settings)


def held_out_rows(X: np.ndarray, mfa: MFA) -> np.ndarray:
    order = np.random.RandomState(mfa.random_state).permutation(len(X))
    return np.sort(order[: round(mfa.validation_fraction * len(X))])
