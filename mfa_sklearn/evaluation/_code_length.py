"""The two-part code of rows by a sparse code: which columns are active, their values, and what is left over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy import sparse

# Steps of a value are at most so many mean values: beyond, every value is in the first of them.
_LARGEST_STEP = 50.0


class CodeBook(NamedTuple):
    """What sender and receiver agree on, learned from training rows; m columns, D features."""

    share: np.ndarray  # (m,) of rows in which the column is active
    size: np.ndarray  # (m,) mean absolute value where it is
    signed: np.ndarray  # (m,) whether it takes both signs
    residual: np.ndarray  # (D,) mean square of what is left over
    active: float  # mean number of active columns per row


def learn_code(batches: Iterable[tuple[sparse.csr_matrix, np.ndarray]]) -> CodeBook:
    """The code book of training rows.

    Shares are (n_j + 1/2) / (n + 1), so that no column is held for impossible; mean sizes are shrunk by one value
    towards the mean over all columns.

    Parameters
    ----------
    batches : iterable of (code, residual)
        CSR (b, m) and (b, D).
    """
    n_rows = 0
    counts = total = negative = positive = squares = np.zeros(1)
    for code, residual in batches:
        n_rows += code.shape[0]
        positive = positive + np.asarray((code > 0).sum(0)).ravel()
        negative = negative + np.asarray((code < 0).sum(0)).ravel()
        total = total + np.asarray(abs(code).sum(0), dtype=np.float64).ravel()
        squares = squares + np.square(residual, dtype=np.float64).sum(0)
    counts = positive + negative
    overall = total.sum() / max(1.0, counts.sum()) or 1.0
    return CodeBook(
        (counts + 0.5) / (n_rows + 1),
        (total + overall) / (counts + 1),
        (positive > 0) & (negative > 0),
        squares / n_rows,
        float(counts.sum() / n_rows),
    )


def two_part_bits(
    book: CodeBook, code: sparse.csr_matrix, residual: np.ndarray, dictionary: np.ndarray, resolution: float
) -> np.ndarray:
    """Bits per row: the support, the values, and the residual at a resolution.

    With p_j the share of rows in which column j is active, m_j its mean absolute value there, d_j its decoder vector
    and ``V = diag(v)`` the variances of the residual e (of the training rows; ``resolution^2 / 12`` is added to each,
    see `code_length`), ::

        support   sum_j -log2 p_j  or  -log2 (1 - p_j)                      active or not, columns independent
        values    sum_(active j) -log2 P(floor(|z_j| / s_j)) [+ 1 bit of sign]     P geometric of mean size m_j
        rounding  sum_(active j) (log2 e) / 2                               values are known to their step s_j only
        residual  -log2 N(e; 0, V) - D log2 resolution

    The step that makes the sum of the last three shortest is ``s_j = sqrt(12 / (d_j' V^-1 d_j))``: a value is written
    as precisely as pays, so that a sparse code is not charged for digits that the residual drowns. A two-part code is
    longer than one by a density all the same: it pays for one exact code where a density sums over all codes.

    Parameters
    ----------
    book : CodeBook
    code : CSR matrix of shape (n_samples, m)
    residual : ndarray of shape (n_samples, D)
        Rows less their reconstructions.
    dictionary : ndarray of shape (m, D)
        What a unit of each column adds to the reconstruction.
    resolution : float

    Returns
    -------
    ndarray of shape (n_samples,)

    References
    ----------
    Ayonrinde, Pearce & Sharkey, "Interpretability as compression: reconsidering SAE explanations of neural activations
    with MDL-SAEs", arXiv 2410.11179 (2024), for the parts.
    Wallace & Freeman, "Estimation and inference by compact coding", J. R. Stat. Soc. B 49 (1987), for the precision.
    """
    variance = book.residual + resolution**2 / 12
    with np.errstate(divide="ignore"):
        step = np.sqrt(12 / (np.square(dictionary, dtype=np.float64) @ (1 / variance)))
    step = np.minimum(step, _LARGEST_STEP * book.size)
    code = sparse.csr_matrix(code, dtype=np.float64, copy=True)
    code.eliminate_zeros()
    column = code.indices
    ratio = (step / book.size)[column]
    nats = np.log1p(-book.share[column]) - np.log(book.share[column])
    nats += np.floor(np.abs(code.data) / step[column]) * ratio - np.log(-np.expm1(-ratio))
    nats += book.signed[column] * np.log(2) + 0.5
    code.data = nats
    per_row = np.asarray(code.sum(1)).ravel() - np.log1p(-book.share).sum()
    per_row += 0.5 * (np.log(2 * np.pi * variance).sum() + np.square(residual, dtype=np.float64) @ (1 / variance))
    return per_row / np.log(2) - len(variance) * np.log2(resolution)
