"""A component's subspace as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.checks import check_component, check_count, import_optional
from ._inputs import check_mixture
from ._project import Projection, project
from ._text import label_text, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox
    from numpy.typing import ArrayLike

    from ..activations import ActivationStore, StoredActivations
    from ..mixture import MFA

_FONT_SIZE = 6.5
# Between a point and its label, in points.
_GAP = 1.5
# Labels that get a color and a line in the legend; the rest share a gray.
_MAX_COLORS = 9
_MAX_CHARACTERS = 24
# Points to choose labels among; picking them costs this many times the number of labels.
_POOL = 5_000


class SubspaceDisplay:
    """Rows of a component, drawn by their coordinates along one, two or three of its factors.

    Make one with `from_estimator`, or from a `Projection`.

    Parameters
    ----------
    projection : Projection
        What `project` returns.
    factors : int or sequence of 1 to 3 int, optional
        Which coordinates to draw; by default the first two, or the only one there is. One is drawn against the rows'
        `residuals`, how far they lie from the subspace; three make a picture in three dimensions.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatter_ : PathCollection
        One point per row, in the order of the projection.
    text_ : list of Text
        The tokens that are written out.
    legend_ : Legend or None
        Of the labels' colors.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA, SubspaceDisplay
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> display = SubspaceDisplay.from_estimator(MFA(1, 2, tol=1e-2).fit(X), X, component=0, factors=(0, 1))
    >>> len(display.scatter_.get_offsets())
    200
    """

    ax_: Axes
    figure_: Figure
    scatter_: PathCollection
    text_: list[Text]
    legend_: Legend | None

    def __init__(self, projection: Projection, *, factors: int | Sequence[int] | None = None) -> None:
        self.projection = projection
        self.factors = factors

    @classmethod
    def from_estimator(
        cls,
        mfa: MFA,
        activations: ArrayLike | ActivationStore | StoredActivations,
        component: int,
        *,
        factors: int | Sequence[int] | None = None,
        axes: str = "factors",
        rows: ArrayLike | None = None,
        threshold: float | None = None,
        tokens: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        max_labels: int = 250,
        ax: Axes | None = None,
        scatter_kwargs: dict[str, Any] | None = None,
        text_kwargs: dict[str, Any] | None = None,
    ) -> SubspaceDisplay:
        """Project a component's rows and draw them.

        Parameters
        ----------
        mfa, activations, component, rows, threshold, axes, tokens, labels
            As for `project`.
        factors : int or sequence of 1 to 3 int, optional
            As for the class.
        max_labels, ax, scatter_kwargs, text_kwargs
            As for `plot`.

        Returns
        -------
        SubspaceDisplay

        Raises
        ------
        ValueError
            If the mixture has no factors, or an argument is out of range.
        """
        component = check_component(component, check_mixture(mfa))
        _chosen_factors(factors, np.asarray(mfa.loadings_[component]))
        found = project(
            mfa, activations, component, rows=rows, threshold=threshold, axes=axes, tokens=tokens, labels=labels
        )
        display = cls(found, factors=factors)
        return display.plot(ax=ax, max_labels=max_labels, scatter_kwargs=scatter_kwargs, text_kwargs=text_kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        max_labels: int = 250,
        scatter_kwargs: dict[str, Any] | None = None,
        text_kwargs: dict[str, Any] | None = None,
    ) -> SubspaceDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where; by default a new figure. Three factors need one with ``projection="3d"``.
        max_labels : int, default=250
            Most tokens to write out. They are chosen to be spread over the picture and not to overlap, so there may be
            fewer.
        scatter_kwargs, text_kwargs : dict, optional
            For ``ax.scatter`` and ``ax.text``, on top of the defaults.

        Returns
        -------
        self
        """
        check_count("max_labels", max_labels, 0)
        chosen = _chosen_factors(self.factors, self.projection.directions)
        points = self._points(chosen)
        axes = _axes_for(len(chosen), ax)
        self.ax_, self.figure_ = axes, axes.get_figure()
        colors, key = _colors(self.projection.labels)
        options = {"s": _marker_size(len(points)), "c": colors, "linewidths": 0, **(scatter_kwargs or {})}
        if "color" in options or "facecolors" in options:
            options.pop("c")
        self.scatter_ = self.ax_.scatter(*points.T, **options)
        self._annotate_axes(chosen)
        # A figure of our own has room for the legend beside it; in another's, that is where the next axes are.
        beside = {"loc": "upper left", "bbox_to_anchor": (1.01 if points.shape[1] == 2 else 1.12, 1)}
        self.legend_ = _legend(self.ax_, key, beside if ax is None else {}) if key else None
        self.text_ = self._write_tokens(points, max_labels, text_kwargs or {})
        return self

    def _points(self, factors: list[int]) -> np.ndarray:
        """Where to draw each row, (n, 2) or (n, 3)."""
        along = self.projection.coordinates[:, factors]
        if len(factors) > 1:
            return along
        if self.projection.residuals is None:
            raise ValueError("one factor is drawn against the rows' residuals, which this Projection does not hold")
        return np.column_stack([along, self.projection.residuals])

    def _annotate_axes(self, factors: list[int]) -> None:
        found, noun = self.projection, {"factors": "factor", "principal": "axis"}[self.projection.axes]
        for dimension, j in zip("xyz", factors, strict=False):
            share = f"  ({found.energy[j]:.1%} of variance)" if np.isfinite(found.energy[j]) else ""
            self.ax_.set(**{f"{dimension}label": f"{noun} {j}{share}"})
        if len(factors) == 1:
            self.ax_.set_ylabel("distance from the subspace\n(root mean square, in noise standard deviations)")
        title = f"component {found.component}: {len(found):,} row{'s' * (len(found) != 1)}"
        if np.isfinite(found.captured_energy):
            title += f", {found.captured_energy:.0%} of variance in its subspace"
        if not len(found):
            place: dict[str, Any] = {"xycoords": "axes fraction", "ha": "center"}
            self.ax_.annotate("no rows belong to this component", (0.5, 0.5), **place)
        self.ax_.set_title(title, fontsize="medium")
        self.ax_.grid(True, alpha=0.25, linewidth=0.5)
        self.ax_.set_axisbelow(True)

    def _write_tokens(self, points: np.ndarray, max_labels: int, text_kwargs: dict[str, Any]) -> list[Text]:
        tokens = self.projection.tokens
        if tokens is None or not max_labels or not len(points):
            return []
        options = {"fontsize": _FONT_SIZE, "alpha": 0.9, "parse_math": False, "usetex": False, "clip_on": True}
        options.update(text_kwargs)
        places, frame = _in_pixels(self.ax_, points)
        names = [_shorten(label_text(token)) for token in tokens]
        sizes = _text_sizes(names, options["fontsize"], self.figure_.dpi)
        # Labels stand to the right of their points, but to the left where they would leave the picture.
        gap = _GAP * self.figure_.dpi / 72
        left = places[:, 0] + sizes[:, 0] + gap > frame.x1
        places[:, 0] += np.where(left, -gap - sizes[:, 0], gap)
        chosen = spread_out(places, sizes, max_labels)
        sides = {side: {"ha": side, **self._beside(sign), **options} for side, sign in (("left", 1), ("right", -1))}
        axes: Any = self.ax_  # in three dimensions a text has three coordinates
        return [axes.text(*points[i], names[i], **sides["right" if left[i] else "left"]) for i in chosen]

    def _beside(self, sign: int) -> dict[str, Any]:
        """Moves a text off its point; in three dimensions matplotlib places texts itself."""
        if self.ax_.name == "3d":
            return {}
        from matplotlib.transforms import offset_copy

        moved = offset_copy(self.ax_.transData, self.figure_, x=sign * _GAP, y=_GAP, units="points")
        return {"transform": moved}


def _chosen_factors(factors: int | Sequence[int] | None, directions: np.ndarray) -> list[int]:
    """The factors to draw, of those with the directions (D, q); a direction of zeros belongs to no factor."""
    lengths, n_factors = np.linalg.norm(directions, axis=0), directions.shape[1]
    own = np.flatnonzero(lengths > 1e-12 * lengths.max(initial=0)).tolist()
    if not own:
        raise ValueError(
            "this component has no factors (n_factors=0), so there is no subspace to draw: "
            "fit a mixture with n_factors=1 or more"
        )
    if factors is None:
        return own[:2]
    chosen = [index(j) for j in (factors if isinstance(factors, Iterable) else [factors])]
    if not 1 <= len(chosen) <= 3 or len(set(chosen)) != len(chosen):
        raise ValueError(f"factors={factors!r} must name one, two or three different factors")
    for j in chosen:
        if not 0 <= j < n_factors:
            known = f"there are factors 0 to {n_factors - 1}" if n_factors > 1 else "there is factor 0 alone"
            raise ValueError(f"factors={factors!r}: factor {j} is out of range; {known}")
    return chosen


def _axes_for(n_factors: int, ax: Any) -> Any:
    """The given axes if that many factors can be drawn there, else new ones; two factors have one scale."""
    if ax is None:
        pyplot = import_optional("matplotlib.pyplot", "SubspaceDisplay")
        kinds = {2: {"aspect": "equal", "adjustable": "datalim"}, 3: {"projection": "3d"}}
        return pyplot.subplots(figsize=(9, 6), subplot_kw=kinds.get(n_factors), layout="constrained")[1]
    if (ax.name == "3d") != (n_factors == 3):
        raise ValueError(
            f"ax has projection {ax.name!r}, but {n_factors} factor{'s' * (n_factors > 1)} to draw; three need "
            "plt.subplots(subplot_kw={'projection': '3d'}), fewer a plain one"
        )
    return ax


def _colors(labels: np.ndarray | None) -> tuple[Any, list[tuple[str, Any]]]:
    """A color per row, and the legend: the most frequent labels, then what is left."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba

    if labels is None or not len(labels):
        return [to_rgba("C0", 0.5)], []
    shown_as = ["(no label)" if label is None else str(label) for label in labels]
    names, codes, counts = np.unique(shown_as, return_inverse=True, return_counts=True)
    palette = colormaps["tab10"]([0, 1, 2, 3, 4, 5, 6, 8, 9, 7], alpha=[*[0.7] * _MAX_COLORS, 0.25])
    rank = np.empty(len(names), dtype=int)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(names))
    shown = np.argsort(rank)[:_MAX_COLORS]
    key = [(f"{_shorten(visible(names[i]))} ({counts[i]:,})", palette[rank[i]]) for i in shown]
    if len(names) > _MAX_COLORS:
        key.append((f"{len(names) - _MAX_COLORS} others ({len(labels) - counts[shown].sum():,})", palette[-1]))
    return palette[np.minimum(rank[codes], _MAX_COLORS)], key


def _marker_size(n_points: int) -> float:
    """Smaller the more points there are, so that thousands do not become one blot."""
    return float(np.clip(14 * np.sqrt(1000 / max(n_points, 1)), 2, 14))


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_CHARACTERS else name[: _MAX_CHARACTERS - 1] + "…"


def _legend(ax: Axes, key: list[tuple[str, Any]], place: dict[str, Any]) -> Legend:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], marker="o", linestyle="", color=color, markersize=5) for _, color in key]
    legend = ax.legend(handles, [" "] * len(key), fontsize="small", framealpha=0.8, handletextpad=0.1, **place)
    for text, (label, _) in zip(legend.get_texts(), key, strict=True):
        # Set afterwards: a label may hold dollars, or start with the underscore that would hide it.
        text.set(parse_math=False, usetex=False, text=label)
    return legend


def _in_pixels(ax: Any, points: np.ndarray) -> tuple[np.ndarray, Bbox]:
    """Where points appear on the canvas, (n, 2), and the frame of the axes there."""
    ax.get_figure().draw_without_rendering()
    if points.shape[1] == 3:
        from mpl_toolkits.mplot3d.proj3d import proj_transform

        points = np.column_stack(proj_transform(*points.T, ax.get_proj())[:2])
    return ax.transData.transform(points), ax.bbox


def _text_sizes(names: list[str], fontsize: Any, dpi: float) -> np.ndarray:
    """Widths and heights of texts in pixels, (n, 2), by the number of their characters."""
    from matplotlib.font_manager import FontProperties

    em = FontProperties(size=fontsize).get_size_in_points() * dpi / 72
    widths = 0.62 * em * np.array([len(name) for name in names]) + 2
    return np.column_stack([widths, np.full(len(names), 1.1 * em)])


def spread_out(places: np.ndarray, sizes: np.ndarray, n_most: int) -> list[int]:
    """Choose points that lie far from each other and whose labels do not overlap.

    Points are taken farthest first (Gonzalez, Theoretical Computer Science 38, 1985), so that the first few already
    cover the picture; one whose box would overlap that of an earlier choice is skipped.

    Parameters
    ----------
    places : ndarray of shape (n, 2)
        Lower left corners of the boxes.
    sizes : ndarray of shape (n, 2)
        Widths and heights of the boxes.
    n_most : int

    Returns
    -------
    list of int

    Examples
    --------
    >>> import numpy as np
    >>> spread_out(np.array([[0.0, 0], [1, 0], [9, 0], [5, 0]]), np.full((4, 2), 2.0), 3)
    [0, 2, 3]
    """
    pool = np.arange(len(places))
    if len(pool) > _POOL:
        pool = np.sort(np.random.RandomState(0).choice(len(places), _POOL, replace=False))
    corners, boxes = places[pool], sizes[pool]
    free = np.ones(len(pool), dtype=bool)
    distance = np.full(len(pool), np.inf)
    chosen: list[int] = []
    while free.any() and len(chosen) < n_most:
        i = int(np.where(free, distance, -1).argmax())
        chosen.append(i)
        distance = np.minimum(distance, np.square(corners - corners[i]).sum(1))
        apart = (corners >= corners[i] + boxes[i]) | (corners + boxes <= corners[i])
        free &= apart.any(1)
        free[i] = False
    return [int(pool[i]) for i in chosen]
