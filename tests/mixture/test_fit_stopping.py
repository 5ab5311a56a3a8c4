"""When a fit stops, against the sums of series."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mfa_sklearn.mixture._fit.stopping import DEFAULT_TOL, Extrapolation, Patience, Worthwhile, rest_of_two_series


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
    assert steps_until_done(Extrapolation(1e-4), (1e-6 * 1.1**n for n in range(50))) is None


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


@pytest.mark.parametrize(
    ("quick", "slow"), [((1, 0.5), (0.2, 0.998)), ((1, 0.8), (1e-3, 0.9999)), ((1, 0.9), (0.1, 0.97))]
)
def test_a_slow_series_behind_a_quick_one_is_seen(quick, slow):
    """Four gains of a sum of two series tell both, where two tell a tenth of what is to come."""
    gains = [a * x**n + b * y**n for (a, x), (b, y) in [(quick, slow)] for n in range(4)]
    rest = sum(a * x**3 / (1 - x) for a, x in (quick, slow))
    assert rest_of_two_series(gains) == pytest.approx(rest, rel=0.15)


@pytest.mark.parametrize("gains", [[1, 1, 1, 1], [1, 2, 3, 4], [4, 3, 2, 1], [1, 0.9, 0.95, 0.9]])
def test_gains_that_do_not_shrink_have_no_end(gains):
    assert rest_of_two_series(gains) == np.inf


def test_extrapolated_gains_must_be_small_together():
    """One of ten that is not small says that there may be more such."""
    calm = np.cumsum([1e-6] * 30)
    one = Extrapolation(1e-4)
    assert next(n for n, b in enumerate(calm, 1) if one.done(b, plain=False)) == 12
    gains = [1e-6] * 8 + [1e-3] + [1e-6] * 20
    other = Extrapolation(1e-4)
    assert next(n for n, b in enumerate(np.cumsum(gains), 1) if other.done(b, plain=False)) == 20


def test_another_fit_goes_on_with_the_gains_and_judges_them_anew():
    first, second = Extrapolation(1e-2), Extrapolation(1e-6)
    bounds = list(itertools.islice(geometric(0.5), 40))
    n = steps_until_done(first, bounds)
    second.go_on(first)
    assert not second.done(bounds[n])
    assert steps_until_done(second, bounds[n + 1 :]) is not None


def test_gains_that_nobody_could_wait_for_are_none():
    """On a plateau gains do not shrink, or rise; ten thousand of these would not add up to the tolerance."""
    for gains in (np.full(20, 1e-9), 1e-9 * 1.001 ** np.arange(20)):
        assert steps_until_done(Extrapolation(1e-4), np.cumsum([0.0, *gains])) is not None
        assert steps_until_done(Extrapolation(1e-6), np.cumsum([0.0, *gains])) is None


def test_gains_within_the_rounding_of_the_bounds_are_none():
    """In single precision a bound comes with an error of its own at each step."""
    noise = 1e-6 * np.random.default_rng(0).standard_normal(30)
    assert steps_until_done(Extrapolation(1e-4, rounding=3e-8), 40.0 + noise) is not None
    rising = 40.0 + 1e-5 * np.arange(30)
    assert steps_until_done(Extrapolation(1e-4, rounding=3e-8), rising) is None
