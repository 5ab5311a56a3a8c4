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


def test_early_stopping_with_no_weight_on_the_rows_held_out():
    X = load_iris().data
    mfa = gradient(2, 1, early_stopping=True, max_iter=10, tol=0.0)
    weights = np.ones(len(X))
    weights[held_out_rows(X, mfa)] = 0
    with pytest.raises(ValueError, match="sample_weight"):
        mfa.fit(X, sample_weight=weights)
