"""What a fit is posed: the number of components, and the rows that are held out."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from gradient_cases import gradient, held_out_rows
from mixture_cases import X_MADE
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mfa_sklearn import MFA, KMeansInitializer
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.datasets import make_mfa

FEW = {"n_factors": 1, "max_iter": 2, "tol": 0, "random_state": 0}


def test_without_centers_there_is_one_component_and_a_warning():
    with pytest.warns(UserWarning, match=r"no centers came with the rows: one component .*init=KMeansInitializer"):
        assert MFA(**FEW).fit(X_MADE).n_components_ == 1
    with pytest.warns(UserWarning, match="no centers came"):
        MFA(init="k-means++", **FEW).fit(X_MADE)
    with pytest.warns(UserWarning, match="no centers came"):
        MFA(**FEW).partial_fit(X_MADE)


LOSES_CENTERS = {
    "scaler": StandardScaler(),
    "columns": ColumnTransformer([("all", "passthrough", slice(0, 6))]),
    "frame of another step": StandardScaler().set_output(transform="pandas"),
    "union": FeatureUnion([("one", FunctionTransformer())]),
    "concatenated": FunctionTransformer(lambda X: np.concatenate([X[:10], X[10:]])),
}


@pytest.mark.parametrize("step", LOSES_CENTERS.values(), ids=LOSES_CENTERS.keys())
def test_centers_that_are_lost_on_the_way_are_missed_loudly(step):
    with pytest.warns(UserWarning, match="no centers came"):
        make_pipeline(KMeansInitializer(3, random_state=0), step, MFA(**FEW)).fit(X_MADE)


KEEPS_CENTERS = {
    "nothing": "passthrough",
    "a function": FunctionTransformer(),
    "a selection": FunctionTransformer(lambda X: X[::2]),
    "a copy": FunctionTransformer(lambda X: X.copy()),
    "a cast": FunctionTransformer(lambda X: X.astype(np.float32)),
}


@pytest.mark.parametrize("step", KEEPS_CENTERS.values(), ids=KEEPS_CENTERS.keys())
def test_centers_arrive(step):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe = make_pipeline(KMeansInitializer(3, random_state=0), step, MFA(**FEW)).fit(X_MADE)
    assert pipe[-1].n_components_ == 3


@pytest.mark.parametrize("whole", [False, True])
def test_centers_and_source_arrive_in_a_frame(whole):
    rows = AnnotatedArray(X_MADE, shared={"source": {"layer": 4}})
    pipe = make_pipeline(KMeansInitializer(3, random_state=0), "passthrough", MFA(sparse_output=False, **FEW))
    (pipe if whole else pipe[:-1]).set_output(transform="pandas")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe.fit(rows)
    assert isinstance(pipe[:-1].transform(rows), pd.DataFrame)
    assert pipe[-1].n_components_ == 3 and pipe[-1].source_ == {"layer": 4}


def test_a_number_that_is_said_or_known_is_no_surprise():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert MFA(1, **FEW).fit(X_MADE).n_components_ == 1
        assert MFA(**FEW | {"n_factors": [1, 2]}).fit(X_MADE).n_components_ == 2
        centers = KMeansInitializer(3, random_state=0).fit_transform(X_MADE)
        going_on = MFA(warm_start=True, **FEW).fit(centers)
        assert going_on.fit(X_MADE).n_components_ == 3


def test_rows_held_out_do_not_train():
    """Rows that are held out may hold anything finite: the training rows alone decide, but for the scale of columns."""
    X = make_mfa(100, 4, 2, 1, random_state=0)[0]
    labels = (X[:, 0] > np.median(X[:, 0])).astype(int)
    arguments = {"early_stopping": True, "n_iter_no_change": 50, "max_iter": 3, "tol": 0.0, "init": labels}
    first = gradient(2, 1, **arguments).fit(X)
    rows = held_out_rows(X, first)
    other = X.copy()
    other[rows] = X[rows[::-1]]
    assert not np.array_equal(X, other)
    second = gradient(2, 1, **arguments).fit(other)
    np.testing.assert_allclose(second.means_, first.means_, rtol=1e-9)
    np.testing.assert_allclose(second.loadings_, first.loadings_, rtol=1e-7)


def test_early_stopping_with_too_few_rows_is_an_error():
    with pytest.raises(ValueError, match=r"validation_fraction=0.9 holds out all of n_samples=2"):
        gradient(1, 1, early_stopping=True, validation_fraction=0.9).fit(np.random.default_rng(0).random((2, 3)))


def test_rows_of_weight_zero_are_neither_trained_on_nor_held_out():
    X = load_iris().data
    counts = np.arange(len(X)) % 3 > 0
    arguments = {"early_stopping": True, "max_iter": 10, "tol": 0.0}
    weighted = gradient(2, 1, **arguments).fit(X, sample_weight=counts.astype(float))
    np.testing.assert_array_equal(weighted.means_, gradient(2, 1, **arguments).fit(X[counts]).means_)


def test_components_need_rows_that_are_not_held_out():
    with pytest.raises(ValueError, match="n_components=10 is more than n_samples=9"):
        gradient(10, 1, early_stopping=True).fit(np.random.default_rng(0).random((10, 3)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["em", "gradient"])
@pytest.mark.parametrize("what", ["nan", "far"])
def test_rows_of_weight_zero_do_not_matter_wherever_they_are(what, solver, dtype):
    """Not even for the random numbers that are drawn: the fit is that of the other rows."""
    X = X_MADE.astype(dtype)
    counts = np.arange(len(X)) % 7 > 0
    X[~counts] = np.nan if what == "nan" else np.sqrt(np.finfo(dtype).max) * 100
    X[0] *= -1
    arguments = {"solver": solver, "max_iter": 3, "tol": 0, "random_state": 0}
    weighted = MFA(3, 2, **arguments).fit(X, sample_weight=counts * 0.3)
    alone = MFA(3, 2, **arguments).fit(X[counts])
    np.testing.assert_array_equal(weighted.means_, alone.means_)
    np.testing.assert_array_equal(weighted.lower_bounds_, alone.lower_bounds_)
    assert weighted.score(X, sample_weight=counts) == pytest.approx(alone.score(X[counts]), rel=1e-6)
    stream = weighted.partial_fit(X, sample_weight=counts * 0.3)
    other = alone.partial_fit(X[counts], sample_weight=np.full(counts.sum(), 0.3))
    np.testing.assert_allclose(stream.means_, other.means_, rtol=1e-4)


@pytest.mark.parametrize("solver", ["em", "gradient"])
@pytest.mark.parametrize("factor", [1e-300, 1e-50, 7.0, 1e38, 1e300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_have_no_unit(dtype, factor, solver):
    X = X_MADE.astype(dtype)
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X))
    arguments = {"solver": solver, "max_iter": 3, "tol": 0, "random_state": 0}
    one, other = (MFA(3, 1, **arguments).fit(X, sample_weight=w) for w in (weights, weights * factor))
    np.testing.assert_allclose(other.means_, one.means_, rtol=1e-5 if dtype == np.float32 else 1e-9)
    assert other.score(X, sample_weight=weights * factor) == pytest.approx(
        one.score(X, sample_weight=weights), rel=1e-6
    )
    for mfa, w in ((one, weights), (other, weights * factor)):
        mfa.partial_fit(X[:100], sample_weight=w[:100])
    np.testing.assert_allclose(other.means_, one.means_, rtol=1e-4 if dtype == np.float32 else 1e-7)
    assert abs(other.weights_.sum() - 1) < 1e-14


def test_a_row_of_hardly_any_weight_that_is_too_far_is_named():
    X, weights = X_MADE.astype(np.float32), np.ones(len(X_MADE))
    X[17, 3], weights[17] = 1e25, 1e-60
    weights[2] = 0
    with pytest.raises(ValueError, match=r"row 17 of X lies .* in column 3"):
        MFA(2, 1).fit(X, sample_weight=weights)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("dtype", "least"), [("float32", 1e-12), ("float64", 1e-18)])
def test_a_noise_floor_that_drowns_in_rounding_is_refused(dtype, least):
    with pytest.raises(ValueError, match=f"noise_floor=.* is below {least:g}: in {dtype}"):
        MFA(2, 1, noise_floor=least / 2).fit(X_MADE.astype(dtype))
    X = np.repeat(X_MADE[:8], 10, axis=0).astype(dtype)
    X[:, 1] = 3.3
    for solver in ("em", "gradient"):
        mfa = MFA(3, 2, noise_floor=least, solver=solver, max_iter=5, tol=0, random_state=0).fit(X)
        assert np.isfinite(mfa.score_samples(X)).all()
        assert np.isfinite(mfa.lower_bounds_).all()


def test_no_iterations_leave_given_centers_where_they_are():
    given = np.array([[20.0, 30, 0, 0, 0, 0], [30.0, 25, 1, 1, 1, 1]])
    np.testing.assert_allclose(MFA(2, 0, init=given, max_iter=0).fit(X_MADE).means_, given)
