"""Precisions, units, shifts and scales: what is learned moves with the rows, up to where squares overflow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import (
    STRUCTURES,
    dense_log_joint,
    dense_log_prob,
    estimator_arguments,
    fitted,
    params_of,
    random_params,
    random_rows,
)
from precision_cases import long_mixture, rows_near, wide_log_joint
from robustness_cases import LABELS, ROWS, SOLVERS, assert_sound, quick
from sklearn.exceptions import ConvergenceWarning

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# --- single precision -----------------------------------------------------------------------------------------------


def activation_like(shift: float, outlier: float, n_features: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of float32 with a common mean and single dimensions far larger than the others, and labels."""
    X, y = make_mfa(800, n_features, 4, 3, separation=2.0, random_state=seed)
    X[:, [3, 17]] *= outlier
    return (X + shift * X.std(0)).astype(np.float32), y


@pytest.mark.parametrize("noise", ["shared", "component"])
@pytest.mark.parametrize(("shift", "outlier"), [(0.0, 1.0), (1e4, 1.0), (0.0, 1e3), (1e4, 1e3)])
def test_single_precision_fits_agree_with_double(shift, outlier, noise):
    X, y = activation_like(shift, outlier)
    single = quick(X, n_components=4, n_factors=3, noise=noise, init=y)
    double = quick(X, n_components=4, n_factors=3, noise=noise, init=y, dtype="float64")
    assert single.score_samples(X).dtype == np.float32
    assert single.lower_bound_ == pytest.approx(double.lower_bound_, abs=1e-4)
    assert single.score(X) == pytest.approx(double.score(X), abs=1e-4)
    # A single row's density is less certain than the mean: the likelihood is flat along some parameters.
    np.testing.assert_allclose(single.score_samples(X), double.score_samples(X), atol=2e-2, rtol=0)
    found, same = single.score_samples(X), single.set_params(dtype="float64").score_samples(X)
    np.testing.assert_allclose(found, same, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize(("shift", "outlier"), [(1e4, 1.0), (0.0, 1e3), (1e4, 1e3)])
def test_single_precision_evaluation_agrees_with_dense_oracles(name, shift, outlier):
    """The same parameters, rows that single precision holds, covariances written out in double."""
    params = random_params(STRUCTURES[name], (3, 10, 2))
    scale = np.ones(10)
    scale[4] = outlier
    if not STRUCTURES[name].isotropic_noise:
        params = params._replace(
            means=params.means * torch.tensor(scale),
            loadings=params.loadings * torch.tensor(scale[:, None]),
            noise_variance=params.noise_variance * torch.tensor(scale**2),
        )
    params = params._replace(means=params.means + shift)
    X = random_rows(params, 60).astype(np.float32)
    mfa = fitted(params, STRUCTURES[name])
    found, expected = mfa.score_samples(X), dense_log_prob(params, X.astype(np.float64))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=1e-5)
    joint = np.concatenate([j for _, j in mfa.iter_log_joint(X)])
    dense = dense_log_joint(params, X.astype(np.float64))
    np.testing.assert_array_equal(joint.argmax(1), dense.argmax(1))


def test_single_precision_rows_are_evaluated_in_double_where_that_is_asked_for():
    """The centering too, which shows where components are ten thousand deviations apart in one column."""
    params = random_params(STRUCTURES["UUC"], (3, 10, 0))
    params = params._replace(means=params.means * torch.where(torch.arange(10) == 4, 1e4, 1.0))
    X = random_rows(params, 60).astype(np.float32)
    found = fitted(params, STRUCTURES["UUC"], dtype="float64").score_samples(X)
    np.testing.assert_allclose(found, dense_log_prob(params, X.astype(np.float64)), rtol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_half_precision_rows(solver):
    X = ROWS.astype(np.float16)
    mfa = quick(X, solver=solver, init=LABELS)
    assert_sound(mfa, X)
    assert mfa.lower_bound_ == pytest.approx(
        quick(X.astype(np.float64), solver=solver, init=LABELS).lower_bound_, abs=1e-3
    )


# --- units ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("init", ["labels", "kmeans", "k-means++", "random"])
@pytest.mark.parametrize("noise", ["shared", "component"])
def test_the_unit_of_a_column_shifts_the_likelihood_and_nothing_else(solver, init, noise):
    """x -> c x: log-likelihood less log c."""
    units = np.array([1e-6, 1e-3, 1.0, 1e3, 1e6, 7.0, 0.1, 1e2])
    arguments = {"solver": solver, "noise": noise, "init": LABELS if init == "labels" else init}
    first, second = quick(ROWS, **arguments), quick(ROWS * units, **arguments)
    close = {"rtol": 1e-6, "atol": 1e-8}
    assert second.lower_bound_ == pytest.approx(first.lower_bound_ - np.log(units).sum(), abs=1e-7)
    np.testing.assert_allclose(
        second.score_samples(ROWS * units), first.score_samples(ROWS) - np.log(units).sum(), atol=1e-5
    )
    np.testing.assert_allclose(second.weights_, first.weights_, **close)
    np.testing.assert_allclose(second.means_, first.means_ * units, rtol=1e-6, atol=1e-6 * units.min())
    np.testing.assert_allclose(second.loadings_ / units[:, None], first.loadings_, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(second.noise_variance_, first.noise_variance_ * units**2, rtol=1e-6)
    np.testing.assert_allclose(second.predict_proba(ROWS * units), first.predict_proba(ROWS), atol=1e-6)
    np.testing.assert_allclose(second.posterior_mean(ROWS * units), first.posterior_mean(ROWS), atol=1e-5)
    assert second.n_iter_ == first.n_iter_


@pytest.mark.parametrize("noise_form", ["isotropic", "diagonal"])
def test_a_common_unit_does_the_same_for_either_form_of_noise(noise_form):
    first, second = (quick(c * ROWS, noise_form=noise_form, init=LABELS) for c in (1.0, 1e-3))
    assert second.lower_bound_ == pytest.approx(first.lower_bound_ - 8 * np.log(1e-3), abs=1e-8)
    np.testing.assert_allclose(second.noise_variance_, first.noise_variance_ * 1e-6, rtol=1e-8)


@pytest.mark.parametrize("noise_form", ["isotropic", "diagonal"])
def test_a_shift_moves_the_means_and_nothing_else(noise_form):
    shift = np.array([0.0, 1.0, -5.0, 1e3, -1e4, 1e5, 3.0, 0.1])
    first, second = (quick(ROWS + s, noise_form=noise_form, init=LABELS) for s in (0.0, shift))
    assert second.lower_bound_ == pytest.approx(first.lower_bound_, abs=1e-7)
    np.testing.assert_allclose(second.means_ - shift, first.means_, atol=1e-6)
    np.testing.assert_allclose(second.noise_variance_, first.noise_variance_, rtol=1e-6)


def test_the_order_of_rows_and_columns_does_not_matter():
    rows, columns = np.random.default_rng(0).permutation(400), np.random.default_rng(1).permutation(8)
    first = quick(ROWS, init=LABELS)
    second = quick(ROWS[rows][:, columns], init=LABELS[rows])
    assert second.lower_bound_ == pytest.approx(first.lower_bound_, abs=1e-9)
    np.testing.assert_allclose(second.noise_variance_, first.noise_variance_[columns], rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_extreme_scales(scale, solver, dtype):
    X = (ROWS * scale).astype(dtype)
    mfa = quick(X, solver=solver, init=LABELS)
    assert_sound(mfa, X)
    reference = quick(ROWS.astype(dtype), solver=solver, init=LABELS)
    assert mfa.lower_bound_ == pytest.approx(reference.lower_bound_ - 8 * np.log(scale), abs=1e-3)
    np.testing.assert_array_equal(mfa.predict(X), reference.predict(ROWS.astype(dtype)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_columns_of_extremely_different_scales(dtype):
    units = np.array([1e-30, 1e-20, 1e-10, 1.0, 1.0, 1e10, 1e20, 1e30])
    X = (ROWS * units).astype(dtype)
    mfa = quick(X, init=LABELS)
    assert_sound(mfa, X)
    expected = quick(ROWS.astype(dtype), init=LABELS).lower_bound_ - np.log(units).sum()
    assert mfa.lower_bound_ == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("noise_form", ["isotropic", "diagonal"])
def test_streams_at_extreme_scales(scale, noise_form):
    mfa = MFA(3, 2, noise_form=noise_form, random_state=0)
    for part in np.array_split(scale * ROWS, 4):
        mfa.partial_fit(part)
    assert np.isfinite(mfa.score_samples(scale * ROWS)).all()
    plain = MFA(3, 2, noise_form=noise_form, random_state=0)
    for part in np.array_split(ROWS, 4):
        plain.partial_fit(part)
    assert mfa.score(scale * ROWS) == pytest.approx(plain.score(ROWS) - 8 * np.log(scale), abs=1e-4)


# --- far rows and huge numbers ---------------------------------------------------------------------------------------


def test_far_rows_have_low_density_and_still_a_component():
    """Rows a million deviations out: finite, and lower the farther they are."""
    mfa = quick(ROWS)
    direction = np.ones(8)
    distances = np.array([1e1, 1e2, 1e4, 1e6, 1e8])
    for dtype in (np.float64, np.float32):
        far = (distances[:, None] * direction).astype(dtype)
        log_prob = mfa.score_samples(far)
        assert np.isfinite(log_prob).all()
        assert (np.diff(log_prob) < 0).all()
        np.testing.assert_allclose(mfa.predict_proba(far).sum(1), 1, rtol=1e-5)
        assert np.isfinite(mfa.transform(far).data).all()
    np.testing.assert_allclose(mfa.score_samples(distances[:, None] * direction),
                               dense_log_prob(params_of(mfa), distances[:, None] * direction), rtol=1e-9)  # fmt: skip


BEYOND = {np.float32: 1e25, np.float64: 1e200}


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_beyond_all_measure_are_refused(dtype, holes):
    """Where squares overflow nothing can be said of a row: the error tells which one it is, and what to do."""
    mfa, X = quick(ROWS.astype(dtype)), ROWS[:5].astype(dtype)
    X[3, 2] = -BEYOND[dtype]
    if holes:
        X[:, 0] = np.nan
    remedy = "float64'" if dtype == np.float32 else "float64. Drop"
    for ask in (mfa.score_samples, mfa.predict_proba, mfa.predict, mfa.transform, mfa.posterior_mean, mfa.reconstruct):
        with pytest.raises(ValueError, match=rf"row 3 of X .* in column 2: .*{remedy}"):
            ask(X)
    with pytest.raises(ValueError, match=r"row 3 of X .* in column 2"):
        MFA(3, 2, dtype="float32").partial_fit(ROWS).partial_fit(np.where(np.abs(X) > 1e20, 1e25, X))


@pytest.mark.parametrize("name", ["UUU", "UUC"])  # equal covariances differ by less than the rounding of far squares
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_just_within_reach_are_evaluated(dtype, name):
    """The farthest that is not refused has a finite density, and the component of a nearer row in its direction."""
    mfa = quick(ROWS.astype(dtype), annealing=1, **estimator_arguments(STRUCTURES[name]))
    directions = np.random.default_rng(0).standard_normal((20, 8))
    farthest = 0.0
    for distance in np.logspace(8, 200 if dtype == np.float64 else 30, 100):
        try:
            log_prob = mfa.score_samples((distance * directions).astype(dtype))
        except ValueError:
            break
        farthest = distance
        assert np.isfinite(log_prob.astype(np.float64)).all()
    assert farthest > (1e100 if dtype == np.float64 else 1e12)
    far, near = ((distance * directions).astype(dtype) for distance in (farthest, 1e7))
    responsibility = mfa.predict_proba(far)
    np.testing.assert_allclose(responsibility.sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(responsibility.argmax(1), dense_log_joint(params_of(mfa), near).argmax(1))
    assert np.isfinite(mfa.transform(far).data).all()


def test_conditioning_beyond_all_measure_is_refused():
    X = ROWS[:3].copy()
    X[:, 0], X[1, 4] = np.nan, 1e200
    with pytest.raises(ValueError, match="row 1 of X is so far"):
        quick(ROWS).condition(X)


@pytest.mark.parametrize("scale", [1e148, 1e200, 1e306])
@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_columns_whose_variance_overflows_are_refused(fit, scale):
    X = ROWS.copy()
    X[:, 5] *= scale
    with pytest.raises(ValueError, match=r"column 5 of X goes from -.*e\+.* its variance overflows"):
        getattr(MFA(3, 2), fit)(X)


@pytest.mark.parametrize("scale", [1e-150, 1e-200, 1e-310])
def test_columns_whose_variance_underflows_count_as_constant_and_that_is_reported(scale):
    X = ROWS.copy()
    X[:, 5] *= scale
    with pytest.warns(ConvergenceWarning, match=r"features \[5\]"):
        mfa = quick(X, init=LABELS)
    assert mfa.heywood_.tolist() == [d == 5 for d in range(8)]
    others = np.delete(np.arange(8), 5)
    alone = quick(X[:, others], init=LABELS)
    np.testing.assert_allclose(mfa.noise_variance_[others], alone.noise_variance_, rtol=1e-3)
    np.testing.assert_array_equal(mfa.predict(X), alone.predict(X[:, others]))


def test_tiny_and_huge_weights():
    reference = quick(ROWS, init=LABELS).lower_bound_
    for dtype in (np.float64, np.float32):
        for weight in (1e-12, 1e12):
            mfa = MFA(3, 2, init=LABELS, max_iter=10, tol=0).fit(ROWS.astype(dtype), sample_weight=np.full(400, weight))
            assert mfa.lower_bound_ == pytest.approx(reference, abs=0.05)
            assert np.isfinite(mfa.score_samples(ROWS)).all()


# --- components that are long in units of their noise ----------------------------------------------------------------

LENGTHS = {np.float32: [1e3, 3e4, 1e5, 1e6], np.float64: [1e5, 1e9]}


@pytest.mark.parametrize("noise", ["shared", "component"])
@pytest.mark.parametrize(("n_features", "n_components"), [(10, 3), (10, 90), (100, 3), (384, 3)])
@pytest.mark.parametrize(("dtype", "length"), [(dtype, length) for dtype in LENGTHS for length in LENGTHS[dtype]])
def test_predictions_are_exact_where_a_factor_is_long(dtype, length, n_features, n_components, noise):
    """A long component's constant, cross term and explained term cancel, each as large as its squared length."""
    mfa = long_mixture(length, n_features, n_components, noise)
    X = rows_near(mfa, 24, dtype)
    joint = wide_log_joint(mfa, X)
    top = joint.max(1)
    log_prob = top + np.log(np.exp(joint - top[:, None]).sum(1))
    off = 2e-2 if dtype is np.float32 else 1e-5
    assert (joint[np.arange(len(X)), mfa.predict(X)] >= top - off).all()
    np.testing.assert_allclose(mfa.score_samples(X), log_prob.astype(float), atol=off, rtol=0)
    posterior = np.exp(joint - log_prob[:, None]).astype(float)
    np.testing.assert_allclose(mfa.predict_proba(X), posterior, atol=off)
    np.testing.assert_allclose(mfa.posterior_mean(X, 0), mfa.posterior_mean(X.astype(float), 0), atol=off)
    assert mfa.score_samples(X).dtype == dtype
