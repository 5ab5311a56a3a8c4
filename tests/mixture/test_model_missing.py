"""Missing values: marginal densities against dense Gaussians, the statistics against autograd, imputation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import e_step
from precision_cases import wide_log_joint
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_wine

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa
from mfa_sklearn.mixture._gradient.ascent import _log_joint
from mfa_sklearn.mixture._model.density import prepare
from mfa_sklearn.mixture._model.missing import missing_rows, observed_log_joint
from mfa_sklearn.mixture._model.params import MFAParams

STRUCTURES = [
    {"noise": noise, "noise_form": form, "loading_type": loadings}
    for noise in ("shared", "component")
    for form in ("diagonal", "isotropic")
    for loadings in ("component", "common")
]


def with_holes(X, share=0.15, seed=0):
    X = X.copy()
    X[np.random.default_rng(seed).random(X.shape) < share] = np.nan
    return X


WINE = load_wine().data
HOLES = with_holes(WINE)


def dense_log_joint(mfa, X):
    """Log joint densities of the observed features, row by row from full covariances."""
    out = np.empty((len(X), len(mfa.weights_)))
    for k, weight in enumerate(mfa.weights_):
        covariance = mfa.get_covariance(k)
        for i, row in enumerate(X):
            seen = ~np.isnan(row)
            out[i, k] = np.log(weight)
            if seen.any():
                marginal = multivariate_normal(mfa.means_[k][seen], covariance[np.ix_(seen, seen)])
                out[i, k] += marginal.logpdf(row[seen])
    return out


@pytest.mark.parametrize("structure", STRUCTURES)
def test_densities_are_those_of_the_observed_features(structure):
    mfa = MFA(3, 2, random_state=0, max_iter=5, tol=0, **structure).fit(HOLES)
    X = HOLES[:40].copy()
    X[0] = np.nan
    joint = dense_log_joint(mfa, X)
    np.testing.assert_allclose(mfa.score_samples(X), logsumexp(joint, axis=1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.vstack([j for _, j in mfa.iter_log_joint(X)]), joint, rtol=1e-9, atol=1e-9)
    expected = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    np.testing.assert_allclose(mfa.predict_proba(X), expected, atol=1e-9)
    np.testing.assert_array_equal(mfa.predict(X), joint.argmax(1))
    np.testing.assert_allclose(mfa.predict_proba(X)[0], mfa.weights_, atol=1e-12)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_em_is_monotone(structure):
    mfa = MFA(
        3, 2, random_state=0, max_iter=25, tol=0, annealing=1, acceleration=False, noise_prior=None, **structure
    ).fit(HOLES)
    assert np.all(np.diff(mfa.lower_bounds_) >= -1e-10)
    assert mfa.lower_bound_ == pytest.approx(mfa.score(HOLES), rel=1e-10)


def test_fisher_identity():
    """The gradient of the log-likelihood is what the statistics say, holes and all."""
    generator = torch.Generator().manual_seed(0)
    K, D, q = 3, 5, 2
    params = MFAParams(
        torch.randn(K, generator=generator, dtype=torch.float64).log_softmax(0),
        torch.randn(K, D, generator=generator, dtype=torch.float64),
        torch.randn(K, D, q, generator=generator, dtype=torch.float64),
        torch.rand(K, D, generator=generator, dtype=torch.float64) + 0.2,
    )
    X = torch.tensor(with_holes(np.random.default_rng(1).normal(size=(60, D)), 0.3))
    assert 0 < int(missing_rows(X).sum()) < 60
    leaves = MFAParams(*(t.clone().requires_grad_() for t in params))
    total = _log_joint(prepare(leaves), X).logsumexp(1).sum()
    weights, means, loadings, noise = torch.autograd.grad(total, leaves)
    s, log_prob = e_step(prepare(params), X)
    psi = params.noise_variance
    torch.testing.assert_close(log_prob.sum(), total.detach())
    torch.testing.assert_close(weights, s.mass)
    torch.testing.assert_close(means, s.residual / psi)
    torch.testing.assert_close(loadings, s.cross / psi[:, :, None])
    torch.testing.assert_close(noise, s.square / (2 * psi**2) - s.mass[:, None] / (2 * psi))


@pytest.mark.parametrize("batch_size", [7, 50, None])
def test_batches_and_weights_are_a_matter_of_sums(batch_size):
    labels = np.arange(178) % 2
    weights = np.where(np.arange(178) < 30, 2.0, 1.0)
    weighted = MFA(2, 1, init=labels, max_iter=5, tol=0, batch_size=batch_size).fit(HOLES, sample_weight=weights)
    twice = MFA(2, 1, init=np.r_[labels, labels[:30]], max_iter=5, tol=0).fit(np.vstack([HOLES, HOLES[:30]]))
    np.testing.assert_allclose(weighted.means_, twice.means_, rtol=1e-6)
    np.testing.assert_allclose(weighted.noise_variance_, twice.noise_variance_, rtol=1e-6)


def test_imputed_values_are_conditional_means():
    X, _ = make_mfa(400, 6, 2, 2, random_state=0)
    mfa = MFA(2, 2, random_state=0).fit(X)
    holes = with_holes(X[:30], 0.3)
    filled = mfa.impute(holes)
    np.testing.assert_array_equal(filled[~np.isnan(holes)], holes[~np.isnan(holes)])
    posterior = np.exp(dense_log_joint(mfa, holes))
    posterior /= posterior.sum(1, keepdims=True)
    for i in np.flatnonzero(np.isnan(holes).any(1) & ~np.isnan(holes).all(1)):
        gone = np.isnan(holes[i])
        expected = np.zeros(gone.sum())
        for k in range(2):
            c, m = mfa.get_covariance(k), mfa.means_[k]
            gain = c[np.ix_(gone, ~gone)] @ np.linalg.inv(c[np.ix_(~gone, ~gone)])
            expected += posterior[i, k] * (m[gone] + gain @ (holes[i, ~gone] - m[~gone]))
        np.testing.assert_allclose(filled[i, gone], expected, rtol=1e-7, atol=1e-8)


def test_draws_have_the_conditional_moments():
    X, _ = make_mfa(500, 4, 1, 1, random_state=0)
    mfa = MFA(1, 1, random_state=0).fit(X)
    row = X[:1].copy()
    row[0, 1:3] = np.nan
    draws = mfa.impute(np.repeat(row, 40_000, axis=0), draw=True)
    assert np.all(draws[:, [0, 3]] == row[0, [0, 3]])
    gone, seen = [1, 2], [0, 3]
    c = mfa.get_covariance(0)
    gain = c[np.ix_(gone, seen)] @ np.linalg.inv(c[np.ix_(seen, seen)])
    expected = c[np.ix_(gone, gone)] - gain @ c[np.ix_(seen, gone)]
    scale = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(draws[:, gone].mean(0), mfa.impute(row)[0, gone], atol=0.03 * scale.max())
    np.testing.assert_allclose(np.cov(draws[:, gone].T), expected, atol=0.03 * scale.max() ** 2)


def test_imputation_beats_column_means():
    filled = MFA(3, 2, max_iter=500, random_state=0).fit(HOLES).impute(HOLES)
    gone = np.isnan(HOLES)
    error = ((filled - WINE) / WINE.std(0))[gone]
    baseline = ((np.nanmean(HOLES, 0) - WINE) / WINE.std(0))[gone]
    assert np.square(error).mean() < 0.8 * np.square(baseline).mean()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_solvers_take_holes(dtype):
    em = MFA(3, 2, max_iter=500, random_state=0, dtype=dtype).fit(HOLES)
    gradient = MFA(3, 2, random_state=0, solver="gradient", learning_rate=0.01, max_iter=200, dtype=dtype).fit(HOLES)
    assert gradient.score(HOLES) > em.score(HOLES) - 0.3
    for mfa in (em, gradient):
        for values in (mfa.transform(HOLES).data, mfa.posterior_mean(HOLES), mfa.reconstruct(HOLES)):
            assert np.isfinite(values).all()


def test_a_column_without_values_is_refused():
    X = WINE.copy()
    X[:, 4] = np.nan
    with pytest.raises(ValueError, match=r"NaN in every row of columns \[4\]"):
        MFA(2, 1).fit(X)


@pytest.mark.parametrize("twins", ["collinear", "general"])
@pytest.mark.parametrize(
    ("dtype", "noise"), [("float32", 1e-5), ("float32", 1e-9), ("float64", 1e-9), ("float64", 1e-14)]
)
def test_little_noise_leaves_missing_values_a_posterior(dtype, noise, twins):
    """Gram matrices of nearly collinear loadings are singular but for rounding, in the rows' precision or in double."""
    rng = np.random.default_rng(0)
    loadings = rng.standard_normal((1, 30, 3)) @ rng.standard_normal((3, 8))
    if twins == "general":
        loadings = rng.standard_normal((1, 30, 8))
    mfa = MFA.from_params([1.0], np.zeros((1, 30)), loadings, np.full(30, noise)).set_params(random_state=0)
    X = mfa.sample(12)[0].astype(dtype)
    X[::2, 3] = X[1::4, 20:] = np.nan
    expected = [
        wide_log_joint(
            MFA.from_params([1.0], np.zeros((1, s.sum())), loadings[:, s], np.full(s.sum(), noise)), r[s][None]
        )
        for r, s in ((row, ~np.isnan(row)) for row in X)
    ]
    expected = np.concatenate(expected)[:, 0].astype(float)
    np.testing.assert_allclose(mfa.score_samples(X), expected, rtol=1e-5, atol=2e-2)
    # As the solvers see them: in the precision of the rows, which here is all that is known of the noise.
    density = prepare(mfa._params(), torch.float32 if dtype == "float32" else torch.float64)
    assert observed_log_joint(density, torch.tensor(X)).isfinite().all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["em", "gradient"])
@pytest.mark.parametrize("noise", ["shared", "component"])
def test_rows_of_low_rank_that_miss_values_can_be_fitted(solver, noise):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 100)) + 1e-4 * rng.standard_normal((60, 100))
    holes = with_holes(X, 0.02).astype(np.float32)
    mfa = MFA(2, 8, noise=noise, solver=solver, max_iter=6, tol=0, noise_floor=1e-9, random_state=0).fit(holes)
    assert np.isfinite(mfa.lower_bounds_).all()
    assert np.isfinite(mfa.score_samples(holes)).all()
