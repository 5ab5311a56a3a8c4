"""The loop of steps: what ends it, and the better of two results."""

from __future__ import annotations

import math

import numpy as np
import pytest
from checkpoint_cases import stopping
from mixture_cases import X_MADE, quick
from mixture_oracles import STRUCTURES, random_params

from mfa_sklearn import MFA
from mfa_sklearn.mixture import _fitting as fitting
from mfa_sklearn.mixture._em.solver import EMSolver
from mfa_sklearn.mixture._fit.loop import FitResult


def test_an_interrupt_keeps_the_fit_so_far_and_goes_on_up():
    mfa = MFA(3, 2, max_iter=8, tol=0.0, random_state=0, n_init=5).set_callbacks(stopping(3, KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt, match="after 3 iterations is kept in the estimator"):
        mfa.fit(X_MADE)
    assert mfa.n_iter_ == 3 and not mfa.converged_
    assert mfa.score(X_MADE) == pytest.approx(mfa.lower_bound_ - mfa.log_prior_)


def test_an_interrupt_before_the_first_iteration_leaves_the_estimator_as_it_was(monkeypatch):
    mfa = quick()
    reached = mfa.means_.copy()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "starting_params", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mfa.fit(X_MADE[:100])
    assert np.array_equal(mfa.means_, reached)


def test_a_second_interrupt_ends_at_once(monkeypatch):
    """The bound of what was reached takes a pass over the rows, which may be long."""

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(EMSolver, "finish", interrupted)
    mfa = MFA(3, 2, max_iter=8, random_state=0).set_callbacks(stopping(3, KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        mfa.fit(X_MADE)
    assert not hasattr(mfa, "weights_")


@pytest.mark.parametrize(
    ("first", "second", "best"),
    [(-2.0, -1.0, -1.0), (-1.0, -2.0, -1.0), (math.nan, -5.0, -5.0), (-5.0, math.nan, -5.0), (-math.inf, -9.0, -9.0)],
)
def test_the_better_result_is_one_with_a_number(first, second, best):
    """A first start that ended in NaN once could not be beaten."""
    params = random_params(STRUCTURES["UCU"], (2, 3, 1))
    one, other = (FitResult(params, bound, 0.0, [bound], 1, False, 0, False) for bound in (first, second))
    assert one.better(other).bound == best
    assert one.better(one) is one


def test_a_start_that_ends_in_nan_is_beaten_by_the_next(monkeypatch):
    results, plain = [], fitting.run

    def spoiled_at_first(*args):
        result = plain(*args)
        results.append(result._replace(bound=math.nan) if not results else result)
        return results[-1]

    monkeypatch.setattr(fitting, "run", spoiled_at_first)
    mfa = quick(n_init=3)
    assert np.isfinite(mfa.lower_bound_)
    assert mfa.n_iter_ in {result.n_iter for result in results[1:]}


def test_the_history_says_what_each_bound_is_of():
    """Temperatures halve down to one; bounds of dropped extrapolations are those of the best; moves are named."""
    mfa = quick(annealing=8.0, tol=0, max_iter=40, acceleration=True, split_merge=True, init="random")
    temperatures, steps = mfa.history_["temperature"], mfa.history_["step"]
    assert temperatures[:4] == [8.0, 4.0, 2.0, 1.0] and set(temperatures[4:]) == {1.0}
    assert len(steps) == len(temperatures) == mfa.n_iter_ == len(mfa.lower_bounds_) - 1
    assert steps[0] == "plain" and "extrapolated" in steps
    for i in np.flatnonzero(np.array(steps) == "dropped"):
        assert mfa.lower_bounds_[i] == max(mfa.lower_bounds_[4 : i + 1])
    plain = quick(annealing=1.0, acceleration=False, split_merge=False, tol=0, max_iter=3)
    assert plain.history_ == {"temperature": [1.0] * 3, "step": ["plain"] * 3}
