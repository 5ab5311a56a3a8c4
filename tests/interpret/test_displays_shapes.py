"""Sizes of figures, grounds of density, histograms and what lies in front."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from mfa_sklearn.interpret._displays.shapes import (
    density,
    figure_size,
    fit_axes,
    histogram_below,
    projected,
    without_strays,
)


def test_figures_have_the_shape_of_their_points() -> None:
    points = np.random.default_rng(0).uniform(size=(50, 2))
    _, options = figure_size(points, 2, False)
    assert options == {"aspect": "equal", "adjustable": "datalim"}
    assert figure_size(points * [1, 0.5], 2, False)[0][1] < figure_size(points, 2, False)[0][1]
    assert figure_size(points * [1, 1e-3], 2, False)[1] == {}  # one scale would leave a line
    assert figure_size(points[:0], 2, True)[0][0] > figure_size(points, 2, False)[0][0]
    assert figure_size(np.zeros((3, 3)), 3, False)[1] == {"projection": "3d"}


def test_density_counts_points_and_is_no_vector_drawing() -> None:
    ax = plt.subplots()[1]
    points = np.random.default_rng(0).normal(size=(5000, 2))
    density(ax, np.concatenate([points, [[np.nan, 0]]]))
    (cells,) = ax.collections
    counts = cells.get_array()
    assert cells.get_rasterized() and counts.min() >= 4 and 2500 < counts.sum() <= 5000
    density(ax, points[:0])
    density(ax, np.zeros((9, 2)))
    assert len(ax.collections) == 1


def test_histogram_stands_below_the_points() -> None:
    ax = plt.subplots()[1]
    values = np.random.default_rng(0).normal(size=200)
    ax.scatter(values, np.linspace(1, 2, 200))
    histogram_below(ax, values)
    tops, edges, base = ax.patches[0].get_data()
    counts = np.histogram(values, edges)[0]
    np.testing.assert_allclose((tops - base) / (tops - base).max(), counts / counts.max())
    assert tops.max() < 1 and min(ax.get_yticks()) > tops.max() - 0.1
    histogram_below(ax, values[:1])
    assert len(ax.patches) == 1


def test_what_is_nearer_to_the_eye_is_darker() -> None:
    ax = plt.figure().add_subplot(projection="3d")
    points = np.array([[0.0, 0, 0], [1, 1, 1], [0, 1, 0.5]])
    ax.scatter(*points.T)
    ax.view_init(0, 0)  # looking along x, from its positive side
    plt.gcf().draw_without_rendering()
    flat, nearness = projected(ax, points)
    assert flat.shape == (3, 2) and nearness is not None
    assert nearness[1] == 1 and nearness.min() == 0.35
    assert projected(ax, points[:, :2])[1] is None


def test_a_few_far_strays_are_left_out() -> None:
    points = np.random.default_rng(0).normal(size=(400, 2))
    assert without_strays(points).all()
    points[:3] = [[60, 0], [0, -50], [np.nan, 0]]
    assert np.flatnonzero(~without_strays(points)).tolist() == [0, 1, 2]
    points[:5] = [60, 0]  # more than a hundredth are no strays, but a cluster
    assert without_strays(points).all()
    few = points[5:25].copy()
    few[0] = 60, 0
    assert np.flatnonzero(~without_strays(few)).tolist() == [0]
    assert without_strays(few[:10]).all()  # of so few nobody can say
    assert without_strays(np.zeros((50, 2))).all() and without_strays(points[:0]).shape == (0,)


def test_axes_fit_their_points_whatever_else_is_drawn() -> None:
    ax = plt.subplots()[1]
    points = np.array([[0.0, 1], [2, 5]])
    ax.scatter([100], [100])
    fit_axes(ax, points)
    ax.figure.canvas.draw()
    np.testing.assert_allclose([*ax.get_xlim(), *ax.get_ylim()], [-0.1, 2.1, 0.8, 5.2])
