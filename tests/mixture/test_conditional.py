"""Conditional mixtures, against dense Gaussian conditioning."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from mfa_sklearn import MFA

K, D = 3, 6
PATTERNS = [[0], [5], [1, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5]]


def make(n_factors: int = 2, shared: bool = False, seed: int = 0) -> MFA:
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0.3, 1.5, D if shared else (K, D))
    loadings = rng.standard_normal((K, D, n_factors))
    return MFA.from_params(rng.dirichlet(np.ones(K)), 2 * rng.standard_normal((K, D)), loadings, noise)


def rows_of(mfa: MFA, n: int, unobserved: list[int], seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Rows without their unobserved columns, and whole."""
    whole = mfa.set_params(random_state=seed).sample(n)[0]
    partial = whole.copy()
    partial[:, unobserved] = np.nan
    return partial, whole


def dense(mfa: MFA, row: np.ndarray, unobserved: list[int]):
    """Weights (K,), means (K, D_u) and covariances (K, D_u, D_u) by partitioned matrices."""
    u, o = unobserved, [d for d in range(D) if d not in unobserved]
    log_weights, means, covariances = [], [], []
    for k in range(K):
        mu, S = mfa.means_[k], mfa.get_covariance(k)
        regression = S[np.ix_(u, o)] @ np.linalg.inv(S[np.ix_(o, o)])
        means.append(mu[u] + regression @ (row[o] - mu[o]))
        covariances.append(S[np.ix_(u, u)] - regression @ S[np.ix_(o, u)])
        evidence = multivariate_normal(mu[o], S[np.ix_(o, o)]).logpdf(row[o]) if o else 0.0
        log_weights.append(np.log(mfa.weights_[k]) + evidence)
    return np.exp(log_weights - logsumexp(log_weights)), np.array(means), np.array(covariances)


@pytest.mark.parametrize("unobserved", PATTERNS)
@pytest.mark.parametrize("n_factors, shared", [(2, False), (2, True), (1, False), (0, True)])
def test_agrees_with_dense_conditioning(unobserved, n_factors, shared):
    mfa = make(n_factors, shared)
    partial, whole = rows_of(mfa, 7, unobserved)
    conditional = mfa.condition(partial)
    assert conditional.columns.tolist() == unobserved
    assert conditional.noise_variance.shape == ((len(unobserved),) if shared else (K, len(unobserved)))
    noise = np.broadcast_to(conditional.noise_variance, (K, len(unobserved)))
    log_prob = conditional.log_prob(whole[:, unobserved])
    for i, row in enumerate(whole):
        weights, means, covariances = dense(mfa, row, unobserved)
        np.testing.assert_allclose(conditional.weights[i], weights, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(conditional.means[i], means, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(conditional.mean()[i], weights @ means, rtol=1e-9, atol=1e-11)
        for k in range(K):
            covariance = conditional.loadings[k] @ conditional.loadings[k].T + np.diag(noise[k])
            np.testing.assert_allclose(covariance, covariances[k], rtol=1e-9, atol=1e-11)
        parts = [multivariate_normal(means[k], covariances[k]).logpdf(row[unobserved]) for k in range(K)]
        np.testing.assert_allclose(log_prob[i], logsumexp(parts, b=weights), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("unobserved", PATTERNS[:-1])
def test_joint_is_marginal_times_conditional(unobserved):
    mfa = make()
    partial, whole = rows_of(mfa, 20, unobserved)
    observed = [d for d in range(D) if d not in unobserved]
    marginal = MFA.from_params(
        mfa.weights_, mfa.means_[:, observed], mfa.loadings_[:, observed], mfa.noise_variance_[:, observed]
    )
    conditional = mfa.condition(partial).log_prob(whole[:, unobserved])
    np.testing.assert_allclose(marginal.score_samples(whole[:, observed]) + conditional, mfa.score_samples(whole))


def test_nothing_observed_gives_the_mixture_itself():
    mfa = make()
    conditional = mfa.condition(np.full((2, D), np.nan))
    np.testing.assert_allclose(conditional.weights, [mfa.weights_] * 2, rtol=1e-12)
    np.testing.assert_allclose(conditional.means, [mfa.means_] * 2, rtol=1e-12)
    np.testing.assert_allclose(conditional.loadings, mfa.loadings_, rtol=1e-12)


def test_draws_have_the_conditional_moments():
    mfa = make()
    unobserved = [1, 3, 4]
    partial, whole = rows_of(mfa, 4, unobserved)
    draws = mfa.condition(partial).sample(40_000, random_state=0)
    assert draws.shape == (4, 40_000, 3)
    for i, row in enumerate(whole):
        weights, means, covariances = dense(mfa, row, unobserved)
        mean = weights @ means
        covariance = np.einsum("k,kij->ij", weights, covariances) + (weights[:, None] * (means - mean)).T @ (
            means - mean
        )
        error = np.sqrt(np.diag(covariance) / 40_000)
        assert (np.abs(draws[i].mean(0) - mean) < 5 * error).all()
        np.testing.assert_allclose(np.cov(draws[i].T), covariance, atol=0.04 * np.diag(covariance).max())


def test_draws_are_reproducible():
    mfa = make()
    conditional = mfa.condition(rows_of(mfa, 3, [0, 2])[0])
    first, again, other = (conditional.sample(5, random_state=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(ValueError, match="n_samples=0"):
        conditional.sample(0)
    with pytest.raises(TypeError, match="n_samples='5' must be an integer"):
        conditional.sample("5")


def test_component_without_weight_is_never_drawn():
    mfa = make()
    mfa.weights_ = np.array([0.0, 1.0, 0.0])
    conditional = mfa.condition(rows_of(mfa, 3, [0, 2])[0])
    np.testing.assert_array_equal(conditional.weights, [[0, 1, 0]] * 3)
    assert np.isfinite(conditional.log_prob(np.zeros((3, 2)))).all()
    spread = np.sqrt(np.diag(mfa.get_covariance(1))[[0, 2]])
    assert (np.abs(conditional.sample(200, 0) - conditional.means[:, None, 1]) < 6 * spread).all()


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_units_do_not_matter(size):
    mfa = make()
    scaled = MFA.from_params(mfa.weights_, mfa.means_ * size, mfa.loadings_ * size, mfa.noise_variance_ * size**2)
    partial, whole = rows_of(mfa, 5, [2, 4])
    a, b = mfa.condition(partial), scaled.condition(partial * size)
    np.testing.assert_allclose(b.mean() / size, a.mean(), rtol=1e-9)
    shift = -2 * np.log(size)
    np.testing.assert_allclose(b.log_prob(whole[:, [2, 4]] * size), a.log_prob(whole[:, [2, 4]]) + shift, rtol=1e-9)


@pytest.mark.parametrize("kind", [torch.tensor, pd.DataFrame, np.float32, lambda X: X.tolist()])
def test_kinds_of_input(kind):
    mfa = make()
    partial, _ = rows_of(mfa, 3, [0, 2])
    np.testing.assert_allclose(mfa.condition(kind(partial)).mean(), mfa.condition(partial).mean(), rtol=1e-4)


def test_bad_input_is_refused():
    mfa = make()
    partial, whole = rows_of(mfa, 3, [0, 2])
    with pytest.raises(ValueError, match="no NaN"):
        mfa.condition(whole)
    with pytest.raises(ValueError, match=r"infinity \(first at row 1, column 1\)"):
        mfa.condition(np.where(np.eye(3, D, dtype=bool) & (np.arange(3) == 1)[:, None], np.inf, partial))
    uneven = partial.copy()
    uneven[2, 0] = 1.0
    with pytest.raises(ValueError, match="row 2 misses other columns than row 0"):
        mfa.condition(uneven)
    with pytest.raises(ValueError, match="features"):
        mfa.condition(partial[:, 1:])
    with pytest.raises(ValueError, match=r"X has shape \(2, 2\), but there are 3 rows and 2 columns"):
        mfa.condition(partial).log_prob(np.zeros((2, 2)))
    with pytest.raises(Exception, match="not fitted"):
        MFA().condition(partial)
    assert repr(mfa.condition(partial)) == "ConditionalMixture(3 rows, 3 components, columns=[0, 2])"


def exact_log_prob(mfa: MFA, row: np.ndarray):
    """Log density of the columns that a row has, in fifty digits."""
    import mpmath

    with mpmath.workdps(50):
        seen, total = np.flatnonzero(~np.isnan(row)).tolist(), mpmath.mpf(0)
        for k, weight in enumerate(mfa.weights_):
            loadings = mpmath.matrix(mfa.loadings_[k][seen].tolist())
            noise = np.broadcast_to(mfa.noise_variance_, mfa.means_.shape)[k]
            covariance = loadings * loadings.T + mpmath.diag([mpmath.mpf(float(noise[d])) for d in seen])
            deviation = mpmath.matrix([mpmath.mpf(float(row[d])) - mpmath.mpf(float(mfa.means_[k, d])) for d in seen])
            distance = (deviation.T * mpmath.lu_solve(covariance, deviation))[0]
            log_det = mpmath.log(mpmath.det(2 * mpmath.pi * covariance))
            total += mpmath.mpf(float(weight)) * mpmath.exp(-(distance + log_det) / 2)
        return mpmath.log(total)


@pytest.mark.parametrize("apart", [1, 30, 300, 1e4])
def test_log_prob_where_what_is_seen_speaks_for_another_component(apart):
    """Weights of e^-1000 and less, which no number holds, decide as soon as the other columns speak as loudly."""
    rng = np.random.default_rng(0)
    means = apart * rng.standard_normal((3, 6))
    mfa = MFA.from_params([0.5, 0.3, 0.2], means, rng.standard_normal((3, 6, 2)), rng.uniform(0.5, 2, (3, 6)))
    whole = np.concatenate([means[[0, 1, 2], :3], means[[1, 2, 0], 3:]], axis=1)
    given = np.where(np.arange(6) < 3, whole, np.nan)
    found = mfa.condition(given).log_prob(whole[:, 3:])
    expected = [float(exact_log_prob(mfa, w) - exact_log_prob(mfa, g)) for w, g in zip(whole, given, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-9)


def test_weights_are_those_of_their_logarithms():
    mfa = MFA.from_params([0.5, 0.5], [[0.0, 0.0], [40.0, 60.0]], np.zeros((2, 2, 1)), [1.0, 1.0])
    conditional = mfa.condition([[0.0, np.nan], [20.0, np.nan]])
    np.testing.assert_allclose(conditional.log_weights[0], [0, -800])
    np.testing.assert_allclose(conditional.weights, [[1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(conditional.mean(), [[0], [30]])
    assert (conditional.sample(50, random_state=0)[0] < 30).all()
