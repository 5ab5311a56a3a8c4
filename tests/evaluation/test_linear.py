"""Principal components and factor analysis as candidates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA, FactorAnalysis, IncrementalPCA

from mfa_sklearn.datasets import make_mfa
from mfa_sklearn.evaluation import as_candidate

X, _ = make_mfa(150, 6, 2, 2, random_state=1)
ESTIMATORS = [PCA(2), PCA(2, whiten=True), PCA(), IncrementalPCA(2), FactorAnalysis(2)]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_coordinates_and_density(estimator: PCA | FactorAnalysis) -> None:
    candidate = as_candidate(estimator.fit(X))
    scores = estimator.transform(X)
    assert candidate.regions(X) is None
    np.testing.assert_allclose(candidate.coordinates(X), scores)
    np.testing.assert_allclose(candidate.codes(X), scores)
    np.testing.assert_allclose(candidate.detectors(X), np.hstack([scores, -scores]))
    rounded = estimator.get_covariance() + 0.3**2 / 12 * np.eye(6)
    log_prob = multivariate_normal(estimator.mean_, rounded).logpdf(X)
    np.testing.assert_allclose(candidate.bits(X, 0.3), -log_prob / np.log(2) - 6 * np.log2(0.3))


@pytest.mark.parametrize("estimator", [PCA(2), FactorAnalysis(2)], ids=str)
def test_bits_at_a_fine_resolution_are_those_of_score_samples(estimator: PCA | FactorAnalysis) -> None:
    bits = as_candidate(estimator.fit(X)).bits(X, 1e-6)
    np.testing.assert_allclose(bits, -estimator.score_samples(X) / np.log(2) - 6 * np.log2(1e-6))


def test_reconstructions_of_principal_components_are_the_best_of_their_rank() -> None:
    """The rank-two part of the singular value decomposition."""
    mean = X.mean(0)
    U, s, V = np.linalg.svd(X - mean, full_matrices=False)
    best = mean + (U[:, :2] * s[:2]) @ V[:2]
    for estimator in (PCA(2), PCA(2, whiten=True)):
        np.testing.assert_allclose(as_candidate(estimator.fit(X)).reconstruct(X), best)


def test_reconstructions_of_factors_are_means_of_the_posterior() -> None:
    """``mean + W E[z | x]``, with ``E[z | x] = W' S^-1 (x - mean)`` and S the covariance of a row."""
    estimator = FactorAnalysis(2).fit(X)
    W, S = estimator.components_.T, estimator.get_covariance()
    expected = estimator.mean_ + (X - estimator.mean_) @ np.linalg.solve(S, W) @ W.T
    np.testing.assert_allclose(as_candidate(estimator).reconstruct(X), expected)


def test_sizes_count_what_is_stored() -> None:
    assert as_candidate(PCA(2).fit(X)).sizes == (None, 2, 6 + 2 * 6 + 2 + 1)
    assert as_candidate(FactorAnalysis(2).fit(X)).sizes == (None, 2, 6 + 2 * 6 + 6)
