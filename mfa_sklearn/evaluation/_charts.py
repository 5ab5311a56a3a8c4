"""How much a candidate keeps of rows, and how much it knows of what else is true of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..interpret._inputs import as_rows
from ._candidate import pieces
from ._region_regression import RegionRegression

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._candidate import Candidate, Rows


class Placement(NamedTuple):
    """Where rows are, as a candidate sees them.

    Attributes
    ----------
    regions : ndarray of shape (n_samples,), or None
        None is one region for all.
    coordinates : ndarray of shape (n_samples, q), or None
        Within each row's own region.
    """

    regions: np.ndarray | None
    coordinates: np.ndarray | None


def place(candidate: Candidate, X: Rows) -> Placement:
    """The regions of rows, and their coordinates in them.

    Parameters
    ----------
    candidate : Candidate
        From `as_candidate`.
    X : array-like of shape (n_samples, n_features)

    Returns
    -------
    Placement
    """
    return Placement(candidate.regions(X), candidate.coordinates(X))


def variance_terms(X: Rows, predicted: ArrayLike, sample_weight: ArrayLike | None = None) -> np.ndarray:
    """What was not foretold of each row, and what there was to foretell.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
    predicted : array-like of shape (n_samples, n_features)
    sample_weight : array-like of shape (n_samples,), optional
        For the mean of `X` alone.

    Returns
    -------
    ndarray of shape (n_samples, 2)
        The squares ``|x - predicted|^2`` and ``|x - mean|^2``. Sums of the two over rows make a share of variance.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    predicted = np.asarray(predicted)
    shape = tuple(as_rows(X).shape)
    if predicted.shape != shape:
        raise ValueError(f"the rows have shape {shape}, but what was foretold of them {predicted.shape}")
    weights = np.ones(shape[0]) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    mean = sum(weights[rows] @ part for rows, part in _numbered(X)) / weights.sum()
    out = np.empty((shape[0], 2))
    for rows, part in _numbered(X):
        out[rows, 0] = np.square(part - predicted[rows], dtype=np.float64).sum(1)
        out[rows, 1] = np.square(part - mean, dtype=np.float64).sum(1)
    return out


def _numbered(X: Rows) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows piece by piece, and which they are."""
    start = 0
    for part in pieces(X):
        yield slice(start, start + len(part)), np.asarray(part)
        start += len(part)


def share_of_variance(terms: np.ndarray, sample_weight: ArrayLike | None = None) -> float:
    """``1 - sum_i w_i t_i1 / sum_i w_i t_i2`` of the terms (n, 2) that `variance_terms` gives."""
    weights = np.ones(len(terms)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    missed, whole = weights @ terms
    if not whole > 0:
        raise ValueError("rows that are all alike have no variance to foretell")
    return float(1 - missed / whole)


def reconstruction_r2(X: Rows, reconstructed: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """The share of the rows' variance that their reconstructions keep.

    ``1 - sum_i w_i |x_i - x'_i|^2 / sum_i w_i |x_i - m|^2`` with m the mean of the rows: scikit-learn's ``r2_score``
    over all columns together, but that errors in constant columns count.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Held-out rows.
    reconstructed : array-like of shape (n_samples, n_features)
    sample_weight : array-like of shape (n_samples,), optional

    Returns
    -------
    float
        At most 1; 0 is as good as the mean.

    Raises
    ------
    ValueError
        If the shapes differ, or all rows are alike.

    Examples
    --------
    >>> from mfa_sklearn.evaluation import reconstruction_r2
    >>> reconstruction_r2([[0.0, 1.0], [2.0, 1.0]], [[0.0, 1.0], [1.0, 1.0]])
    0.5
    """
    return share_of_variance(variance_terms(X, reconstructed, sample_weight), sample_weight)


def foretold_terms(
    train: Placement,
    train_target: ArrayLike,
    test: Placement,
    test_target: ArrayLike,
    *,
    groups: ArrayLike | None = None,
) -> dict[str, np.ndarray]:
    """For every held-out row what was not foretold of its target, and what there was to foretell.

    Parameters and keys are those of `foretold_variance`.

    Returns
    -------
    dict of str to ndarray of shape (n_test, 2)
        As of `variance_terms`.
    """
    ways = {}
    if train.regions is not None:
        ways["region"] = train._replace(coordinates=None), test._replace(coordinates=None)
    if train.coordinates is not None:
        ways["region and coordinates"] = train, test
    found = {}
    for name, (learned, asked) in ways.items():
        fitted = RegionRegression().fit(*learned, train_target, groups=groups)
        found[name] = variance_terms(test_target, fitted.predict(*asked))
    return found


def foretold_variance(
    train: Placement,
    train_target: ArrayLike,
    test: Placement,
    test_target: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> dict[str, float]:
    """How much of the variance of a target is known from where a row is.

    The target may be anything that has a line for each row: activations of another layer, of the next token. It is
    foretold by the region alone, and by the region and the local coordinates, as `RegionRegression` learns it from
    training rows.

    Parameters
    ----------
    train, test : Placement
        Where training rows and held-out rows are, from `place`.
    train_target : array-like of shape (n_train, m)
    test_target : array-like of shape (n_test, m)
    groups : array-like of shape (n_train,), optional
        The text of each training row, kept together in the choice of the penalties.
    sample_weight : array-like of shape (n_test,), optional
        Of the held-out rows.

    Returns
    -------
    dict of str to float
        Shares of the held-out rows' variance, at most 1, under "region" (where the candidate has regions) and "region
        and coordinates" (where it has coordinates).

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.evaluation import as_candidate, foretold_variance, place
    >>> X, _ = load_wine(return_X_y=True)
    >>> mfa = as_candidate(MFA(3, 1, random_state=0).fit(X[::2, 1:]))
    >>> shares = foretold_variance(place(mfa, X[::2, 1:]), X[::2, :1], place(mfa, X[1::2, 1:]), X[1::2, :1])
    >>> list(shares)
    ['region', 'region and coordinates']
    """
    found = foretold_terms(train, train_target, test, test_target, groups=groups)
    return {name: share_of_variance(terms, sample_weight) for name, terms in found.items()}


def description_length(
    candidate: Candidate, X: Rows, resolution: float, sample_weight: ArrayLike | None = None
) -> float | None:
    """Mean number of bits that a row takes when every feature is written to within half of `resolution`.

    A density of D features gives, at a resolution r, ::

        -log2 p(x) - D log2 r

    bits, where p is the candidate's own density with the variance of rounding, ``r^2 / 12``, added to every variance.
    That matters only where a variance is not well above it, and keeps one of nearly zero from promising less than no
    bits. The densities are those of `MFA`, `GaussianMixture` and (for `PCA`: probabilistic) principal component or
    factor analysis; for k-means the mixture of spherical Gaussians at the centers, with the clusters' shares
    ``(n_k + 1/2) / (n + K/2)`` and one variance, the mean square distance to the nearest center per feature, both of
    the training rows.

    A sparse code has no density, and is written in parts. With p_j the share of training rows in which column j is
    active, m_j its mean absolute value there, d_j what a unit of it adds to the reconstruction, and V the diagonal
    matrix of the mean squares of the residual e in the training rows (and ``r^2 / 12``), ::

        support   sum_j -log2 p_j  or  -log2 (1 - p_j)                            active or not
        values    sum_(active j) -log2 P_j(floor(|z_j| / s_j)) [+ 1 for a sign]     P_j geometric, of mean size m_j
        rounding  sum_(active j) (log2 e) / 2                                     values are known to a step s_j only
        residual  -log2 N(e; 0, V) - D log2 r

    with the steps that make the sum least, ``s_j = sqrt(12 / (d_j' V^-1 d_j))``. Such a code is longer than the best
    one for the same model, which would not settle on one value where many do: it is an upper bound, a density exact.

    To compare candidates take one resolution for all, below the spread of what they leave over: a hundredth of the
    features' standard deviation. Rows are to be others than those fitted on; the parameters are not counted.

    Parameters
    ----------
    candidate : Candidate
        From `as_candidate`.
    X : array-like of shape (n_samples, n_features)
        Held-out rows.
    resolution : float
        In units of the features.
    sample_weight : array-like of shape (n_samples,), optional

    Returns
    -------
    float, or None
        Bits per row; None where the candidate has neither a density nor an affine decoder.

    Raises
    ------
    TypeError, ValueError
        If the resolution is no positive number; if the candidate was made without the training rows that it needs.

    References
    ----------
    Cover & Thomas, "Elements of information theory", 2nd ed. (2006), section 8.3.
    Ayonrinde, Pearce & Sharkey, "Interpretability as compression: reconsidering SAE explanations of neural activations
    with MDL-SAEs", arXiv 2410.11179 (2024).
    Wallace & Freeman, "Estimation and inference by compact coding", J. R. Stat. Soc. B 49 (1987).

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.decomposition import PCA
    >>> from mfa_sklearn.evaluation import as_candidate, description_length
    >>> X, _ = load_wine(return_X_y=True)
    >>> round(description_length(as_candidate(PCA(3).fit(X)), X, resolution=0.1))
    82
    """
    bits = candidate.bits(X, resolution)
    weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    return None if bits is None else float(np.average(bits, weights=weights))
