"""`ComponentMapDisplay`: where components are drawn, how large, in which color and under which name."""

from __future__ import annotations

import sys
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from interpret_fixtures import annotated, mixture

from mfa_sklearn import MFA, ComponentMapDisplay
from mfa_sklearn.interpret import component_map, describe_components


def fitted(n_components: int = 12) -> MFA:
    exact = mixture(4.0, n_components=n_components)
    weights = exact.weights_ / exact.weights_.sum()
    return MFA.from_params(weights, exact.means_, exact.loadings_, exact.noise_variance_)


@pytest.fixture(scope="module")
def rows() -> Any:
    return annotated(mixture(4.0, n_components=12), 400)


def test_points_are_those_of_the_map_with_areas_by_weight() -> None:
    mfa = fitted()
    display = ComponentMapDisplay.from_estimator(mfa, n_clusters=3)
    found = component_map(mfa, n_clusters=3)
    np.testing.assert_allclose(display.scatter_.get_offsets(), found.coordinates)
    sizes = display.scatter_.get_sizes()
    inside = (sizes > sizes.min()) & (sizes < 500)
    np.testing.assert_allclose(sizes[inside] / mfa.weights_[inside], (sizes / mfa.weights_)[inside][0])
    assert len({tuple(color) for color in display.scatter_.get_facecolors()}) == 3
    assert {text.get_text() for text in display.text_} <= {str(k) for k in range(12)}
    display.figure_.canvas.draw()


def test_names_and_colors_from_rows(rows: Any) -> None:
    mfa = fitted()
    table = describe_components(mfa, rows)
    display = ComponentMapDisplay.from_estimator(mfa, rows, color="concept")
    same = ComponentMapDisplay.from_estimator(mfa, table=table, color="concept")
    assert [text.get_text() for text in display.text_] == [text.get_text() for text in same.text_]
    said = [text.get_text() for text in display.legend_.get_texts()]
    assert {line.rsplit(" (", 1)[0] for line in said} <= {*table["concept"].dropna(), "(none)"}
    bar = ComponentMapDisplay.from_estimator(mfa, table=table, color="spread")
    assert bar.legend_ is None and bar.colorbar_.ax.get_ylabel() == "spread"
    values = ComponentMapDisplay.from_estimator(mfa, color=np.linspace(0, 1, 12))
    assert values.colorbar_ is not None
    clusters = ComponentMapDisplay.from_estimator(mfa, table=table, n_clusters=2).legend_.get_texts()
    assert [text.get_text()[:3] for text in clusters] == ["0: ", "1: "]


def test_draws_on_given_axes_again_and_without_names() -> None:
    ax = plt.subplots()[1]
    display = ComponentMapDisplay.from_estimator(fitted(), ax=ax, max_labels=0)
    assert display.ax_ is ax and display.text_ == []
    assert display.plot(max_labels=3, scatter_kwargs={"alpha": 0.2}).ax_ is not ax
    assert len(display.text_) <= 3


def test_names_do_no_harm() -> None:
    mfa = fitted(3)
    names = ["$\\bad{$", "_x", "<script>"]
    display = ComponentMapDisplay(component_map(mfa), mfa.weights_, names=names, color=np.array(names)).plot()
    display.figure_.canvas.draw()
    assert {text.get_text() for text in display.text_} == set(names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"color": "hue"}, r"color='hue'.*'cluster', 'weight'.*give activations"),
        ({"color": [1.0, 2.0]}, r"color has shape \(2,\) for a map of 12 components"),
        ({"max_labels": -1}, "max_labels=-1"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ComponentMapDisplay.from_estimator(fitted(), **arguments)


def test_a_table_of_other_components_is_refused(rows: Any) -> None:
    table = describe_components(fitted(), rows)
    for wrong in (table.iloc[:5], table.sort_values("size", kind="stable").iloc[::-1]):
        with pytest.raises(ValueError, match=r"table has \d+ lines, not those of the components 0 to 11"):
            ComponentMapDisplay.from_estimator(fitted(), table=wrong)


def test_what_does_not_fit_the_map_is_refused() -> None:
    mfa = fitted(4)
    found = component_map(mfa)
    for arguments, message in (
        ({"weights": [1.0]}, r"weights has shape \(1,\) for a map of 4"),
        ({"weights": mfa.weights_, "names": ["a"]}, "names holds 1 entries for a map of 4"),
        ({"weights": mfa.weights_, "color": "concept"}, "color='concept' is unknown of a map alone"),
    ):
        with pytest.raises(ValueError, match=message):
            ComponentMapDisplay(found, **arguments).plot()


@pytest.mark.parametrize("package", ["matplotlib.pyplot", "textalloc"])
def test_what_is_missing_is_said_before_work(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("mfa_sklearn.interpret._displays.component_map.component_map", None)
    with pytest.raises(ImportError, match=r"ComponentMapDisplay needs (matplotlib|textalloc): pip install"):
        ComponentMapDisplay.from_estimator(fitted())
