"""Figures known beforehand, to the digits given: published, exact from eigenvalues, or of a unique optimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import STRUCTURES, dense_log_prob, estimator_arguments, fitted, params_of
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.mixture import GaussianMixture

from mfa_sklearn import MFA
from mfa_sklearn.mixture._model.params import MFAParams

# Heywood cases and constant pixels are what some of these data are chosen for.
pytestmark = pytest.mark.filterwarnings("ignore:the noise variance of features")


def standardized(X: np.ndarray) -> np.ndarray:
    """Columns of mean zero and unit deviation."""
    return (X - X.mean(0)) / X.std(0)


def noisy_digits() -> np.ndarray:
    """Digits without constant pixels."""
    X = load_digits().data + np.random.default_rng(123).standard_normal((1797, 64))
    assert X.sum() == pytest.approx(561703.690012, abs=1e-6)
    return X


# --- a density, no optimizer ----------------------------------------------------------------------------------------


def pinwheel() -> np.ndarray:
    """Three curved arms of a hundred points."""
    rs = np.random.RandomState(0)
    features = rs.randn(300, 2) * [0.3, 0.05]
    features[:, 0] += 1
    angles = np.repeat(np.linspace(0, 2 * np.pi, 3, endpoint=False), 100) + 0.4 * np.exp(features[:, 0])
    rotations = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)]).T.reshape(-1, 2, 2)
    return np.einsum("ti,tij->tj", features, rotations)


def pinwheel_params() -> MFAParams:
    logits = torch.tensor([0.66579325, 0.35763949, -0.77270015], dtype=torch.float64)
    means = [[-0.00419192, 0.31066799], [-0.36004278, 0.13275579], [0.05427426, 0.00214572]]
    loadings = [[0.40631048, 0.30626303], [0.36087766, 0.14593803], [0.45888706, 0.35728789]]
    deviations = [[-0.08730011, -0.56830111], [0.06756844, 0.7422685], [-0.53990244, -0.98886414]]
    means, loadings, deviations = (torch.tensor(a, dtype=torch.float64) for a in (means, loadings, deviations))
    return MFAParams(logits.log_softmax(0), means, loadings[:, :, None], deviations**2)


def test_pinwheel_density():
    X, mfa = pinwheel(), fitted(pinwheel_params(), STRUCTURES["UUU"])
    assert mfa.score_samples(X).sum() == pytest.approx(-820.92865, abs=1e-5)
    assert mfa.score(X) * 300 == pytest.approx(-820.92865, abs=1e-5)
    assert mfa.bic(X) == pytest.approx(1755.93296, abs=2e-5)
    assert mfa.aic(X) == pytest.approx(2 * 820.92865 + 40, abs=2e-5)


def test_pinwheel_density_through_a_fit_of_no_iterations():
    X, mfa = pinwheel(), fitted(pinwheel_params(), STRUCTURES["UUU"], warm_start=True, max_iter=0)
    before = mfa.get_covariance(1)
    mfa.fit(X)
    assert mfa.n_iter_ == 0
    assert mfa.lower_bound_ * 300 == pytest.approx(-820.92865, abs=1e-5)
    np.testing.assert_allclose(mfa.get_covariance(1), before, rtol=1e-12)


def test_pinwheel_em_rises_from_there():
    X, mfa = pinwheel(), fitted(pinwheel_params(), STRUCTURES["UUU"], warm_start=True, max_iter=30, tol=0)
    bounds = np.array(mfa.fit(X).lower_bounds_) * 300
    assert bounds[0] == pytest.approx(-820.92865, abs=1e-5)
    assert np.all(np.diff(bounds) >= -1e-9)
    assert bounds[-1] > -450


@pytest.mark.parametrize(
    ("name", "count"),
    [("UUU", 20), ("UUC", 17), ("UCU", 16), ("UCC", 15), ("CUU", 16), ("CUC", 13), ("CCU", 12), ("CCC", 11)],
)
def test_free_parameters_behind_the_criteria(name, count):
    X = pinwheel()
    mfa = MFA(3, 1, max_iter=3, tol=0, random_state=0, **estimator_arguments(STRUCTURES[name])).fit(X)
    assert (mfa.aic(X) + 2 * mfa.score(X) * 300) / 2 == pytest.approx(count)
    assert (mfa.bic(X) + 2 * mfa.score(X) * 300) / np.log(300) == pytest.approx(count)


# --- one component: factor analysis and probabilistic principal components -------------------------------------------


@pytest.mark.parametrize(("n_factors", "expected"), [(1, -16.259945), (2, -15.433658)])
def test_factor_analysis_of_wine(n_factors, expected):
    X = standardized(load_wine().data)
    mfa = MFA(1, n_factors, tol=1e-9, max_iter=5000).fit(X)
    assert mfa.converged_
    assert mfa.score(X) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("n_factors", "expected"), [(2, -161.820667), (5, -157.377278), (10, -153.774474)])
def test_factor_analysis_of_digits(n_factors, expected):
    X = noisy_digits()
    mfa = MFA(1, n_factors, tol=1e-8, max_iter=5000).fit(X)
    assert mfa.score(X) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(("n_factors", "expected"), [(2, -179.448945), (5, -171.390772), (10, -164.134595)])
def test_probabilistic_principal_components_of_digits(n_factors, expected):
    X = noisy_digits()
    mfa = MFA(1, n_factors, noise_form="isotropic", tol=1e-8, max_iter=5000).fit(X)
    assert mfa.score(X) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(("n_factors", "expected"), [(1, -470.669458), (2, -404.962780)])
def test_probabilistic_principal_components_of_iris(n_factors, expected):
    X = load_iris().data
    mfa = MFA(1, n_factors, noise_form="isotropic", tol=1e-10, max_iter=5000).fit(X)
    assert mfa.score(X) * 150 == pytest.approx(expected, abs=1e-5)
    # exact: the noise is the mean of the eigenvalues left out
    eigenvalues = np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1]
    np.testing.assert_allclose(mfa.noise_variance_, eigenvalues[n_factors:].mean(), rtol=1e-5)
    np.testing.assert_allclose(
        (mfa.loadings_[0] ** 2).sum(0), eigenvalues[:n_factors] - mfa.noise_variance_[0], rtol=1e-4
    )


def test_the_isotropic_subspace_is_that_of_principal_components():
    X = load_iris().data
    mfa = MFA(1, 2, noise_form="isotropic", tol=1e-10, max_iter=2000).fit(X)
    axes = PCA(2).fit(X).components_
    found = np.linalg.qr(mfa.loadings_[0])[0]
    np.testing.assert_allclose(np.linalg.svd(axes @ found)[1], 1, atol=1e-6)


@pytest.mark.parametrize("n_factors", [1, 2, 4])
@pytest.mark.filterwarnings("ignore:FactorAnalysis did not converge")
def test_one_component_is_scikit_learns_factor_analysis(n_factors):
    X = standardized(load_breast_cancer().data[:, :10])
    reference = FactorAnalysis(n_factors, tol=1e-10, max_iter=20_000, svd_method="lapack").fit(X)
    mfa = MFA(1, n_factors, tol=1e-9, max_iter=5000).fit(X)
    # Two of these are Heywood cases, where the noise floor costs some 1e-5.
    assert mfa.score(X) >= reference.score(X) - 2e-5
    assert mfa.score(X) == pytest.approx(reference.score(X), abs=2e-4)  # it has a floor of its own
    np.testing.assert_allclose(mfa.get_covariance(0), reference.get_covariance(), atol=2e-2)
    np.testing.assert_allclose(mfa.means_[0], X.mean(0), atol=1e-9)


def test_units_of_columns_do_not_matter_to_one_component():
    X = load_wine().data
    raw = MFA(1, 2, tol=1e-9, max_iter=5000).fit(X)
    assert raw.score(X) + np.log(X.std(0)).sum() == pytest.approx(-15.433658, abs=1e-6)


@pytest.mark.parametrize("n_factors", [2, 10])
@pytest.mark.parametrize("n_components", [1, 5])
def test_constant_pixels(n_components, n_factors):
    X = load_digits().data
    constant = [0, 32, 39]
    assert (X[:, constant].std(0) == 0).all()
    mfa = MFA(n_components, n_factors, max_iter=30, tol=0, random_state=0).fit(X)
    for learned in (mfa.weights_, mfa.means_, mfa.loadings_, mfa.noise_variance_, mfa.score_samples(X)):
        assert np.isfinite(learned).all()
    np.testing.assert_allclose(mfa.means_[:, constant], 0, atol=1e-12)
    np.testing.assert_allclose(mfa.loadings_[:, constant], 0, atol=1e-4)
    np.testing.assert_allclose(mfa.noise_variance_[constant], 1e-6, rtol=1e-6)  # the floor
    # The other pixels are fitted as if those were not there.
    others = np.setdiff1d(np.arange(64), constant)
    if n_components == 1:
        alone = MFA(1, n_factors, max_iter=30, tol=0, random_state=0).fit(X[:, others])
        np.testing.assert_allclose(mfa.noise_variance_[others], alone.noise_variance_, rtol=1e-3)


def test_a_heywood_case_ends_at_the_floor():
    X = load_iris().data
    mfa = MFA(1, 1, tol=1e-8, max_iter=5000).fit(X)
    share = mfa.noise_variance_ / X.var(0)
    assert share.argmin() == 2  # petal length
    assert share.min() < 2e-5
    assert mfa.heywood_.tolist() == [False, False, True, False]
    assert np.isfinite(mfa.score_samples(X)).all()
    assert np.all(np.diff(mfa.lower_bounds_) >= -1e-10)
    lower = MFA(1, 1, tol=1e-8, max_iter=5000, noise_floor=1e-2).fit(X)
    assert (lower.noise_variance_ / X.var(0)).min() == pytest.approx(1e-2, rel=1e-2)


@pytest.mark.parametrize(
    ("load", "ledermann"), [(load_iris, 1), (load_wine, 8), (load_breast_cancer, 22), (load_digits, 53)]
)
def test_more_factors_than_the_ledermann_bound_are_no_error(load, ledermann):
    """Beyond the bound the parameters are not identified; the density is."""
    X = load().data
    X = X[:, X.std(0) > 0] if load is not load_digits else X
    D = X.shape[1]
    assert (D - ledermann) ** 2 >= D + ledermann
    assert (D - ledermann - 1) ** 2 < D + ledermann + 1
    within, beyond = (MFA(1, q, max_iter=30, tol=0).fit(X) for q in (ledermann, ledermann + 1))
    assert np.isfinite(beyond.score_samples(X)).all()
    assert beyond.lower_bound_ >= within.lower_bound_ - 0.05


# --- several components ---------------------------------------------------------------------------------------------


# Maximum likelihood, to the end.
EXACT = {"tol": 1e-6, "max_iter": 1000, "noise_prior": None}


def wine_from_labels(n_factors: int, **arguments) -> tuple[float, int, MFA]:
    """Total log-likelihood and misclassified rows of raw wine, three components started from the true labels."""
    X, y = load_wine(return_X_y=True)
    mfa = MFA(3, n_factors, noise="component", init=y, **{**EXACT, **arguments}).fit(X)
    return mfa.score(X) * len(X), int((mfa.predict(X) != y).sum()), mfa


@pytest.mark.parametrize(("n_factors", "at_least"), [(2, -2995.4), (3, -2913.2)])
def test_wine_in_three_components(n_factors, at_least):
    """McLachlan & Peel, Finite Mixture Models (2000), table 8.1."""
    total, errors, mfa = wine_from_labels(n_factors)
    assert total >= at_least
    assert total < at_least + 3, "far above what is known: a variance has collapsed"
    # On its way to zero, though not there: the likelihood goes on rising, by less and less.
    assert (mfa.noise_variance_ / load_wine().data.var(0)).min() > 1e-5
    assert errors == 1
    assert np.all(np.diff(mfa.lower_bounds_) >= -1e-10)


def test_acceleration_saves_nine_tenths_of_the_iterations_on_wine():
    total, _, plain = wine_from_labels(2, acceleration=False, tol=0, max_iter=1500)
    bounds = np.array(wine_from_labels(2, tol=0, max_iter=150)[2].lower_bounds_)
    assert total > -2995.4
    assert bounds.max() >= plain.lower_bound_


def test_wine_on_any_scale_is_found_without_labels():
    """k-means on raw wine is led by proline alone; rows are standardized first, so it is not."""
    X, y = load_wine(return_X_y=True)
    mfa = MFA(3, 2, noise="component", tol=1e-5, max_iter=500, n_init=4, random_state=0).fit(X)
    table = np.zeros((3, 3), int)
    np.add.at(table, (y, mfa.predict(X)), 1)
    assert table.max(1).sum() >= 170
    # k-means on raw rows ends 42 to 69 nats below the -2995 of a start from the labels.
    assert mfa.score(X) * 178 > -2995 - 42
    other = MFA(3, 2, noise="component", tol=1e-5, max_iter=500, n_init=4, random_state=0).fit(
        X * np.logspace(-3, 3, 13)
    )
    np.testing.assert_array_equal(other.predict(X * np.logspace(-3, 3, 13)), mfa.predict(X))


@pytest.mark.parametrize("n_components", [1, 3])
def test_no_factors_is_the_diagonal_gaussian_mixture(n_components):
    """The same optimum as scikit-learn's from the same start."""
    X, y = load_wine(return_X_y=True)
    X = standardized(X)
    labels = y if n_components == 3 else np.zeros_like(y)
    means = np.stack([X[labels == k].mean(0) for k in range(n_components)])
    reference = GaussianMixture(
        n_components, covariance_type="diag", means_init=means, reg_covar=0, tol=1e-12, max_iter=5000,
        weights_init=np.bincount(labels) / len(labels),
        precisions_init=np.stack([1 / X[labels == k].var(0) for k in range(n_components)]),
    ).fit(X)  # fmt: skip
    mfa = MFA(n_components, 0, noise="component", noise_prior=None, init=labels, tol=1e-10, max_iter=2000).fit(X)
    assert mfa.loadings_.shape == (n_components, 13, 0)
    assert mfa.score(X) == pytest.approx(reference.score(X), abs=1e-7)
    np.testing.assert_allclose(mfa.weights_, reference.weights_, atol=1e-5)
    np.testing.assert_allclose(mfa.means_, reference.means_, atol=1e-4)
    np.testing.assert_allclose(mfa.noise_variance_, reference.covariances_, rtol=1e-3)
    np.testing.assert_allclose(mfa.predict_proba(X), reference.predict_proba(X), atol=1e-4)
    assert mfa.bic(X) == pytest.approx(reference.bic(X), abs=1e-3)
    assert mfa.aic(X) == pytest.approx(reference.aic(X), abs=1e-3)


# --- what users of other libraries ran into --------------------------------------------------------------------------


@pytest.mark.parametrize("n_factors", [0, 1])
def test_weights_are_not_reported_before_they_have_converged(n_factors):
    """scikit-learn issue 10122: of two Gaussians of 300 and 100 rows a loose tol reports .41 and .59.

    The gain of one iteration says little where EM is slow: what is still to come must be small.
    """
    rng = np.random.RandomState(0)
    X = np.concatenate([rng.normal(0, 1, (300, 2)), rng.normal(2.2, 1, (100, 2))])
    truth = MFA(2, n_factors, noise="component", tol=0, max_iter=4000, random_state=0).fit(X)
    mfa = MFA(2, n_factors, noise="component", tol=1e-3, max_iter=4000, random_state=0).fit(X)
    assert mfa.converged_
    assert mfa.score(X) > truth.score(X) - 2e-3


def test_weights_of_300_and_100_rows():
    rng = np.random.RandomState(1)
    X = np.concatenate([rng.normal(0, 1, (300, 3)), rng.normal(2.5, 1, (100, 3))])
    mfa = MFA(2, 1, max_iter=2000, random_state=0).fit(X)
    np.testing.assert_allclose(np.sort(mfa.weights_), [0.25, 0.75], atol=0.06)


@pytest.mark.parametrize("solver", ["em", "gradient"])
def test_single_precision_rows_of_two_far_values(solver):
    """scikit-learn issue 30382: the mean square less the squared mean is negative in float32."""
    X = np.array([[9999.0], [0.0]], dtype=np.float32)
    mfa = MFA(1, 0, solver=solver, tol=0, max_iter=5).fit(X)
    assert mfa.noise_variance_[0] == pytest.approx(4999.5**2, rel=1e-2 if solver == "gradient" else 1e-5)
    expected = -0.5 * np.log(2 * np.pi * 4999.5**2) - 0.5
    np.testing.assert_allclose(mfa.score_samples(X), expected, atol=1e-2 if solver == "gradient" else 1e-4)
    assert np.isfinite(MFA(2, 0, solver=solver, tol=0, max_iter=5).fit(X).score_samples(X)).all()


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_repeated_warm_starts_do_not_collapse(noise):
    """scikit-learn issue 12099: components fall onto each other under repeated fits with warm_start."""
    X, y = load_iris(return_X_y=True)
    mfa = MFA(3, 1, noise=noise, noise_prior=None, init=y, warm_start=True, max_iter=3, tol=0)
    scores = [mfa.fit(X).score(X) for _ in range(60)]
    assert np.all(np.diff(scores) >= -1e-9)
    assert mfa.weights_.min() > 0.2
    assert (mfa.predict(X) == y).mean() > 0.95


def test_repeated_warm_starts_on_resampled_rows_do_not_collapse():
    X, y = load_iris(return_X_y=True)
    mfa = MFA(3, 1, init=y, warm_start=True, max_iter=3, tol=0).fit(X)
    rng = np.random.default_rng(0)
    for _ in range(60):
        mfa.fit(X[rng.integers(0, 150, 150)])
    assert mfa.weights_.min() > 0.15
    # Two of the species overlap; plain EM drifts to the same 0.87 on these samples.
    assert (mfa.predict(X) == y).mean() > 0.8


def test_the_full_covariance_is_the_limit():
    """All but one factor: near the full Gaussian, -149.393145 a row on the digits with noise."""
    X = noisy_digits()
    full = -0.5 * (64 * np.log(2 * np.pi) + np.linalg.slogdet(np.cov(X.T, bias=True))[1] + 64)
    assert full == pytest.approx(-149.393145, abs=1e-6)
    mfa = MFA(1, 55, tol=0, max_iter=60).fit(X)
    assert full - 0.3 < mfa.score(X) <= full
    assert mfa.score(X) == pytest.approx(dense_log_prob(params_of(mfa), X).mean(), abs=1e-8)
