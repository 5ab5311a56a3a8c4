"""Constant directions from labeled rows: what is commonly added to activations.

    x + a d

Every direction d has a length that makes ``a = 1`` a step of comparable size: that between the mean of a concept's rows
and the mean of all others, or that step's part along d. Shapes: n rows, D features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_random_state
from torch import Tensor

from .._base.devices import plain_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def add_direction(x: Tensor, direction: ArrayLike | Tensor, alpha: float) -> Tensor:
    """Rows ``x + alpha d``.

    Parameters
    ----------
    x : Tensor (..., D)
    direction : (D,) numbers
    alpha : float
        0 leaves the rows, the same bits.

    Examples
    --------
    >>> import torch
    >>> from mfa_sklearn.steering import add_direction
    >>> add_direction(torch.tensor([[1.0, 2.0]]), [0.0, 4.0], alpha=0.5)
    tensor([[1., 4.]])
    """
    return x if alpha == 0 else x + alpha * torch.as_tensor(plain_array(direction)).to(x)


def difference_of_means(X: ArrayLike, is_concept: ArrayLike) -> np.ndarray:
    """The mean of a concept's rows minus the mean of all others (D,).

    "Mean difference", as in Contrastive Activation Addition (Rimsky et al., ACL 2024).

    Parameters
    ----------
    X : array-like (n, D)
    is_concept : array-like (n,) of bool

    Raises
    ------
    TypeError
        If `is_concept` is not of booleans.
    ValueError
        If it has not an entry per row, or not both values; if a number is not finite.

    Examples
    --------
    >>> from mfa_sklearn.steering import difference_of_means
    >>> difference_of_means([[0.0, 1.0], [2.0, 1.0], [5.0, 3.0]], [False, False, True])
    array([4., 2.])
    """
    rows, concept = _labeled(X, is_concept)
    return rows[concept].mean(0) - rows[~concept].mean(0)


def probe_direction(X: ArrayLike, is_concept: ArrayLike) -> np.ndarray:
    """The direction of a linear probe, as long as takes the mean of all other rows to the concept's along it.

    With u the unit vector along the coefficients of scikit-learn's `LogisticRegression` (of standardized columns with
    classes balanced, brought back to the columns' own units) and ``delta`` the `difference_of_means`, ::

        d = (u^T delta) u

    so that the mean of the others plus d has the concept's mean coordinate along u.

    Parameters
    ----------
    X, is_concept
        As of `difference_of_means`.

    Raises
    ------
    TypeError, ValueError
        As of `difference_of_means`.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn.steering import probe_direction
    >>> X = np.random.default_rng(0).normal(size=(200, 2)) + np.repeat([[0, 0], [4, 0]], 100, axis=0)
    >>> direction = probe_direction(X, np.arange(200) >= 100)
    >>> bool(3 < direction[0] < 4.5 and abs(direction[1]) < 0.5)
    True
    """
    rows, concept = _labeled(X, is_concept)
    probe = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000, tol=1e-6))
    scaler, regression = (step for _, step in probe.fit(rows, concept).steps)
    return _along(regression.coef_[0] / scaler.scale_, rows, concept)


def principal_direction(X: ArrayLike, is_concept: ArrayLike) -> np.ndarray:
    """The first principal component of a concept's rows, towards the concept and as long as the `difference_of_means`.

    Of the rows less their own mean, as in AxBench (Wu et al., ICML 2025): what the concept's rows differ in among
    themselves. Its sign is that of its product with the difference of means.

    Parameters
    ----------
    X, is_concept
        As of `difference_of_means`; of the concept two rows at least.

    Raises
    ------
    TypeError, ValueError
        As of `difference_of_means`, or if the concept's rows are one, or all the same.

    Examples
    --------
    >>> from mfa_sklearn.steering import principal_direction
    >>> principal_direction([[0.0, 0.0], [3.0, 3.0], [3.0, 5.0]], [False, True, True])
    array([0., 5.])
    """
    rows, concept = _labeled(X, is_concept)
    if concept.sum() < 2:
        raise ValueError("a principal component takes two rows of the concept at least, and there is one")
    if (rows[concept] == rows[concept][0]).all():
        raise ValueError(
            f"the {int(concept.sum())} rows of the concept are all the same: they have no principal component"
        )
    delta = rows[concept].mean(0) - rows[~concept].mean(0)
    axis = PCA(1, svd_solver="full").fit(rows[concept]).components_[0]
    return axis * np.linalg.norm(delta) * (1.0 if axis @ delta >= 0 else -1.0)


def random_direction(like: ArrayLike, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
    """A direction drawn evenly from all, of the same length as another (D,).

    Parameters
    ----------
    like : array-like (D,)
    random_state : int, RandomState or None

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn.steering import random_direction
    >>> float(np.linalg.norm(random_direction([3.0, 0.0, 4.0], random_state=0)))
    5.0
    """
    length = np.linalg.norm(like)
    drawn = check_random_state(random_state).standard_normal(np.shape(like))
    return drawn * (length / np.linalg.norm(drawn))


def _along(vector: np.ndarray, rows: np.ndarray, concept: np.ndarray) -> np.ndarray:
    """The part of the difference of means that lies along a vector."""
    delta = rows[concept].mean(0) - rows[~concept].mean(0)
    square = vector @ vector
    return vector * (vector @ delta / square) if square > 0 else np.zeros_like(delta)


def _labeled(X: ArrayLike, is_concept: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    rows, concept = check_array(plain_array(X), dtype=np.float64), np.asarray(plain_array(is_concept))
    if concept.dtype != bool:
        raise TypeError(f"is_concept of {concept.dtype} must hold booleans: labels == 'river'")
    if concept.shape != (len(rows),):
        raise ValueError(f"is_concept has shape {concept.shape} for {len(rows)} rows: give an entry per row")
    if not concept.any() or concept.all():
        raise ValueError(f"{int(concept.sum())} of {len(rows)} rows are of the concept: there must be some and others")
    return rows, concept
