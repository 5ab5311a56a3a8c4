"""Intervals by text, against scipy's bootstrap and the spread over many draws of the data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from mfa_sklearn.evaluation import bootstrap_interval
from mfa_sklearn.evaluation._resampling import draw_texts, number_texts, to_interval


def mean_of(values: np.ndarray):
    return lambda weights: np.average(values, weights=weights)


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    """Of texts of one length, whose means are drawn; both move the percentiles by what they differ from the mean."""
    rng = np.random.default_rng(0)
    values = rng.gamma(2, size=(60, 3)) + rng.gamma(2, size=(60, 1))
    low, high = bootstrap_interval(mean_of(values.ravel()), np.repeat(np.arange(60), 3), 4000, random_state=0)
    rng = np.random.default_rng(1)
    reference = stats.bootstrap((values.mean(1),), np.mean, n_resamples=4000, method="percentile", rng=rng)
    width = high - low
    np.testing.assert_allclose([low, high], reference.confidence_interval, atol=0.06 * width)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Rows of a text share a mean, so that an interval by rows would be too short by a factor of two."""
    rng = np.random.default_rng(0)
    covered = by_rows = 0
    for number in range(200):
        values = np.repeat(rng.normal(size=80), 5) + 0.3 * rng.normal(size=400)
        texts, rows = np.repeat(np.arange(80), 5), np.arange(400)
        (_, *inner), (_, *outer) = (
            to_interval(draw_texts(groups, 100, number).sums(values[:, None])[:, 0]) for groups in (rows, texts)
        )
        covered += outer[0] < 0 < outer[1]
        by_rows += inner[0] < 0 < inner[1]
    # 190 are to be expected, give or take three standard deviations of 3; 0.95 of the shorter ones leave 64 %.
    assert 178 <= covered <= 199
    assert by_rows < 150


def test_the_figure_is_within_whatever_the_bias_of_resamples() -> None:
    """The number of different texts, which every resample has fewer of."""
    groups = np.repeat(np.arange(40), 2)
    low, high = bootstrap_interval(lambda weights: np.count_nonzero(weights), groups, random_state=0)
    assert low < 80 < high


def test_one_seed_gives_one_interval() -> None:
    values, groups = np.random.default_rng(0).normal(size=30), np.repeat(np.arange(10), 3)
    found = [bootstrap_interval(mean_of(values), groups, random_state=seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_sums_over_resamples_are_those_of_the_rows_repeated() -> None:
    rng = np.random.default_rng(0)
    groups, terms = rng.permutation(np.repeat(list("abcdef"), 4)), rng.normal(size=(24, 3))
    resamples = draw_texts(groups, 5, random_state=0)
    expected = [np.repeat(terms, resamples.weights(r).astype(int), axis=0).sum(0) for r in range(6)]
    np.testing.assert_allclose(resamples.sums(terms), expected, atol=1e-12)
    np.testing.assert_allclose(resamples.sums(sparse.csr_matrix(terms)), expected, atol=1e-12)
    np.testing.assert_array_equal(resamples.weights(0), np.ones(24))
    np.testing.assert_array_equal(resamples.counts.sum(1), np.full(6, 6))


def test_texts_are_drawn_whole_and_with_equal_chance() -> None:
    resamples = draw_texts(np.repeat(np.arange(4), [1, 2, 3, 10]), 4000, random_state=0)
    np.testing.assert_allclose(resamples.counts[1:].mean(0), 1, atol=0.06)
    # The variance of a count among four is that of a binomial with four trials of a quarter.
    np.testing.assert_allclose(resamples.counts[1:].var(0), 0.75, atol=0.08)


def test_intervals_are_percentiles_about_the_figure() -> None:
    drawn = np.arange(101.0)
    assert to_interval(np.r_[60, drawn], 0.9) == (60, 60 + 5 - 50, 60 + 95 - 50)
    assert to_interval(np.r_[60, drawn], 0.9, bounds=(20, 100)) == (60, 20, 100)


def test_what_is_not_defined_everywhere() -> None:
    value, low, high = to_interval(np.array([1.0, np.nan, 0.0, 2.0]), 0.5)
    assert (value, low, high) == (1, 0.5, 1.5)
    for values in ([np.nan, 1, 2], [1.0, np.nan, 1.0], [1.0]):
        assert np.isnan(to_interval(np.array(values))[1:]).all()


def test_texts_are_numbered_in_order() -> None:
    texts, n_texts = number_texts(["b", "a", "b", "c"])
    assert (texts.tolist(), n_texts) == ([1, 0, 1, 2], 3)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"confidence": 95}, ValueError, "confidence == 95, must be < 1"),
        ({"confidence": "high"}, TypeError, "confidence"),
        ({"n_resamples": -1}, ValueError, "n_resamples=-1 must be at least 0"),
        ({"groups": [[1, 2]]}, ValueError, r"one entry per row.*\(1, 2\)"),
        ({"groups": []}, ValueError, r"one entry per row.*\(0,\)"),
    ],
)
def test_refusals(change: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bootstrap_interval(**{"statistic": np.mean, "groups": [1, 2], **change})
