"""Arms at equal cost, against curves worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap

from mfa_sklearn.steering import steering_at_cost, summarize_steering
from mfa_sklearn.steering._evaluation.summary import Curve, Resample


def make_table(curves: dict[tuple[str, str, str], list[tuple[float, float, float]]], layer: int = 0) -> pd.DataFrame:
    """From (arm, concept, half) to lines of (strength, collateral, share_next); unsteered shares are .1."""
    keys = {(concept, half) for _, concept, half in curves}
    lines = [("none", concept, half, 0.0, 0.0, 0.1) for concept, half in sorted(keys)]
    lines += [(*key, *line) for key, own in curves.items() for line in own]
    table = pd.DataFrame(lines, columns=["arm", "concept", "half", "strength", "collateral", "share_next"])
    return table.assign(layer=layer, site="residual", select="prompt")


CURVES = {
    # On "choose" a cost of 1 is reached half way from strength 1 to 2; on "judge" that costs 1.5 and gives .4.
    ("means", "river", "choose"): [(1.0, 0.5, 0.2), (2.0, 1.5, 0.6)],
    ("means", "river", "judge"): [(1.0, 1.0, 0.3), (2.0, 2.0, 0.5)],
    # Never reached: the strongest is taken.
    ("means", "court", "choose"): [(1.0, 0.2, 0.2), (2.0, 0.4, 0.3)],
    ("means", "court", "judge"): [(1.0, 0.3, 0.1), (2.0, 0.6, 0.7)],
    # Reached at .5, before the cost falls and rises again.
    ("region", "river", "choose"): [(1.0, 2.0, 0.8), (2.0, 0.5, 0.2), (4.0, 3.0, 0.9)],
    ("region", "river", "judge"): [(1.0, 0.8, 0.9), (2.0, 1.5, 0.2), (4.0, 3.0, 0.9)],
    # Reached at the first strength.
    ("region", "court", "choose"): [(1.0, 1.0, 0.2), (2.0, 2.0, 0.3), (4.0, 3.0, 0.9)],
    ("region", "court", "judge"): [(1.0, 0.4, 0.3), (2.0, 1.5, 0.2), (4.0, 3.0, 0.9)],
}


def found_for(**options: Any) -> pd.DataFrame:
    return steering_at_cost(make_table(CURVES), [1.0], against="means", **options).set_index("arm")


def test_one_way_is_as_by_hand() -> None:
    found = found_for(crossed=False)
    # means: river .4 at 1.5, court .7 at 2; region: river (.1 + .9) / 2 at .5, court .3 at 1.
    np.testing.assert_allclose(found["value"], [(0.4 + 0.7) / 2, (0.5 + 0.3) / 2])
    np.testing.assert_allclose(found["difference"], [0, (0.5 - 0.4 + 0.3 - 0.7) / 2])
    np.testing.assert_allclose(found["strength"], [(1.5 + 2) / 2, (0.5 + 1) / 2])
    np.testing.assert_allclose(found["paid"], [(1.5 + 0.6) / 2, (0.4 + 0.4) / 2])
    np.testing.assert_allclose(found["reached"], [0.5, 1])
    np.testing.assert_allclose(found["weaker"], [0, 0.5])  # region's river at .5, where 1 is the weakest
    assert found["n_concepts"].tolist() == [2, 2]


def test_both_ways_are_averaged() -> None:
    found = found_for()
    # The other way round, means: river at 1, giving .2 at .5, court at 2, giving .3; region: river at 1 + .2 / .7,
    # court at 1 + .6 / 1.1.
    river, court = (1 + 0.2 / 0.7), (1 + 0.6 / 1.1)
    np.testing.assert_allclose(found.loc["means", "value"], ((0.4 + 0.2) / 2 + (0.7 + 0.3) / 2) / 2)
    effects = [(0.5 + 0.8 - 0.6 * (river - 1)) / 2, (0.3 + 0.2 + 0.1 * (court - 1)) / 2]
    np.testing.assert_allclose(found.loc["region", "value"], np.mean(effects))
    np.testing.assert_allclose(found.loc["region", "strength"], np.mean([(0.5 + river) / 2, (1 + court) / 2]))
    np.testing.assert_allclose(found["reached"], [0.5, 1])


def test_intervals_are_percentiles_of_medians_of_concepts_drawn() -> None:
    """Of two concepts a resample has one of them twice, with probability 1/4 each, or both."""
    found = found_for(crossed=False, n_resamples=2000)
    np.testing.assert_allclose(found[["low", "high"]], [[0.4, 0.7], [0.3, 0.5]])
    np.testing.assert_allclose(found.loc["region", ["difference_low", "difference_high"]].astype(float), [-0.4, 0.1])
    assert (found.loc["means", ["difference", "difference_low", "difference_high"]] == 0).all()


def test_intervals_cover_the_median_of_a_population() -> None:
    """Of 60 concepts drawn from a uniform distribution, 95 % intervals hold its median in about 95 % of cases."""
    held = []
    for seed in range(200):
        line = Resample(500, seed).interval("value", "", np.random.default_rng(seed).uniform(0, 1, 60))
        held.append(line["low"] <= 0.5 <= line["high"])
    assert 0.9 <= np.mean(held) <= 0.99


def test_what_is_not_defined_is_left_out() -> None:
    resample = Resample(10, 0)
    assert resample.interval("value", "", np.array([1.0, np.nan])) == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert np.isnan(list(resample.interval("value", "", np.array([np.nan])).values())).all()


def test_means_in_place_of_medians() -> None:
    """Against the bootstrap of scipy; three concepts, so that the two differ."""
    values = np.array([0.0, 0.1, 0.9])
    found = Resample(4000, 0, "mean").interval("value", "", values)
    expected = bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    assert found["value"] == pytest.approx(1 / 3)
    np.testing.assert_allclose([found["low"], found["high"]], expected, atol=0.04)
    curves = {(arm, c, half): own for (arm, c, half), own in CURVES.items() if arm == "means"}
    more = {("means", "coast", half): [(1.0, 1.0, 0.0), (2.0, 2.0, 0.0)] for half in ("choose", "judge")}
    [line] = steering_at_cost(make_table(curves | more), [1.0], average="mean", crossed=False, against=None).to_dict(
        "records"
    )
    assert line["value"] == pytest.approx((0.4 + 0.7 + 0.0) / 3)
    assert line["paid"] == pytest.approx((1.5 + 0.6 + 1.0) / 3)
    assert line["strength"] == pytest.approx((1.5 + 2 + 1) / 3)


def test_places_stand_apart_and_other_measures_are_read_off() -> None:
    tables = [make_table(CURVES), make_table(CURVES, layer=3).assign(share_next=0.5)]
    table = pd.concat(tables).assign(log_prob=-2.0)
    found = steering_at_cost(table, [0.1, 1.0], against=None)
    assert found[["layer", "cost", "arm"]].values.tolist() == [
        [layer, cost, arm] for layer in (0, 3) for cost in (0.1, 1.0) for arm in ("means", "region")
    ]
    assert "difference" not in found and (found["value"][found["layer"] == 3] == 0.5).all()
    assert (steering_at_cost(table, effect="log_prob", against="region")["value"] == -2).all()


def test_concepts_that_the_other_arm_has_not_are_left_out_of_differences() -> None:
    table = make_table(CURVES)
    found = steering_at_cost(
        table[~((table["arm"] == "means") & (table["concept"] == "court"))], [1.0], against="means"
    )
    whole, region = found_for(), found.set_index("arm").loc["region"]
    assert region["n_concepts"] == 2 and region["value"] == whole.loc["region", "value"]
    assert region["difference"] == region["difference_low"] == region["difference_high"]


def test_summaries_are_medians_by_arm_and_strength() -> None:
    summary = summarize_steering(make_table(CURVES))
    assert summary[["arm", "strength"]].values.tolist()[:3] == [["none", 0.0], ["means", 1.0], ["means", 2.0]]
    assert summary.loc[1, "share_next"] == pytest.approx(np.median([0.2, 0.3, 0.2, 0.1]))
    own = summarize_steering(make_table(CURVES).assign(lost=3.0, n_prompts=2, note="x"))
    assert list(own.columns[-3:]) == ["share_next", "collateral", "lost"]


# A cost of one's own, from -1 of the model as it is up to 4, and down below it again.
VALLEY = {
    ("means", "river", "choose"): [(1.0, 2.0, 0.2), (2.0, 4.0, 0.6), (4.0, -4.0, 0.5)],
    ("means", "river", "judge"): [(1.0, 1.0, 0.3), (2.0, 3.0, 0.7), (4.0, -6.0, 0.4)],
}


def valley(level: float, rule: str) -> pd.Series:
    table = make_table(VALLEY).rename(columns={"collateral": "nats lost", "share_next": "nearest"})
    table.loc[table["arm"] == "none", "nats lost"] = -1.0
    options = {"cost": "nats lost", "effect": "nearest", "against": None, "crossed": False}
    return steering_at_cost(table, [level], rule=rule, **options).iloc[0]


@pytest.mark.parametrize(
    ("level", "rule", "strength", "reached"),
    [
        (-1.0, "first", 0.0, 1),  # the model as it is
        (0.5, "first", 0.5, 1),  # risen to, though fallen to again later
        (-2.0, "first", 3.5, 1),  # fallen to
        (5.0, "first", 4.0, 0),  # never
        (-5.0, "first", 4.0, 0),
        # .2 at 1; fallen to 3 again at 2.25, and there is more effect than at 1.5, where it rises to 3
        (3.0, "most", 2.25, 1),
        (-2.0, "most", 3.5, 1),  # 3.5 to 4 are allowed
        (5.0, "most", 2.0, 0),  # all are allowed
        (-5.0, "most", 4.0, 0),  # none is: the cheapest
    ],
)
def test_a_cost_that_rises_and_falls(level: float, rule: str, strength: float, reached: int) -> None:
    found = valley(level, rule)
    assert found["strength"] == pytest.approx(strength) and found["reached"] == reached
    judged = [0, 1, 2, 4]
    assert found["value"] == pytest.approx(np.interp(strength, judged, [0.1, 0.3, 0.7, 0.4]))
    assert found["paid"] == pytest.approx(np.interp(strength, judged, [-1, 1, 3, -6]))


@pytest.mark.parametrize("rule", ["first", "most"])
def test_rules_agree_with_a_search_of_a_fine_grid(rule: str) -> None:
    rng = np.random.default_rng(0)
    strength = np.array([0, *rng.uniform(0.1, 1, 6).cumsum()])
    cost, gain = rng.normal(size=(2, 7))
    curve = Curve(strength, cost, gain, effect=gain, paid=cost)
    grid = np.linspace(0, strength[-1], 200_001)
    costs, gains = np.interp(grid, strength, cost), np.interp(grid, strength, gain)
    for level in np.linspace(cost.min() + 0.05, cost.max() - 0.05, 9):
        found = curve.at(level, rule)
        if rule == "first":
            expected = grid[np.flatnonzero(np.diff(np.sign(costs - level)))[0]]
            assert found.strength == pytest.approx(expected, abs=1e-4)
        else:
            assert found.effect == pytest.approx(gains[costs <= level].max(), abs=1e-4)
            assert found.paid <= level + 1e-9


def test_of_equal_effects_the_least_strength_is_chosen() -> None:
    flat = Curve(np.arange(4.0), np.arange(4.0), np.array([0, 1.0, 1.0, 1.0]), np.zeros(4), np.zeros(4))
    assert flat.at(2.5, "most").strength == 1


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"table": pd.DataFrame({"a": [1]})}, ValueError, "has no columns .*'layer'"),
        ({"table": 3}, ValueError, "has no columns"),
        ({"table": pd.concat([make_table(CURVES)] * 2)}, ValueError, "twice: concatenate"),
        ({"table": make_table(CURVES).query("half == 'judge'")}, ValueError, "measure with two prompts or more"),
        ({"table": make_table(CURVES).query("arm != 'none'")}, ValueError, "'none' at 0 among them"),
        ({"costs": 0.1}, TypeError, r"pass \[0.1\]"),
        ({"costs": []}, ValueError, "costs is empty"),
        ({"costs": [0]}, ValueError, "costs holds 0"),
        ({"costs": ["a"]}, ValueError, "costs holds 'a'"),
        ({"cost": "kl"}, ValueError, "cost='kl' is unknown; choose one of 'share_next', 'collateral'"),
        ({"cost": "arm"}, ValueError, "cost='arm' is unknown"),
        ({"cost": "share_next", "costs": [np.inf]}, ValueError, "costs holds inf: give finite numbers"),
        ({"average": "mode"}, ValueError, "average='mode' is unknown; choose one of 'median', 'mean'"),
        ({"rule": "last"}, ValueError, "rule='last' is unknown; choose one of 'first', 'most'"),
        ({"table": make_table(CURVES).assign(collateral=np.nan)}, ValueError, "not a finite number on every line of"),
        ({"effect": "x"}, ValueError, "effect='x' is unknown"),
        ({"against": "x"}, ValueError, "against='x' is unknown; choose one of 'means', 'region'"),
        ({"crossed": "no"}, TypeError, "crossed='no' must be True or False"),
        ({"n_resamples": 0}, ValueError, "n_resamples=0"),
        ({"random_state": -1}, ValueError, "random_state=-1"),
    ],
)
def test_what_cannot_be_compared_is_refused(given: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        steering_at_cost(**{"table": make_table(CURVES), "against": "means", **given})
