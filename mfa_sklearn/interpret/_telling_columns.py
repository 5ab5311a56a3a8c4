"""In which columns of a table a component differs from the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._base.words import visible
from ._scale import standard_deviations

# Standard deviations that a mean must lie off for its column to be named.
_OFF = 0.25


def column_names(mfa: Any) -> list[str]:
    """Names of the columns that a mixture was fitted on, x0, x1, ... where it knows none."""
    names = getattr(mfa, "feature_names_in_", None)
    return [f"x{d}" for d in range(np.shape(mfa.means_)[1])] if names is None else [str(name) for name in names]


def column_offsets(mfa: Any) -> np.ndarray:
    """How far the components' means lie from that of the whole mixture, (K, D), in the columns' standard deviations."""
    means = np.asarray(mfa.means_, dtype=np.float64)
    return (means - np.asarray(mfa.weights_) @ means) / np.maximum(standard_deviations(mfa), np.finfo(float).tiny)


def telling_columns(offsets: np.ndarray, names: list[str], n_most: int) -> list[str]:
    """The columns in which a component's mean lies farthest off, as "high alcohol" or "low hue".

    Parameters
    ----------
    offsets : ndarray of shape (D,)
        A line of `column_offsets`.
    names : list of str
    n_most : int

    Examples
    --------
    >>> telling_columns(np.array([0.1, -2.0, 1.0]), ["age", "income", "debt"], 2)
    ['low income', 'high debt']
    """
    order = np.argsort(-np.abs(offsets), kind="stable")[:n_most]
    return [f"{'high' if offsets[d] > 0 else 'low'} {visible(names[d])}" for d in order if abs(offsets[d]) >= _OFF]
