"""Fits by warm starts: what one saw of the rows the next goes on with, and not what was seen of others."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from mixture_cases import X_MADE

from mfa_sklearn import MFA

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Where no fit of these rows ends.
FAR_MEANS = np.random.default_rng(0).standard_normal((3, X_MADE.shape[1]))


def fits_until_converged(mfa: MFA, X=X_MADE, most: int = 150, **fit) -> int | None:
    """How many warm starts it takes."""
    return next((n for n in range(1, most) if mfa.fit(X, **fit).converged_), None)


@pytest.mark.parametrize("max_iter", [1, 2, 7])
@pytest.mark.parametrize("acceleration", [True, False])
def test_steps_one_by_one_come_to_an_end(max_iter, acceleration):
    settings = {"n_components": 3, "n_factors": 2, "noise": "component", "random_state": 0}
    mfa = MFA(**settings, warm_start=True, max_iter=max_iter, acceleration=acceleration)
    assert fits_until_converged(mfa, most=600)
    assert mfa.n_iter_ <= max_iter
    gain = MFA(**settings, tol=1e-8, max_iter=400).fit(X_MADE).lower_bound_ - mfa.lower_bound_
    assert gain < 5e-4


def test_a_common_factor_of_the_weights_changes_nothing_about_it():
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X_MADE))
    mfa = MFA(3, 1, warm_start=True, max_iter=1, random_state=0)
    once = fits_until_converged(mfa, sample_weight=weights)
    other = MFA(3, 1, warm_start=True, max_iter=1, random_state=0)
    scaled = next(n for n in range(1, 150) if other.fit(X_MADE, sample_weight=weights * 10.0**n).converged_)
    assert abs(scaled - once) <= 2


def test_other_rows_begin_another_series():
    mfa = MFA(3, 1, warm_start=True, max_iter=300, random_state=0).fit(X_MADE)
    assert mfa.converged_
    seen = mfa._progress.monitor._gains
    assert seen
    mfa.set_params(max_iter=1).fit(X_MADE[:200])
    assert not mfa.converged_
    assert mfa._progress.monitor._gains == []


def test_a_smaller_tolerance_is_not_met_by_what_met_the_last_one():
    mfa = MFA(3, 1, warm_start=True, max_iter=300, tol=1.0, random_state=0).fit(X_MADE)
    reached = mfa.lower_bound_
    mfa.set_params(tol=1e-6).fit(X_MADE)
    assert mfa.lower_bound_ > reached


@pytest.mark.parametrize(
    "change",
    [
        {"noise": "component"},
        {"noise_form": "isotropic"},
        {"noise_floor": 0.3},
        {"dtype": "float32"},
        {"solver": "gradient"},
        {"means_": FAR_MEANS},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_asked_for_now_is_not_at_its_end_because_the_last_fit_was(change):
    mfa = MFA(3, 1, warm_start=True, max_iter=500, random_state=0).fit(X_MADE)
    assert mfa.converged_
    for name, value in change.items():
        setattr(mfa, name, value)
    mfa.fit(X_MADE)
    reached = mfa.lower_bound_
    assert mfa.n_iter_ > 2
    assert mfa.set_params(tol=0, acceleration=False, solver="em").fit(X_MADE).lower_bound_ < reached + 2e-3


def test_a_new_learning_rate_is_given_its_time():
    mfa = MFA(2, 1, solver="gradient", warm_start=True, max_iter=100, n_iter_no_change=4, random_state=0)
    mfa.set_params(learning_rate=0.05).fit(X_MADE)
    assert mfa.converged_
    assert mfa.set_params(learning_rate=0.005).fit(X_MADE).n_iter_ > 4


def test_a_pickled_mixture_goes_on_and_a_stream_does_not():
    mfa = MFA(2, 1, warm_start=True, max_iter=3, random_state=0).fit(X_MADE)
    assert pickle.loads(pickle.dumps(mfa))._progress.n_rows == len(X_MADE)
    assert mfa.partial_fit(X_MADE)._progress is None


def test_patience_outlives_a_warm_start():
    mfa = MFA(2, 1, solver="gradient", warm_start=True, max_iter=2, tol=10.0, n_iter_no_change=5, random_state=0)
    assert fits_until_converged(mfa, most=8) == 3
