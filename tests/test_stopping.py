"""When a fit stops, against the sums of series; and where annealing starts, against the entropy of posteriors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from mixture_oracles import STRUCTURES, dense_responsibilities, random_params, random_rows
from scipy.stats import entropy

from mfa_sklearn.mixture._em.annealing import entropy_share, starting_temperature
from mfa_sklearn.mixture._fit.stopping import DEFAULT_TOL, Extrapolation, Patience, Worthwhile


def steps_until_done(monitor, bounds) -> int | None:
    """Which bound, counted from one, satisfies a monitor."""
    return next((n for n, bound in enumerate(bounds, 1) if monitor.done(bound)), None)


def geometric(rate: float, first: float = 1.0):
    """Bounds whose gains shrink at a rate; they tend to zero."""
    return (-first * rate**n / (1 - rate) for n in itertools.count())


@pytest.mark.parametrize("tol", [1e-2, 1e-4])
@pytest.mark.parametrize("rate", [0.3, 0.9, 0.99])
def test_what_is_left_to_gain_is_the_rest_of_the_series(rate, tol):
    """It stops at the second step that leaves no more than the tolerance, and not before."""
    n = steps_until_done(Extrapolation(tol), geometric(rate))
    gain = [rate ** (i - 2) for i in range(2, n + 1)]  # of the second bound and on
    remaining = [g / (1 - rate) for g in gain]
    assert remaining[-1] <= tol
    assert remaining[-2] <= tol
    assert remaining[-3] > tol


def test_a_small_gain_alone_is_no_reason_to_stop():
    assert steps_until_done(Extrapolation(1e-4), (1e-5 * n for n in range(1000))) is None
    assert steps_until_done(Extrapolation(1e-4), [0, 1, 1 + 1e-9, 2, 2 + 1e-9, 3]) is None


def test_a_growing_gain_is_far_from_the_end():
    assert steps_until_done(Extrapolation(1e-4), (1e-8 * 1.1**n for n in range(50))) is None


def test_bounds_that_stand_still_or_fall_are_the_end():
    assert steps_until_done(Extrapolation(0.0), [1.0] * 10) == 4
    assert steps_until_done(Extrapolation(1e-4), [5.0, 4.0, 3.0, 2.0, 1.0]) == 4


def test_patience_counts_the_steps_without_a_rise():
    assert steps_until_done(Patience(0.1, 3), [0, 1, 1.05, 1.05, 1.2, 1.2, 1.2, 1.2]) == 8
    assert steps_until_done(Patience(0.1, 3), [0, 1, 0.5, 0.5, 0.9, 2]) == 5
    assert steps_until_done(Patience(0.0, 2), [1, 1, 1]) == 3
    assert steps_until_done(Patience(0.1, 2), range(100)) is None


def test_patience_waits_for_more_than_the_best_so_far():
    """Rises that do not add up to the tolerance count only as long as each beats the best by it."""
    assert steps_until_done(Patience(0.1, 4), (0.09 * n for n in range(20))) == 5


SEQUENCES = {
    "geometric": [-(0.8**n) for n in range(60)],
    "slow": [-(0.99**n) for n in range(2000)],
    "falling": [1.0, 0.9, 0.8, 0.7, 0.6],
    "still": [1.0] * 6,
    "noisy": list(-(0.7 ** np.arange(60)) + 1e-3 * np.random.default_rng(0).standard_normal(60)),
    "rising for ever": [0.001 * n for n in range(200)],
}


@pytest.mark.parametrize("seconds", [0.0, 1e-3, 2 / 200])
@pytest.mark.parametrize("kind", SEQUENCES)
def test_the_first_seconds_are_always_worth_their_time(kind, seconds):
    """Of 200 steps and more in two seconds; "slow" has more, and stops by what is left where none is that slow."""
    bounds = SEQUENCES[kind][:200]
    one, other = Worthwhile(seconds, 100), Extrapolation(DEFAULT_TOL)
    assert [one.done(b) for b in bounds] == [other.done(b) for b in bounds]


def test_going_on_must_pay_on_large_tables():
    """After the time of n + 5 steps a tenth longer must gain a tenth of a nat for 100 features: a step, 1 / (n + 5)."""
    gains = [5.0] + [1.01 / (n + 5) for n in range(3, 8)] + [0.99 / (n + 5) for n in range(8, 12)]
    bounds = np.cumsum([0.0, *gains])
    assert steps_until_done(Worthwhile(10.0, 100), bounds) == 9
    assert steps_until_done(Worthwhile(10.0, 102), bounds) == 4
    assert steps_until_done(Worthwhile(10.0, 98), bounds) is None
    # Of two seconds that are free the ninth step is the last, so the tenth and the eleventh are judged.
    assert steps_until_done(Worthwhile(2 / 9, 100), bounds) == 11


def test_one_poor_step_is_not_enough():
    gains = [5.0, 0.01, 1.0, 0.01, 1.0, 0.01, 1.0]
    assert steps_until_done(Worthwhile(10.0, 100), np.cumsum([0.0, *gains])) is None


def test_large_tables_stop_where_nothing_is_left_too():
    gains = 0.1 ** np.arange(8)
    one, other = (steps_until_done(m, np.cumsum([0, *gains])) for m in (Worthwhile(10.0, 0), Extrapolation(1e-4)))
    assert one == other


# --- where annealing starts -----------------------------------------------------------------------------------------


def mean_entropy(params, X, temperature, weights=None):
    """Of the rows' tempered posteriors, from dense covariances."""
    return np.average(entropy(dense_responsibilities(params, X, temperature), axis=1), weights=weights)


def apart(size=(8, 12, 2), by=3.0):
    """Components that are well apart, and rows about them."""
    params = random_params(STRUCTURES["UUU"], size)
    params = params._replace(means=by * params.means)
    return params, random_rows(params, 300)


@pytest.mark.parametrize("share", [None, 0.05, 0.3])
def test_the_posterior_has_the_entropy_that_was_asked_for(share):
    params, X = apart(by=1.0)
    found = starting_temperature(params, torch.tensor(X), share=share)
    assert 1 < found < 12
    target = (entropy_share(8) if share is None else share) * np.log(8)
    assert mean_entropy(params, X, found) == pytest.approx(target, rel=1e-3)
    assert mean_entropy(params, X, 1.0) < target


def test_rows_count_by_their_weight():
    params, X = apart(by=1.0)
    weights = np.where(np.arange(300) < 100, 5.0, 0.01)
    found = starting_temperature(params, torch.tensor(X), torch.tensor(weights))
    assert mean_entropy(params, X, found, weights) == pytest.approx(entropy_share(8) * np.log(8), rel=1e-3)
    some = starting_temperature(params, torch.tensor(X[:100]))
    assert starting_temperature(params, torch.tensor(X), torch.tensor(weights > 1).double()) == pytest.approx(some)
    assert found != pytest.approx(starting_temperature(params, torch.tensor(X)), rel=1e-4)


def test_posteriors_that_are_soft_by_themselves_start_at_one():
    params, X = apart()
    params = params._replace(means=0.01 * params.means)
    assert mean_entropy(params, 0.01 * X, 1.0) > entropy_share(8) * np.log(8)
    assert starting_temperature(params, torch.tensor(0.01 * X)) == 1.0


def test_one_component_starts_at_one():
    params, X = apart((1, 4, 1))
    assert starting_temperature(params, torch.tensor(X)) == 1.0


def test_never_hotter_than_one_row_in_all_features():
    params, X = apart(by=100.0)
    assert mean_entropy(params, X, 12.0) < 0.1
    found = starting_temperature(params, torch.tensor(X))
    assert found <= 12.0
    assert found == pytest.approx(12.0, rel=1e-4)


def test_many_components_start_softer_than_few():
    shares = [entropy_share(K) for K in (1, 3, 10, 100, 1000, 10**6)]
    assert shares[0] == 0
    assert shares[1] == pytest.approx(1 / 7, abs=1e-3)
    assert shares[3:] == pytest.approx([0.6, 0.6, 0.6], abs=0.002)
    assert np.all(np.diff(shares) >= 0)
