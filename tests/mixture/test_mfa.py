"""The estimator MFA: warm starts and several starts, how a fit ends, and what it leaves alone."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from mixture_cases import X_MADE, Y_MADE, quick
from mixture_oracles import STRUCTURES, dense_log_prob, estimator_arguments, params_of
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mfa_sklearn import MFA, KMeansInitializer
from mfa_sklearn._base.annotated import annotate

# --- where it starts ------------------------------------------------------------------------------------------------


def test_warm_start_goes_on():
    whole = quick(max_iter=12, annealing=1, acceleration=False)
    parts = MFA(3, 2, max_iter=6, tol=0, annealing=1, acceleration=False, random_state=0, warm_start=True)
    parts.fit(X_MADE).fit(X_MADE)
    np.testing.assert_allclose(parts.means_, whole.means_, rtol=1e-8)
    np.testing.assert_allclose(parts.score_samples(X_MADE), whole.score_samples(X_MADE), rtol=1e-8)


def test_without_warm_start_fit_forgets():
    mfa = quick()
    np.testing.assert_array_equal(clone(mfa).fit(X_MADE).means_, mfa.fit(X_MADE).means_)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"n_components": 4}, "n_components"), ({"n_factors": 1}, "n_factors")],
)
def test_warm_start_with_another_shape_is_refused(change, message):
    mfa = quick(warm_start=True).set_params(**change)
    with pytest.raises(ValueError, match=message):
        mfa.fit(X_MADE)


def test_warm_start_with_another_width_is_refused():
    with pytest.raises(ValueError, match="features"):
        quick(warm_start=True).fit(X_MADE[:, :4])


@pytest.mark.parametrize("max_iter", [0, 5])
@pytest.mark.parametrize("change", [{"noise": "component"}, {"noise_form": "diagonal"}, {"loading_type": "component"}])
def test_warm_start_loosens_ties(change, max_iter):
    """A fit with more ties is a start for one with fewer."""
    tied = quick(
        warm_start=True, noise="shared", noise_form="isotropic", loading_type="common", noise_prior=None, max_iter=40
    )
    before = tied.lower_bound_
    mfa = tied.set_params(max_iter=max_iter, **change).fit(X_MADE)
    assert mfa.noise_variance_.shape == ((3, 6) if "noise" in change else (6,))
    assert mfa.lower_bound_ >= before + (1e-3 if max_iter else -1e-9)
    assert mfa.lower_bound_ == pytest.approx(dense_log_prob(params_of(mfa), X_MADE).mean(), rel=1e-10)


@pytest.mark.parametrize("change", [{"noise": "shared"}, {"noise_form": "isotropic"}, {"loading_type": "common"}])
def test_warm_start_into_more_ties(change):
    mfa = quick(warm_start=True, noise="component").set_params(max_iter=0, **change)
    weights, noise, loadings = mfa.weights_, mfa.noise_variance_, mfa.loadings_
    mfa.fit(X_MADE)
    if "noise" in change:
        np.testing.assert_allclose(mfa.noise_variance_, weights @ noise, rtol=1e-10)
    elif "noise_form" in change:
        np.testing.assert_allclose(mfa.noise_variance_, np.repeat(noise.mean(1, keepdims=True), 6, 1), rtol=1e-10)
    else:
        np.testing.assert_array_equal(mfa.loadings_, np.broadcast_to(mfa.loadings_[0], loadings.shape))
        average = np.einsum("k,kdq,keq->de", weights, loadings, loadings)
        values, axes = np.linalg.eigh(average)
        best = (axes[:, -2:] * values[-2:]) @ axes[:, -2:].T
        np.testing.assert_allclose(mfa.loadings_[0] @ mfa.loadings_[0].T, best, rtol=1e-8, atol=1e-10)


def test_more_starts_are_never_worse():
    one = quick(init="random", max_iter=15)
    many = quick(init="random", max_iter=15, n_init=6)
    assert many.lower_bound_ >= one.lower_bound_
    seeds = [quick(init="random", max_iter=15, random_state=s).lower_bound_ for s in range(4)]
    assert max(seeds) - min(seeds) > 1e-3, "the case does not tell starts apart"


# --- how it ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acceleration", [False, True])
@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_bounds_rise_and_end_at_the_score(name, acceleration):
    mfa = quick(
        init="random_from_data", max_iter=40, annealing=1, acceleration=acceleration,
        noise_prior=None, **estimator_arguments(STRUCTURES[name]),
    )  # fmt: skip
    assert len(mfa.lower_bounds_) == mfa.n_iter_ + 1 == 41
    if not mfa.n_reseeded_:
        assert np.all(np.diff(mfa.lower_bounds_) >= -1e-10)
    assert mfa.lower_bound_ == mfa.lower_bounds_[-1]
    assert mfa.lower_bound_ == pytest.approx(dense_log_prob(params_of(mfa), X_MADE).mean(), rel=1e-10)


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.filterwarnings("ignore:the noise variance of features")
def test_fitted_shapes_and_ties(name):
    structure = STRUCTURES[name]
    mfa = quick(**estimator_arguments(structure))
    assert mfa.weights_.shape == (3,)
    assert mfa.means_.shape == (3, 6)
    assert mfa.loadings_.shape == (3, 6, 2)
    assert mfa.noise_variance_.shape == ((6,) if structure.shared_noise else (3, 6))
    assert mfa.weights_.sum() == pytest.approx(1)
    if structure.common_loadings:
        np.testing.assert_allclose(mfa.loadings_, np.broadcast_to(mfa.loadings_[:1], mfa.loadings_.shape), rtol=1e-12)
    if structure.isotropic_noise:
        np.testing.assert_allclose(np.ptp(mfa.noise_variance_, axis=-1), 0, atol=1e-12)


def test_not_converged_is_a_warning_and_tol_zero_is_not():
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        mfa = MFA(3, 2, max_iter=2, random_state=0).fit(X_MADE)
    assert not mfa.converged_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(max_iter=2)
        assert MFA(3, 2, max_iter=500, random_state=0).fit(X_MADE).converged_


def test_warnings_point_at_the_line_that_asked():
    mfa, kmeans = MFA(3, 2, max_iter=2, tol=1e-9, random_state=0), KMeansInitializer(3)
    same = np.repeat([[0.0, 1.0], [2.0, 3.0]], 5, axis=0)
    calls = (
        lambda: mfa.fit(X_MADE),
        lambda: mfa.fit_predict(X_MADE),
        lambda: mfa.fit_transform(X_MADE),
        lambda: make_pipeline(StandardScaler(), mfa).fit(X_MADE),
        lambda: kmeans.fit(same),
    )
    for call in calls:
        with pytest.warns(ConvergenceWarning) as said:
            call()
        assert {warning.filename for warning in said} == {__file__}


def test_progress_is_printed_in_the_units_of_score(capsys):
    mfa = quick(verbose=1, annealing=1)
    out, err = capsys.readouterr()
    assert out == "" and f"lower bound {mfa.lower_bounds_[-2]:.6g}" in err.splitlines()[-1]
    quick()
    assert capsys.readouterr() == ("", "")


# --- weights and streams --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("noise", ["shared", "component"])
def test_a_weight_of_two_is_the_row_twice(noise, dtype):
    counts = np.random.default_rng(0).integers(0, 3, len(X_MADE))
    twice = np.repeat(np.arange(len(X_MADE)), counts)
    X = X_MADE.astype(dtype)
    weighted = MFA(3, 2, noise=noise, init=Y_MADE, max_iter=10, tol=0).fit(X, sample_weight=counts)
    repeated = MFA(3, 2, noise=noise, init=Y_MADE[twice], max_iter=10, tol=0).fit(X[twice])
    tolerance = 1e-8 if dtype == np.float64 else 2e-3
    np.testing.assert_allclose(weighted.score_samples(X), repeated.score_samples(X), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(weighted.weights_, repeated.weights_, rtol=tolerance)
    np.testing.assert_allclose(weighted.noise_variance_, repeated.noise_variance_, rtol=100 * tolerance)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, abs=10 * tolerance)


# --- what it takes --------------------------------------------------------------------------------------------------


def test_rows_are_not_changed():
    X = X_MADE.copy()
    mfa = quick(X)
    mfa.partial_fit(X).transform(X)
    np.testing.assert_array_equal(X, X_MADE)


def test_facts_of_the_rows_source_are_kept():
    source = {"model": "tiny", "layer": 1}
    assert quick(annotate(X_MADE, source=source)).source_ == source
    assert quick().source_ is None
