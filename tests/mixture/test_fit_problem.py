"""What a fit is posed: the number of components, and the rows that are held out."""

from __future__ import annotations

import numpy as np
import pytest
from gradient_cases import gradient, held_out_rows
from mixture_cases import X_MADE
from sklearn.datasets import load_iris

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa


def test_without_anything_given_there_is_one_component():
    assert MFA().fit(X_MADE).n_components_ == 1


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
