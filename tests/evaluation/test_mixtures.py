"""Mixtures and centers as candidates, beside dense formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from mfa_sklearn import MFA, KMeansInitializer
from mfa_sklearn.datasets import make_mfa
from mfa_sklearn.evaluation import _candidate, as_candidate
from mfa_sklearn.evaluation._mixtures import log_gaussian, log_odds, one_hot

X, _ = make_mfa(200, 5, 3, 2, random_state=0)
RESOLUTION = 0.4


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several pieces for everything that goes by pieces."""
    monkeypatch.setattr(_candidate, "_PIECE_BYTES", 70 * 5 * 8)


@pytest.fixture(scope="module")
def mfa() -> MFA:
    return MFA(3, 2, max_iter=10, tol=0, noise="component", random_state=0).fit(X)


def dense_joint(weights: np.ndarray, means: np.ndarray, covariances: list[np.ndarray]) -> np.ndarray:
    """``log w_k + log N(x | k)`` by scipy, (n, K)."""
    densities = [multivariate_normal(mean, S).logpdf(X) for mean, S in zip(means, covariances, strict=True)]
    return np.log(weights) + np.stack(densities, axis=1)


def dense_odds(joint: np.ndarray) -> np.ndarray:
    """Log odds with the probability of the others summed for each component by itself."""
    others = [np.delete(joint, k, axis=1) for k in range(joint.shape[1])]
    return joint - np.stack([logsumexp(rest, axis=1) for rest in others], axis=1)


def bits_of(joint: np.ndarray) -> np.ndarray:
    return -logsumexp(joint, axis=1) / np.log(2) - X.shape[1] * np.log2(RESOLUTION)


def test_a_mixture_of_factor_analyzers(mfa: MFA) -> None:
    candidate = as_candidate(mfa)
    np.testing.assert_array_equal(candidate.regions(X), mfa.predict(X))
    np.testing.assert_array_equal(candidate.coordinates(X), mfa.posterior_mean(X))
    np.testing.assert_allclose(candidate.codes(X).toarray(), mfa.transform(X).toarray())
    np.testing.assert_allclose(candidate.reconstruct(X), mfa.reconstruct(X))
    assert candidate.sizes == (3, 3, 3 * 5 + 3 * 5 + 2 + 3 * (5 * 2 - 1))
    assert candidate.estimator is mfa


def test_odds_and_bits_of_a_mixture_of_factor_analyzers(mfa: MFA) -> None:
    covariances, before = [mfa.get_covariance(k) for k in range(3)], mfa.noise_variance_.copy()
    odds = as_candidate(mfa).detectors(X)
    np.testing.assert_allclose(odds, dense_odds(dense_joint(mfa.weights_, mfa.means_, covariances)), rtol=1e-8)
    assert np.abs(odds).max() > 100  # where a posterior is one to the last digit
    rounded = [S + RESOLUTION**2 / 12 * np.eye(5) for S in covariances]
    joint = dense_joint(mfa.weights_, mfa.means_, rounded)
    np.testing.assert_allclose(as_candidate(mfa).bits(X, RESOLUTION), bits_of(joint), rtol=1e-8)
    np.testing.assert_array_equal(mfa.noise_variance_, before)


def test_bits_of_a_mixture_at_a_fine_resolution_are_those_of_its_density(mfa: MFA) -> None:
    expected = -mfa.score_samples(X) / np.log(2) - 5 * np.log2(1e-6)
    np.testing.assert_allclose(as_candidate(mfa).bits(X, 1e-6), expected, rtol=1e-8)


def test_the_output_that_was_set_does_not_reach_the_codes() -> None:
    pytest.importorskip("pandas")
    mfa = MFA(2, 1, sparse_output=False, max_iter=2, tol=0, random_state=0).set_output(transform="pandas").fit(X)
    assert as_candidate(mfa).codes(X).shape == (200, 4)
    assert type(mfa.transform(X)).__name__ == "DataFrame" and mfa.sparse_output is False


def test_a_mixture_without_factors_has_no_coordinates_and_one_component_no_odds() -> None:
    assert as_candidate(MFA(2, 0, max_iter=2, tol=0, random_state=0).fit(X)).coordinates(X) is None
    assert as_candidate(MFA(1, 1, max_iter=2, tol=0).fit(X)).detectors(X) is None
    assert as_candidate(GaussianMixture(1).fit(X)).detectors(X) is None
    assert as_candidate(KMeans(1).fit(X)).detectors(X) is None


def full_covariances(mixture: GaussianMixture) -> list[np.ndarray]:
    kind, found = mixture.covariance_type, mixture.covariances_
    if kind == "tied":
        return [found] * len(mixture.weights_)
    return [S if kind == "full" else np.diag(S) if kind == "diag" else S * np.eye(X.shape[1]) for S in found]


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("estimator", [GaussianMixture, BayesianGaussianMixture])
def test_mixtures_of_gaussians(kind: str, estimator: type) -> None:
    mixture = estimator(n_components=3, covariance_type=kind, random_state=0).fit(X)
    candidate, covariances = as_candidate(mixture), full_covariances(mixture)
    np.testing.assert_array_equal(candidate.regions(X), mixture.predict(X))
    np.testing.assert_allclose(candidate.codes(X), mixture.predict_proba(X))
    np.testing.assert_allclose(candidate.reconstruct(X), mixture.predict_proba(X) @ mixture.means_)
    joint = dense_joint(mixture.weights_, mixture.means_, covariances)
    np.testing.assert_allclose(candidate.detectors(X), dense_odds(joint), rtol=1e-7)
    rounded = [S + RESOLUTION**2 / 12 * np.eye(5) for S in covariances]
    joint = dense_joint(mixture.weights_, mixture.means_, rounded)
    np.testing.assert_allclose(candidate.bits(X, RESOLUTION), bits_of(joint), rtol=1e-8)
    assert candidate.coordinates(X) is None
    numbers = {"full": 3 * 15, "tied": 15, "diag": 3 * 5, "spherical": 3}[kind]
    assert candidate.sizes == (3, 1, 3 * 5 + numbers + 2)
    if estimator is GaussianMixture:
        assert candidate.sizes.parameters == mixture._n_parameters()


@pytest.mark.parametrize("estimator", [KMeans(4, random_state=0), KMeansInitializer(4, random_state=0)], ids=str)
def test_centers(estimator: KMeans | KMeansInitializer) -> None:
    estimator = estimator.fit(X)
    candidate, centers = as_candidate(estimator, X), estimator.cluster_centers_
    squares = np.square(X[:, None] - centers).sum(2)
    labels = squares.argmin(1)
    np.testing.assert_array_equal(candidate.regions(X), labels)
    np.testing.assert_array_equal(candidate.codes(X).toarray(), np.eye(4)[labels])
    np.testing.assert_allclose(candidate.reconstruct(X), centers[labels])
    margins = [[np.delete(row, k).min() - row[k] for k in range(4)] for row in squares]
    np.testing.assert_allclose(candidate.detectors(X), margins, rtol=1e-6, atol=1e-9)
    shares = (np.bincount(labels) + 0.5) / (len(X) + 2)
    variance = squares.min(1).mean() / 5 + RESOLUTION**2 / 12
    joint = dense_joint(shares, centers, [variance * np.eye(5)] * 4)
    np.testing.assert_allclose(candidate.bits(X, RESOLUTION), bits_of(joint), rtol=1e-8)
    assert candidate.coordinates(X) is None and candidate.sizes == (4, 1, 4 * 5 + 4)


def test_bits_of_centers_need_their_training_rows() -> None:
    candidate = as_candidate(KMeans(2, random_state=0).fit(X))
    assert candidate.regions(X).shape == (200,)
    with pytest.raises(ValueError, match=r"KMeans needs .* as_candidate\(estimator, X_train\)"):
        candidate.bits(X, RESOLUTION)


def test_log_odds_neither_saturate_nor_lose_ties() -> None:
    joint = np.array([[0.0, -1000.0, -np.inf], [5.0, 5.0, 5.0], [1e5, 1e5 - 1e-3, 0.0]])
    odds = log_odds(joint)
    np.testing.assert_allclose(odds[0], [1000, -1000, -np.inf])
    np.testing.assert_allclose(odds[1], -np.log(2))
    np.testing.assert_allclose(odds[2], [1e-3, -1e-3, -1e5 - np.log1p(np.exp(-1e-3))], rtol=1e-6)
    moderate = np.random.default_rng(0).normal(size=(50, 4))
    p = np.exp(moderate) / np.exp(moderate).sum(1, keepdims=True)
    np.testing.assert_allclose(log_odds(moderate), np.log(p / (1 - p)))


def test_log_gaussian_of_matrix_variances_and_one_variance() -> None:
    d, S = X[:7] - X.mean(0), np.cov(X.T)
    np.testing.assert_allclose(log_gaussian(d, S), multivariate_normal(cov=S).logpdf(d))
    np.testing.assert_allclose(log_gaussian(d, np.diag(S)), multivariate_normal(cov=np.diag(np.diag(S))).logpdf(d))
    np.testing.assert_allclose(log_gaussian(d, np.array([2.0])), multivariate_normal(cov=2 * np.eye(5)).logpdf(d))


def test_rows_in_no_region_have_no_column() -> None:
    np.testing.assert_array_equal(one_hot(np.array([1, -1, 0]), 2).toarray(), [[0, 1], [0, 0], [1, 0]])
