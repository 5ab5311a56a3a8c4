"""The loop of steps: an interrupt keeps what was reached, and the better of two results."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mixture_cases import X_MADE, quick
from mixture_oracles import STRUCTURES, random_params

from mfa_sklearn import MFA
from mfa_sklearn.mixture import _mfa as mfa_module
from mfa_sklearn.mixture._fit.loop import FitResult


def test_an_interrupt_keeps_the_fit_so_far(monkeypatch):
    def interrupted(self, attempt, *_):
        def report(n_iter, step):
            if n_iter == 3:
                raise KeyboardInterrupt

        return report

    monkeypatch.setattr(MFA, "_report", interrupted)
    with pytest.warns(UserWarning, match="interrupted after 3 iterations"):
        mfa = quick(n_init=5)
    assert mfa.n_iter_ == 3
    assert np.isfinite(mfa.score(X_MADE))


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
    results, plain = [], mfa_module.run

    def spoiled_at_first(*args):
        result = plain(*args)
        results.append(result._replace(bound=math.nan) if not results else result)
        return results[-1]

    monkeypatch.setattr(mfa_module, "run", spoiled_at_first)
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
