"""The picture says what the table says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mfa_sklearn.steering import SteeringDisplay

pyplot = pytest.importorskip("matplotlib.pyplot")


def make_table(n_arms: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    lines = [("none", 0.0, c, h, 0.0, 0.05) for c in "abc" for h in ("choose", "judge")]
    for arm in range(n_arms):
        for strength in (1.0, 2.0, 4.0):
            for concept in "abc":
                for half in ("choose", "judge"):
                    lines.append((f"arm_{arm}$", strength, concept, half, strength * rng.uniform(), rng.uniform()))
    table = pd.DataFrame(lines, columns=["arm", "strength", "concept", "half", "collateral", "share_next"])
    return table.assign(layer=1, site="residual", select="prompt")


def test_lines_are_medians_along_strengths() -> None:
    table = make_table()
    display = SteeringDisplay.from_table(table, band=True)
    assert list(display.lines_) == ["arm_0$", "arm_1$"]
    rows = table[(table["arm"] == "arm_1$") & (table["half"] == "judge")].groupby("strength")
    np.testing.assert_allclose(display.lines_["arm_1$"].get_xdata(), rows["collateral"].median())
    np.testing.assert_allclose(display.lines_["arm_1$"].get_ydata(), rows["share_next"].median())
    assert display.ax_.get_xscale() == "log" and display.ax_.get_yscale() == "linear"
    legend = [text.get_text() for text in display.figure_.legends[0].get_texts()]
    assert legend == ["arm_0$", "arm_1$", "unsteered"]
    display.figure_.canvas.draw()


def test_arms_can_be_told_apart_without_color() -> None:
    display = SteeringDisplay.from_table(make_table(16))
    looks = {(line.get_linestyle(), line.get_marker(), str(line._dash_pattern)) for line in display.lines_.values()}
    assert len(looks) == 16


def test_it_draws_where_it_is_told_and_what_is_asked() -> None:
    _, ax = pyplot.subplots()
    display = SteeringDisplay(make_table(), half="choose").plot(ax=ax, arms=["arm_1$"])
    assert display.ax_ is ax and display.figure_ is ax.figure and list(display.lines_) == ["arm_1$"]


def test_columns_of_ones_own_have_linear_axes_and_their_names() -> None:
    table = make_table().rename(columns={"collateral": "nats $lost$", "share_next": "nearest"})
    display = SteeringDisplay.from_table(table, x="nats $lost$", y="nearest")
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == "linear"
    assert display.ax_.get_ylabel() == "nearest"
    assert not display.ax_.xaxis.label.get_parse_math()  # a name is no formula
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"table": make_table().drop(columns="half")}, r"has no columns \['half'\]"),
        ({"table": pd.concat([make_table(), make_table().assign(layer=2)])}, "the table is of 2 places"),
        ({"x": "kl"}, "x='kl' is unknown; choose one of 'share_next', 'collateral'"),
        ({"half": "both"}, "half='both' is unknown"),
        ({"arms": ["x"]}, "arms='x' is unknown"),
    ],
)
def test_what_cannot_be_drawn_is_refused(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SteeringDisplay.from_table(**{"table": make_table(), **given})


def test_a_figure_has_room_for_the_name_of_each_arm() -> None:
    lines = [(f"arm {number}", 1, 0.1, number / 40) for number in range(40)]
    table = pd.DataFrame(lines, columns=["arm", "strength", "collateral", "share_next"])
    table = table.assign(layer=0, site="residual", select="prompt", concept="river", half="judge")
    figure = SteeringDisplay.from_table(table).figure_
    figure.canvas.draw()
    legend, axes = figure.axes[0].get_legend().get_window_extent(), figure.axes[0].get_window_extent()
    assert legend.height < figure.bbox.height and axes.height > 0.5 * figure.bbox.height
