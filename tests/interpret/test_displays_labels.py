"""Which names are written into a picture, and that none covers another."""

from __future__ import annotations

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from mfa_sklearn.interpret._displays.labels import choose_labels, label_names, write_labels


def test_a_name_comes_once_for_each_of_its_clusters() -> None:
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(300, 2)), rng.normal(size=(40, 2)) + 100
    places = np.concatenate([near, far, [[50.0, 0]]])
    names = np.array(["the"] * 340 + ["a"])
    chosen = choose_labels(places, names, 10)
    assert sorted(names[chosen]) == ["a", "the", "the"]
    middles = sorted(places[i, 0] for i in chosen if names[i] == "the")
    assert abs(middles[0]) < 1 and abs(middles[1] - 100) < 1


def test_no_more_names_than_asked_for_and_none_without_text() -> None:
    places = np.random.default_rng(0).normal(size=(900, 2))
    names = np.array([f"n{i % 300}" for i in range(900)])
    names[:3] = ""
    chosen = choose_labels(places, names, 25)
    assert len(chosen) == len(set(names[chosen])) == 25 and "" not in names[chosen]
    assert choose_labels(places, names, 0).tolist() == choose_labels(places[:0], names[:0], 5).tolist() == []
    assert choose_labels(places[:2], np.array(["", ""]), 5).tolist() == []


@pytest.mark.parametrize("kind", ["plain", "part of a figure", "logarithmic", "equal"])
def test_names_do_not_overlap_on_any_axes(kind: str) -> None:
    figure = plt.figure(figsize=(5, 4))
    part = figure.subfigures(1, 2, width_ratios=[1, 4])[1] if kind == "part of a figure" else figure
    ax = part.add_subplot(aspect="equal" if kind == "equal" else "auto")
    points = np.exp(np.random.default_rng(1).uniform(-1, 1, size=(400, 2)))
    ax.scatter(*points.T, s=2)
    if kind == "logarithmic":
        ax.set(xscale="log", yscale="log")
    figure.draw_without_rendering()
    names = [f"name {i}" for i in range(25)]
    texts = write_labels(ax, points[:25], names, avoid=points)
    figure.canvas.draw()
    boxes = np.array([Text.get_window_extent(text).extents for text in texts])
    assert len(boxes) >= 15
    overlap = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    area = np.prod(np.maximum(overlap, 0), axis=-1)
    np.fill_diagonal(area, 0)
    assert area.max() < 1


def test_names_keep_clear_of_what_stands_in_the_axes() -> None:
    figure, ax = plt.subplots()
    points = np.random.default_rng(0).uniform(size=(60, 2))
    ax.scatter(*points.T)
    legend = ax.legend(["points"], loc="center")
    figure.draw_without_rendering()
    texts = write_labels(ax, points[:20], ["word"] * 20, keep_clear=legend)
    figure.canvas.draw()
    taken = legend.get_window_extent()
    assert texts and not any(Text.get_window_extent(text).overlaps(taken) for text in texts)


def test_nothing_is_printed_where_nothing_finds_room(capsys: pytest.CaptureFixture[str]) -> None:
    figure, ax = plt.subplots(figsize=(0.3, 0.3))
    figure.draw_without_rendering()
    assert write_labels(ax, np.array([[0.5, 0.5]]), ["a very long name"]) == []
    assert write_labels(ax, np.zeros((0, 2)), []) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("setting", ["figure.constrained_layout.use", "figure.autolayout"])
def test_layouts_that_users_ask_of_all_figures_do_not_matter(setting: str) -> None:
    points = np.random.default_rng(0).uniform(size=(30, 2))
    places = []
    for wanted in (False, True):
        with plt.rc_context({setting: wanted}):
            figure, ax = plt.subplots(layout="none")
            ax.scatter(*points.T)
            figure.draw_without_rendering()
            texts = write_labels(ax, points[:10], ["word"] * 10)
            places.append([text.get_position() for text in texts])
    np.testing.assert_allclose(*places)


def test_specks_are_put_in_quotes() -> None:
    assert label_names([".", "the", "", "."], str).tolist() == ["\u201c.\u201d", "the", "", "\u201c.\u201d"]


def test_missing_textalloc_is_explained() -> None:
    code = (
        "import sys; sys.modules['textalloc'] = None\n"
        "import matplotlib; matplotlib.use('agg'); from matplotlib import pyplot; import numpy as np\n"
        "from mfa_sklearn.interpret._displays.labels import write_labels\n"
        "write_labels(pyplot.subplots()[1], np.zeros((1, 2)), ['a'], asker='SubspaceDisplay')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "SubspaceDisplay needs textalloc: pip install 'mfa-sklearn[plot]'" in result.stderr
