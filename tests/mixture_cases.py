"""An estimator of few iterations on well separated rows, and one that holds random parameters."""

from __future__ import annotations

import numpy as np
from mixture_oracles import STRUCTURES, fitted, random_params, random_rows

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa

SIZES = [(3, 5, 2), (1, 4, 1), (2, 3, 0), (4, 30, 6)]
X_MADE, Y_MADE, PARAMS_MADE = make_mfa(300, 6, 3, 2, random_state=0, return_params=True)


def quick(X=X_MADE, **arguments) -> MFA:
    """A few plain iterations on three well separated components."""
    settings = {"n_components": 3, "n_factors": 2, "max_iter": 8, "tol": 0.0, "random_state": 0, **arguments}
    return MFA(**settings).fit(X)


def exact(name: str, size: tuple[int, int, int], n_rows: int = 30, **arguments):
    """An estimator that holds random parameters, these parameters, and rows."""
    params = random_params(STRUCTURES[name], size)
    return fitted(params, STRUCTURES[name], **arguments), params, random_rows(params, n_rows)


def centers_near(y=Y_MADE, X=X_MADE) -> np.ndarray:
    """The means of the true components."""
    return np.stack([X[y == k].mean(0) for k in range(y.max() + 1)])


def spoiled(value: float, row: int = 7, column: int = 2) -> np.ndarray:
    """Rows with one bad entry."""
    X = X_MADE.copy()
    X[row, column] = value
    return X
