"""Pictures of densities: what is drawn integrates to one, and stands where the rows are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from mixture_cases import X_MADE, exact, quick
from sklearn.cluster import KMeans

from mfa_sklearn import MFA, DensityDisplay
from mfa_sklearn.mixture._displays.marginal import marginal

pyplot = pytest.importorskip("matplotlib.pyplot")


def legend(display: DensityDisplay) -> list[str]:
    (found,) = display.figure_.legends
    return [text.get_text() for text in found.get_texts()]


@pytest.mark.parametrize("given", [{}, {1: 0.5, 4: -1.0}])
def test_one_column_is_a_curve(given: dict) -> None:
    mfa = quick()
    display = DensityDisplay.from_estimator(mfa, 2, given=given, X=X_MADE)
    (grid,) = display.grid_
    assert np.trapezoid(display.values_, grid) == pytest.approx(1, abs=3e-3)
    np.testing.assert_allclose(display.values_, marginal(mfa, [2], given).pdf(grid[:, None]))
    assert legend(display)[0] == ("all rows" if given else "rows") and ("given nothing" in legend(display)) == bool(
        given
    )
    title = display.ax_.get_title()
    assert title == ("given column 1 = 0.5, column 4 = -1" if given else "")
    display.figure_.canvas.draw()


def test_components_add_up_to_the_density() -> None:
    display = DensityDisplay.from_estimator(quick(), 0)
    *components, whole = display.ax_.get_lines()
    np.testing.assert_allclose(sum(line.get_ydata() for line in components), whole.get_ydata(), rtol=1e-9)
    assert len(components) == 3 and legend(display) == ["components", "density"]
    some = DensityDisplay.from_estimator(quick(), 0, n_components=1)
    assert len(some.ax_.get_lines()) == 2 and "the heaviest component" in legend(some)
    assert legend(DensityDisplay.from_estimator(quick(), 0, n_components=0)) == ["density"]


@pytest.mark.parametrize("given", [{}, {1: 0.5}])
def test_two_columns_are_contours_over_points(given: dict) -> None:
    mfa = quick()
    display = DensityDisplay.from_estimator(mfa, [4, 2], given=given, X=X_MADE)
    x, y = display.grid_
    assert np.trapezoid(np.trapezoid(display.values_, x, axis=1), y) == pytest.approx(1, abs=6e-3)
    at = marginal(mfa, [4, 2], given).pdf(np.array([[x[50], y[70]]]))
    assert display.values_[70, 50] == pytest.approx(at[0])
    points = display.ax_.collections[0].get_offsets()
    np.testing.assert_array_equal(points, X_MADE[:, [4, 2]])
    assert display.ax_.get_xlabel() == "column 4" and display.ax_.get_ylabel() == "column 2"
    display.figure_.canvas.draw()


def test_ellipses_hold_nine_tenths_of_their_component() -> None:
    mfa, *_ = exact("UUU", (2, 4, 1))
    display = DensityDisplay.from_estimator(mfa, [0, 3])
    rng = np.random.default_rng(0)
    for k, ellipse in zip(np.argsort(-mfa.weights_), display.ax_.patches, strict=True):
        covariance = mfa.get_covariance(k)[np.ix_([0, 3], [0, 3])]
        draws = rng.multivariate_normal(mfa.means_[k][[0, 3]], covariance, 4000)
        inside = ellipse.get_patch_transform().inverted().transform(draws)
        assert ((inside**2).sum(1) <= 1).mean() == pytest.approx(0.9, abs=0.02)


def test_names_rows_with_gaps_and_axes_that_are_given() -> None:
    frame = pd.DataFrame(X_MADE, columns=["$a_b", "b\x1b", *"cdef"])
    mfa = quick(frame)
    frame.iloc[:50, 0] = np.nan
    ax = pyplot.figure().add_subplot()
    display = DensityDisplay.from_estimator(mfa, ["$a_b", "c"], given={"b\x1b": 0.0}, X=frame, ax=ax)
    assert display.ax_ is ax and ax.get_legend() is not None and ax.get_xlabel() == "$a_b"
    assert len(ax.collections[0].get_offsets()) == len(frame) - 50
    assert ax.get_title() == "given b\\x1b = 0"
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"features": 9}, "9 is no column of this mixture"),
        ({"features": [0, 1, 2]}, "must name one column, or two"),
        ({"features": []}, "must name one column, or two"),
        ({"features": [1, 1]}, "two different ones"),
        ({"features": 1, "given": {1: 2.0}}, r"names a column twice, or one of features=1"),
        ({"features": 1, "given": {2: np.inf}}, "must hold finite numbers"),
        ({"features": 1, "n_components": -1}, "n_components=-1 must be at least 0"),
        ({"features": 1, "given": [1, 2]}, r"given=\[1, 2\] must be a dict of values by column"),
        ({"features": 1, "given": {2: "x"}}, r"given=\{2: 'x'\} must hold one number for each column"),
        ({"features": 1, "given": {7: 1.0}}, "7 is no column of this mixture"),
        ({"features": 1, "ax": "axes"}, "ax is of type str: give one matplotlib Axes"),
    ],
)
def test_refusals(arguments: dict, match: str) -> None:
    with pytest.raises((TypeError, ValueError), match=match):
        DensityDisplay.from_estimator(quick(), **arguments)
    with pytest.raises(TypeError, match=r"expected a fitted MFA, got KMeans"):
        DensityDisplay.from_estimator(KMeans(2, n_init=1).fit(X_MADE), 1)


@pytest.mark.parametrize("features", [0, [0, 1]])
def test_rows_without_a_value_are_not_drawn(features: object) -> None:
    display = DensityDisplay.from_estimator(quick(), features, X=np.full((4, X_MADE.shape[1]), np.nan))
    display.figure_.canvas.draw()
    assert "rows" not in legend(display)


def test_a_narrow_component_beside_a_wide_one_is_seen() -> None:
    mfa = MFA.from_params([0.4, 0.6], [[0.0, 0], [60, 5]], np.zeros((2, 2, 1)), [[1.0, 1.0], [1e-6, 1e-6]])
    curve = DensityDisplay.from_estimator(mfa, 0)
    assert np.trapezoid(curve.values_, curve.grid_[0]) == pytest.approx(1, abs=0.01)
    display = DensityDisplay.from_estimator(mfa, [0, 1])
    x, y = display.grid_
    assert np.trapezoid(np.trapezoid(display.values_, x, axis=1), y) == pytest.approx(1, abs=0.02)
    (contours,) = display.ax_.collections
    narrow = np.array([60.0, 5.0])
    # Half of the mass is in the narrow component: the innermost contour is around it alone.
    middle = contours.get_paths()[-1].vertices
    assert len(middle) and (np.abs(middle - narrow) < 0.01).all()
