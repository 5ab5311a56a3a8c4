"""The style of all displays: colors measured by what eyes and printers make of them, and texts that do no harm."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from mfa_sklearn._base.plotting import (
    COLORMAP,
    COLORS,
    FAINT,
    INK,
    LINES,
    MARKERS,
    check_axes,
    figure_of,
    makes_room,
    named_legend,
    new_axes,
    number_text,
    series,
    share_text,
    styled,
)

# Machado, Oliveira and Fernandes, IEEE Trans. Vis. Comput. Graph. 15 (2009), severity 1, for linear sRGB.
SEEN_BY = {
    "everybody": np.eye(3),
    "protanopes": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopes": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
# From linear sRGB to XYZ (IEC 61966-2-1).
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colors: Any, seen_by: str = "everybody") -> np.ndarray:
    """CIE L*a*b* (n, 3) of sRGB colors as somebody sees them."""
    values = np.array([to_rgb(color) for color in colors])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(SEEN_BY[seen_by]), 0, 1)
    t = linear @ TO_XYZ.T / TO_XYZ.sum(1)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.column_stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])])


def test_colors_differ_in_gray() -> None:
    """Two grays are told apart from about 2 units of L*; here are 9 between any two, and more among the first."""
    lightness = lab(COLORS)[:, 0]
    for n, least in ((2, 35), (4, 19), (8, 9)):
        assert np.diff(np.sort(lightness[:n])).min() > least
    assert lightness.max() < 90  # white paper has 100


@pytest.mark.parametrize("seen_by", SEEN_BY)
def test_colors_differ_for_the_color_blind(seen_by: str) -> None:
    """By the distance in L*a*b*, of which 2 can just be seen."""
    seen = lab(COLORS, seen_by)
    assert min(np.linalg.norm(seen[i] - seen[j]) for i, j in combinations(range(len(COLORS)), 2)) > 20


def test_markers_and_lines_differ() -> None:
    assert len(COLORS) == len(set(COLORS)) == len(set(map(str, LINES))) == len(LINES)
    assert len(COLORS) <= len(MARKERS) == len(set(MARKERS))
    drawn = series(20)
    assert len({tuple(map(str, options.values())) for options in drawn}) == 20
    assert [options["color"] for options in drawn[:8]] == list(COLORS)


def test_colormap_is_ordered_in_gray() -> None:
    steps = np.diff(lab(matplotlib.colormaps[COLORMAP](np.linspace(0, 1, 20)))[:, 0])
    assert (steps > 0).all() and steps.max() < 1.6 * steps.min()


def test_the_users_settings_stay() -> None:
    before = matplotlib.rcParams.copy()
    figure, ax = new_axes("somebody")
    assert matplotlib.rcParams == before
    assert not ax.spines["top"].get_visible() and figure.get_layout_engine() is not None
    with pytest.raises(RuntimeError), styled():
        raise RuntimeError
    assert matplotlib.rcParams == before


def test_users_can_take_the_style_for_pictures_of_their_own() -> None:
    with matplotlib.style.context("mfa_sklearn.displays"):
        colors = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
        assert [to_hex(color) for color in colors] == list(COLORS)
        assert to_hex(matplotlib.rcParams["text.color"]) == INK and to_hex(matplotlib.rcParams["xtick.color"]) == FAINT
        assert matplotlib.rcParams["image.cmap"] == COLORMAP


def test_letters_follow_the_users_size() -> None:
    with matplotlib.rc_context({"font.size": 5}):
        _, ax = new_axes("somebody")
        assert ax.title.get_fontsize() == 5


def test_figure_of_a_part() -> None:
    figure = plt.figure()
    inner = figure.subfigures(1, 2)[0].subfigures(1, 2)[1].subplots()
    assert figure_of(inner) is figure and figure_of(figure.add_subplot()) is figure


def test_names_in_a_legend_are_drawn_as_they_are() -> None:
    figure, ax = new_axes("somebody")
    names = ["_hidden", "$\\bad{$", "a_b^c", "<script>"]
    legend = named_legend(ax, ax.plot(np.eye(4)), names, title="$\\frac{$")
    figure.canvas.draw()
    assert [text.get_text() for text in legend.get_texts()] == names


@pytest.mark.parametrize(("value", "text"), [(np.nan, "unknown"), (1.0, "100%"), (0.0996, "10%"), (0.0004, "<0.1%")])
def test_shares(value: float, text: str) -> None:
    assert share_text(value) == text


@pytest.mark.parametrize(("value", "text"), [(np.inf, "unknown"), (-0.5, "-0.5"), (1e12, "1e+12"), (999.9, "1,000")])
def test_numbers(value: float, text: str) -> None:
    assert number_text(value) == text


def test_axes_are_given_or_new_ones_are_made() -> None:
    figure = plt.figure()
    flat, deep, round_ = (
        figure.add_subplot(1, 3, i, projection=kind) for i, kind in enumerate([None, "3d", "polar"], 1)
    )
    assert check_axes(None) is None and check_axes(flat) is flat and check_axes(deep, 3) is deep
    for ax, n_dimensions in ((deep, 2), (flat, 3), (round_, 2)):
        with pytest.raises(ValueError, match=f"ax has projection '{ax.name}': for a picture in {n_dimensions} dim"):
            check_axes(ax, n_dimensions)
    for wrong in ("ax", figure, plt.subplots(1, 2)[1]):
        with pytest.raises(TypeError, match=f"ax is of type {type(wrong).__name__}: give one matplotlib Axes"):
            check_axes(wrong)


@pytest.mark.parametrize(("layout", "room"), [(None, False), ("none", False), ("tight", True), ("compressed", True)])
def test_room_beside_axes(layout: str | None, room: bool) -> None:
    assert makes_room(plt.figure(layout=layout).subfigures(1, 2)[0].subplots()) == room
