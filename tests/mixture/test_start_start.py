"""Starts: by name, from centers or labels that are given or attached, from another estimator."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from mixture_cases import X_MADE, Y_MADE, centers_near, quick
from sklearn.cluster import DBSCAN, KMeans

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import annotate


def same_components(mfa: MFA, y=Y_MADE, X=X_MADE) -> bool:
    """Whether the fit has found the true components, in their order."""
    return bool((mfa.predict(X) == y).mean() > 0.99)


@pytest.mark.parametrize("strategy", ["auto", "kmeans", "k-means++", "random_from_data", "random"])
def test_named_strategies_fit_and_repeat_under_a_seed(strategy):
    first, again = quick(init=strategy), quick(init=strategy)
    np.testing.assert_array_equal(first.means_, again.means_)
    assert first.lower_bound_ > -15
    if strategy in ("auto", "kmeans"):
        assert same_components(first, first.predict(X_MADE))
        assert first.lower_bound_ == pytest.approx(quick(init="kmeans").lower_bound_)


def test_random_starts_differ_with_the_seed():
    starts = [quick(init="random_from_data", random_state=seed, max_iter=0).means_ for seed in (0, 1)]
    assert not np.allclose(starts[0], starts[1])


def test_given_centers():
    assert same_components(quick(init=centers_near()))
    assert same_components(quick(init=centers_near().tolist()))
    everyone = MFA(None, 2, init=centers_near(), max_iter=3, tol=0).fit(X_MADE)
    assert everyone.n_components_ == 3


def test_attached_centers():
    attached = annotate(X_MADE, cluster_centers=centers_near()[::-1])
    assert same_components(quick(attached), 2 - Y_MADE)
    assert MFA(None, 2, max_iter=3, tol=0).fit(attached).n_components_ == 3
    # A named strategy asks for something else.
    np.testing.assert_array_equal(quick(attached, init="kmeans").means_, quick(init="kmeans").means_)
    with pytest.raises(ValueError, match=r"3 centers, but n_components=4"):
        quick(attached, n_components=4)


@pytest.mark.parametrize("labels", [Y_MADE, Y_MADE.tolist(), pd.Series(Y_MADE), Y_MADE.astype(np.uint8)])
def test_given_labels(labels):
    mfa = MFA(None, 2, init=labels, max_iter=3, tol=0).fit(X_MADE)
    assert mfa.n_components_ == 3
    assert same_components(mfa)


@pytest.mark.parametrize(("labels", "unused"), [(Y_MADE + 1, 0), (Y_MADE * 10**9, 1), (Y_MADE + (Y_MADE == 2), 2)])
def test_labels_with_gaps_would_be_components_that_nobody_asked_for(labels, unused):
    with pytest.raises(ValueError, match=f"no row has the label {unused}; number the clusters without gaps"):
        MFA(None, 2, init=labels).fit(X_MADE)


def test_nested_estimator():
    clusterer = KMeans(n_init=1, random_state=0)
    mfa = quick(init=clusterer)
    assert not hasattr(clusterer, "cluster_centers_"), "a constructor parameter was fitted"
    assert mfa.n_components_ == 3
    ready = KMeans(3, n_init=1, random_state=0).fit(X_MADE)
    before = ready.cluster_centers_.copy()
    used = MFA(None, 2, init=ready, max_iter=8, tol=0, random_state=0).fit(X_MADE)
    np.testing.assert_array_equal(ready.cluster_centers_, before)
    assert used.n_components_ == 3
    assert used.score(X_MADE) == pytest.approx(mfa.score(X_MADE), abs=1e-6)


BAD_STARTS = [
    (np.zeros((3, 5)), ValueError, r"centers of shape \(3, 5\), but X has n_features=6"),
    (np.zeros((4, 6)), ValueError, r"4 centers, but n_components=3"),
    (np.full((3, 6), np.nan), ValueError, "centers that are not finite"),
    (np.zeros((1, 3, 6)), ValueError, r"centers of shape \(1, 3, 6\)"),
    (np.zeros(5, dtype=int), ValueError, r"5 labels for n_samples=300"),
    (np.full(300, -1), ValueError, "integers from 0.* minimum -1"),
    (Y_MADE.astype(float), ValueError, "integers from 0, got dtype float64"),
    (Y_MADE + 1, ValueError, r"labels up to 3, but n_components=3"),
    (np.array(["a", "b", "c"])[Y_MADE], ValueError, r"integers from 0, got dtype <U1; number the clusters"),
    (DBSCAN(eps=10.0), ValueError, "no cluster_centers_ after fit"),
    ("kmean", ValueError, "'init' parameter"),
]


@pytest.mark.parametrize(("init", "error", "message"), BAD_STARTS)
def test_bad_starts(init, error, message):
    with pytest.raises(error, match=message):
        quick(init=init)


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random_from_data", "random", "centers", "labels"])
@pytest.mark.parametrize("solver", ["em", "gradient"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_every_start_takes_missing_values(init, solver, share):
    rng = np.random.default_rng(0)
    X = np.where(rng.random(X_MADE.shape) < share, np.nan, X_MADE)
    given = {"centers": centers_near(), "labels": Y_MADE}.get(init, init)
    for seed in range(3):
        mfa = quick(X, init=given, solver=solver, random_state=seed)
        assert np.isfinite(mfa.lower_bounds_).all()
        assert np.isfinite(mfa.means_).all()
        again = mfa.set_params(warm_start=True).fit(X)
        assert np.isfinite(again.lower_bound_)
        assert np.isfinite(again.impute(X)).all()


def test_drawn_rows_that_miss_values_are_as_good_a_start_as_others():
    """A start whose centers were not numbers had all rows in one component."""
    X = np.where(np.random.default_rng(0).random(X_MADE.shape) < 0.1, np.nan, X_MADE)
    found = [quick(X, init="random_from_data", random_state=seed, max_iter=60) for seed in range(8)]
    assert max(mfa.lower_bound_ for mfa in found) > quick(X, max_iter=60).lower_bound_ - 0.01
    assert all(mfa.weights_.min() > 0.01 for mfa in found)


def test_centers_and_labels_come_as_tensors_too():
    centers = torch.tensor(centers_near(), requires_grad=True)
    np.testing.assert_allclose(quick(init=centers).means_, quick(init=centers_near()).means_)
    np.testing.assert_allclose(quick(init=torch.tensor(Y_MADE)).means_, quick(init=Y_MADE).means_)
