"""Pictures of searches: points, bars, and which candidates are marked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from search_cases import X, small
from sklearn.model_selection import ShuffleSplit

from mfa_sklearn import MFASearch, SearchDisplay

pyplot = pytest.importorskip("matplotlib.pyplot")


def table(likelihood: list[float], sem: float = 0.5) -> pd.DataFrame:
    """One number of factors, one to five components."""
    n = len(likelihood)
    found = pd.DataFrame({"n_components": range(1, n + 1), "n_factors": 1, "structure": "UCU"})
    return found.assign(n_parameters=10 * found["n_components"], likelihood=likelihood, likelihood_sem=sem)


def test_the_smallest_within_one_standard_error_is_marked() -> None:
    display = SearchDisplay.from_results(table([-9.0, -5.3, -5.1, -5.0, -5.2]))
    assert (display.best_, display.one_standard_error_, display.at_edge_) == (3, 1, [])
    marked = {line.get_label(): line for line in display.ax_.get_lines()}
    assert marked["best"].get_xdata() == [4] and marked["smallest within one standard error"].get_xdata() == [2]
    assert marked["one standard error below the best"].get_ydata()[0] == pytest.approx(-5.5)
    np.testing.assert_array_equal(display.lines_["q = 1"].get_ydata(), [-9.0, -5.3, -5.1, -5.0, -5.2])
    heights = [np.ptp(bar[:, 1]) for bar in display.ax_.collections[0].get_segments()]
    np.testing.assert_allclose(heights, 1.0)
    assert SearchDisplay.from_results(table([-9.0, -5.3, -5.1, -5.0], 0.05)).one_standard_error_ == 3


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        ([-9.0, -5.0, -4.0], ["3 is the most components tried"]),
        ([-3.0, -5.0, -6.0], []),  # there are no fewer than one
        ([-9.0, -4.0, -5.0], []),
    ],
)
def test_a_best_at_the_edge_is_said(values: list[float], edges: list[str]) -> None:
    display = SearchDisplay.from_results(table(values))
    assert display.at_edge_ == edges
    assert display.ax_.get_title() == (f"a better one may lie beyond: {edges[0]}" if edges else "")
    larger = table(values).assign(n_components=lambda found: found["n_components"] + 3)
    expected = (
        ["4 is the fewest components tried"]
        if values[0] == max(values)
        else edges and ["6 is the most components tried"]
    )
    assert SearchDisplay.from_results(larger).at_edge_ == expected


@pytest.mark.parametrize("criterion", ["bic", "likelihood"])
def test_of_a_search_and_of_its_table_read_again(criterion: str, tmp_path) -> None:
    search = MFASearch(small(), (2,), (1, (1, 2)), criterion=criterion, cv=2).fit(X)
    display = SearchDisplay.from_estimator(search)
    search.results_.to_csv(tmp_path / "results.csv", index=False)
    again = SearchDisplay.from_results(pd.read_csv(tmp_path / "results.csv"))
    assert display.best_ == again.best_ == search.best_index_
    assert list(display.lines_) == list(again.lines_) == ["q = 1", "q = (1, 2)"]
    assert display.ax_.get_ylabel() == again.ax_.get_ylabel()
    display.figure_.canvas.draw()


def test_the_criterion_is_that_of_the_ranks_or_one_that_is_asked_for() -> None:
    found = table([0.0, 0.0, 0.0]).drop(columns=["likelihood", "likelihood_sem"])
    found = found.assign(aic=[3.0, 2.0, 1.0], bic=[1.0, 2.0, 3.0], rank=[3, 2, 1])
    assert SearchDisplay.from_results(found).ax_.get_ylabel().startswith("AIC")
    assert SearchDisplay.from_results(found.drop(columns=["rank"])).ax_.get_ylabel().startswith("BIC")
    display = SearchDisplay.from_results(found, criterion="bic")
    assert display.best_ == 0 and display.one_standard_error_ is None


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"table": table([1.0]).drop(columns="structure")}, r"has no \['structure'\]: give the results_"),
        ({"table": table([])}, "has no lines"),
        ({"table": table([1.0]).drop(columns="likelihood")}, "none of the columns"),
        ({"criterion": "bic"}, "criterion='bic' is unknown; choose one of 'likelihood'"),
        ({"table": {"rank": [1]}}, "must be the results_ of an MFASearch, a DataFrame; got dict"),
        ({"table": table(["a", "b"])}, "column 'likelihood' of the table does not hold numbers: could not convert"),
        ({"table": table([np.nan, np.nan])}, "no value of likelihood that is finite"),
        ({"table": table([1.0]).assign(n_factors="exit()")}, "'n_factors' of the table does not hold whole numbers: m"),
        ({"table": table([1.0]).assign(n_components=None)}, "'n_components' of the table does not hold whole numbers"),
    ],
)
def test_refusals(given: dict, match: str) -> None:
    with pytest.raises((TypeError, ValueError), match=match):
        SearchDisplay.from_results(**{"table": table([1.0, 2.0]), **given})
    with pytest.raises(TypeError, match="expected a fitted MFASearch, got MFA"):
        SearchDisplay.from_estimator(small().set_params(n_components=1).fit(X))


def test_a_candidate_without_a_value_and_one_split() -> None:
    display = SearchDisplay.from_results(table([np.nan, -5.0, -6.0]))
    assert (display.best_, display.one_standard_error_) == (1, 1)
    search = MFASearch(small(), (1, 2), (1,), criterion="likelihood", cv=ShuffleSplit(1, random_state=0)).fit(X)
    assert search.results_["likelihood_sem"].isna().all()
    display = SearchDisplay.from_estimator(search)
    assert display.best_ == search.best_index_ and display.one_standard_error_ is None
    display.figure_.canvas.draw()
    SearchDisplay.from_results(table([-5.0, -6.0]).drop(columns="n_parameters")).figure_.canvas.draw()
