"""How much more of something there is in a part than in the whole."""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy


def log_likelihood_ratio(
    count: np.ndarray, size: np.ndarray, frequency: np.ndarray, total: float | np.ndarray
) -> np.ndarray:
    """``G^2`` of tables of (in the component or not) x (has the label or token, or not); negative below chance.

    Parameters
    ----------
    count : ndarray
        Rows of the component with the label or token.
    size, frequency : ndarray of the same shape
        Rows of the component, and rows with the label or token.
    total : float or ndarray of the same shape
        All rows.

    Notes
    -----
    ``G^2 = 2 sum_cells observed log(observed / expected)`` (Dunning, Computational Linguistics 19, 1993).
    """
    llr = np.zeros(np.shape(count))
    rows, columns = (size, total - size), (frequency, total - frequency)
    observed = ((count, size - count), (frequency - count, total - size - frequency + count))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            # Differences of soft counts may fall below zero in rounding.
            cell, expected = np.maximum(observed[i][j], 0), row * column / total
            llr += 2 * xlogy(cell, np.divide(cell, expected, out=np.ones_like(expected), where=expected > 0))
    return np.sign(count * total - size * frequency) * np.abs(llr)
