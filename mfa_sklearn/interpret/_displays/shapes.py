"""How large a picture is, where its points are many, and what lies in front."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._base.plotting import DENSITY_COLORMAP, OTHERS, PAGE_WIDTH

# Widths of the axes of a picture without and with a legend beside it, in inches.
_WIDTH, _LEGEND = 5.6, 1.7
# Data of these ratios of height to width are drawn with one scale for both axes.
_FLATTEST, _TALLEST = 0.4, 1.15
_HISTOGRAM = 0.14
# The most rows, as a share, that axes may leave out, and what must be left of the length of one of them.
_MOST_STRAYS, _WORTH = 0.01, 0.6
_FEWEST_ROWS = 20
# Points in a cell of the ground for it to be shaded.
_FEWEST = 4


def figure_size(points: np.ndarray, n_factors: int, has_legend: bool) -> tuple[tuple[float, float], dict[str, Any]]:
    """The size of a figure that the points fill, in inches, and what to ask of its axes."""
    width = PAGE_WIDTH if has_legend else _WIDTH
    if n_factors == 3:
        return (width, 5.2), {"projection": "3d"}
    spans = np.ptp(points, axis=0) if len(points) else np.ones(2)
    ratio = spans[1] / spans[0] if n_factors == 2 and (spans > 0).all() else 0.7
    options = {"aspect": "equal", "adjustable": "datalim"} if n_factors == 2 and _FLATTEST <= ratio <= _TALLEST else {}
    inner = width - 0.7 - (_LEGEND if has_legend else 0)
    return (width, inner * float(np.clip(ratio, 0.62, 1.0)) + 1.1), options


def without_strays(points: np.ndarray) -> np.ndarray:
    """Which points (n,) axes are to be fitted to: all but for a few that are so far away that the rest is squeezed.

    Strays are those beyond the widest gap among the farthest hundredth; distances are in the width of the bulk.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(100, 2))
    >>> points[7] = 40.0, 0.0
    >>> np.flatnonzero(~without_strays(points))
    array([7])
    """
    near = np.isfinite(points).all(1)
    if near.sum() < _FEWEST_ROWS:
        return near
    known = points[near]
    low, middle, high = np.quantile(known, [0.1, 0.5, 0.9], axis=0)
    if not (high > low).all():
        return near
    off = (np.abs(known - middle) / (high - low)).max(1)
    farthest = np.sort(off)[-max(1, int(_MOST_STRAYS * len(known))) - 1 :]
    kept = off <= farthest[(farthest[1:] / farthest[:-1]).argmax()]
    if (np.ptp(known[kept], axis=0) > _WORTH * np.ptp(known, axis=0)).all():
        return near
    near[near] = kept
    return near


def fit_axes(ax: Any, points: np.ndarray) -> None:
    """Limits that hold these points, whatever was drawn before."""
    ax.dataLim.update_from_data_xy(points, ignore=True)
    ax.autoscale_view()


def mark_size(ax: Any, n_points: int) -> float:
    """The area of a point's mark, in points squared: smaller the more there are, and in small axes."""
    width = ax.get_window_extent().width / ax.figure.dpi
    return float(np.clip(24 * np.sqrt(150 / max(n_points, 1)), 5, 24) * np.clip(width / 4.5, 0.4, 1))


def density(ax: Any, points: np.ndarray) -> None:
    """Shade the ground by how many points there are, on a logarithmic scale."""
    known = points[np.isfinite(points).all(1)]
    if len(known) and (np.ptp(known, axis=0) > 0).all():
        n_bins = int(np.clip(np.sqrt(len(known)) / 1.2, 20, 60))
        ax.hexbin(
            *known.T, gridsize=n_bins, bins="log", mincnt=_FEWEST, cmap=DENSITY_COLORMAP, alpha=0.6, linewidths=0.2,
            edgecolors="face", zorder=0.5, rasterized=True,
        )  # fmt: skip


def histogram_below(ax: Any, values: np.ndarray) -> None:
    """How the values spread along the first axis, at the foot of the picture."""
    known = values[np.isfinite(values)]
    if len(known) < 2 or not np.ptp(known) > 0:
        return
    counts, edges = np.histogram(known, bins="auto" if len(known) < 10_000 else 60)
    low, high = ax.get_ylim()
    foot = low - _HISTOGRAM * (high - low) * 1.15
    tops = foot + _HISTOGRAM * (high - low) * counts / counts.max()
    ax.stairs(tops, edges, baseline=foot, fill=True, color=OTHERS, alpha=0.8, linewidth=0)
    ax.set_ylim(foot, high)
    ax.set_yticks([tick for tick in ax.get_yticks() if low <= tick <= high])


def projected(ax: Any, points: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Where points are in the plane of the picture, (n, 2), and in three dimensions how near, from 0.35 to 1."""
    if points.shape[1] == 2:
        return points, None
    from mpl_toolkits.mplot3d.proj3d import proj_transform

    x, y, depth = proj_transform(*points.T, ax.get_proj())
    far = np.asarray(depth, dtype=float)
    nearness = 1 - (far - far.min()) / max(np.ptp(far), 1e-12)
    return np.column_stack([x, y]), 0.35 + 0.65 * nearness
