"""Histograms and scatters: what is counted where, and what is left of a coordinate."""

from __future__ import annotations

import numpy as np
from atlas_data_cases import known_mixture
from interpret_fixtures import mixture

from mfa_sklearn.atlas._region_charts import OtherRows, histogram, scatter


def test_bins_are_those_of_numpy_with_what_is_below_in_the_first() -> None:
    rng = np.random.default_rng(0)
    own, others = rng.normal(0, 1, 500), rng.normal(-50, 20, 300)
    found = histogram(own, others)
    assert found is not None and sum(found["own"]) == 500 and sum(found["others"]) == 300
    edges = np.linspace(found["low"], found["high"], 41)
    assert found["own"] == np.histogram(np.clip(own, edges[0], edges[-1]), edges)[0].tolist()
    width = own.max() - own.min()
    assert found["low"] >= own.min() - 4 * width - 1e-3 and found["others"][0] > 100


def test_own_rows_alone_rows_alike_and_none() -> None:
    alone = histogram(np.array([1.0, 2, 3]), np.empty(0))
    assert alone is not None and (alone["low"], alone["high"], sum(alone["others"])) == (1, 3, 0)
    alike = histogram(np.full(5, 2.0), np.empty(0))
    assert alike is not None and sum(alike["own"]) == 5 and alike["low"] < alike["high"]
    assert histogram(np.empty(0), np.ones(3)) is None


def test_rows_of_others_are_those_that_belong_elsewhere() -> None:
    exact, mfa = mixture(1.0), known_mixture()
    X = exact.sample(30, np.random.default_rng(0))
    assigned, some = mfa.predict(X), np.arange(0, 30, 2)
    others = OtherRows(mfa, X, assigned, some)
    density = exact.log_joint(X) - np.log(exact.weights_)
    for k in range(4):
        expected = density[some[assigned[some] != k], k]
        np.testing.assert_allclose(others.of(k), expected, rtol=1e-5)


def test_places_are_whole_thousandths_of_their_range() -> None:
    values = np.array([[-1.0, 5], [0, 5], [3, 5]])
    found = scatter(np.array([4, 7, 9]), values, np.array([0.75, 0.25]))
    assert found is not None
    assert (found["x"], found["x_range"]) == ([0, 250, 1000], [-1, 3])
    assert (found["y"], found["y_range"]) == ([500] * 3, [4, 6])  # all alike
    assert found["axes"] == [{"axis": 0, "share": 0.75}, {"axis": 1, "share": 0.25}] and found["row"] == [4, 7, 9]


def test_no_rows_or_no_axes() -> None:
    assert scatter(np.empty(0, dtype=int), np.empty((0, 2)), np.ones(2)) is None
    assert scatter(np.arange(3), np.empty((3, 0)), np.empty(0)) is None
