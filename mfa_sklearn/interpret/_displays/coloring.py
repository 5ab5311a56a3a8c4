"""What colors of points say: a category with a legend, an order, or a quantity with a color bar."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._base.labels import is_missing
from ..._base.plotting import COLORMAP, COLORS, MARKERS, OTHERS, makes_room, named_legend, safe_text, series, short_name

if TYPE_CHECKING:
    from matplotlib.colors import Normalize

# Categories with a color of their own; the rest share a gray.
_MAX_CATEGORIES = 7
# A label with less than this share of the rows says nothing of them.
LEAST_SHARE = 0.1
# Distinct integers that are still told apart one by one.
_MAX_STEPS = 12
_UNKNOWN = "(unknown)"
# So many points of one color lie over each other, and are drawn fainter.
_MANY = 1_500


@dataclass(frozen=True, eq=False)
class Coloring:
    """How to draw n points.

    Attributes
    ----------
    title : str
        What the colors say.
    colors : ndarray of shape (n, 4)
    codes : ndarray of int, shape (n,)
        Which marker each has.
    entries : list of (str, color, marker)
        Of the legend; empty where there is a color bar or nothing to say.
    norm : Normalize or None
        Of the color bar.
    extend : str
        At which ends of the color bar there are values beyond.
    """

    title: str
    colors: np.ndarray
    codes: np.ndarray
    entries: list[tuple[str, Any, str]] = field(default_factory=list)
    norm: Normalize | None = None
    extend: str = "neither"


def coloring(
    values: np.ndarray | None,
    title: str = "",
    n: int = 0,
    missing: str = _UNKNOWN,
    *,
    most: int = _MAX_CATEGORIES,
) -> Coloring:
    """Colors for values, (n,), by what kind of values they are.

    Strings and other things are categories, the `most` frequent with a color and a marker each; integers of a few
    distinct values are steps in the order of the values; other numbers are quantities. What is missing is gray.
    """
    from matplotlib.colors import to_rgba

    if values is None or not len(values):
        faint = 0.6 if n < _MANY else max(0.1, 0.3 * float(np.sqrt(_MANY / n)))
        return Coloring(title, np.tile(to_rgba(COLORS[0], faint), (n, 1)), np.zeros(n, dtype=int))
    numbers = _as_numbers(values)
    if numbers is None:
        return _categories(values, title, missing, most)
    distinct = np.unique(numbers[np.isfinite(numbers)])
    if len(distinct) <= _MAX_STEPS and (distinct == np.round(distinct)).all():
        return _steps(numbers, distinct, title)
    return _quantities(numbers, title)


def worth_coloring(labels: np.ndarray | None) -> bool:
    """Whether colors of labels show something: not where each has only a few of the rows, which would be confetti."""
    if labels is None or not len(labels):
        return False
    if _as_numbers(labels) is not None:
        return True
    counts = Counter(str(label) for label in labels if not is_missing(label))
    return max(counts.values(), default=0) >= LEAST_SHARE * len(labels)


def _as_numbers(values: np.ndarray) -> np.ndarray | None:
    """Floats with NaN for what is missing; None where values are no numbers, or only true and false."""
    if values.dtype.kind in "iuf":
        return values.astype(float)
    if values.dtype.kind != "O":
        return None
    known = [value for value in values if not is_missing(value)]
    if not known or not all(
        isinstance(v, int | float | np.number) and not isinstance(v, bool | np.bool_) for v in known
    ):
        return None
    return np.array([np.nan if is_missing(value) else float(value) for value in values])


def _categories(values: np.ndarray, title: str, missing: str, most: int) -> Coloring:
    from matplotlib.colors import to_rgba

    shown_as = [missing if is_missing(value) else short_name(value) for value in values]
    names, codes, counts = np.unique(shown_as, return_inverse=True, return_counts=True)
    known = names != missing
    order = np.lexsort((-counts, ~known))
    rank = np.argsort(order)
    n_own = min(most, int(known.sum()))
    drawn = series(n_own)
    palette = np.array([*(to_rgba(one["color"], 0.85) for one in drawn), to_rgba(OTHERS, 0.55)])
    markers = np.array([*(MARKERS.index(one["marker"]) for one in drawn), len(MARKERS)])
    kinds = np.minimum(rank, n_own)[codes]
    entries = [(f"{names[i]} ({counts[i]:,})", palette[rank[i]], drawn[rank[i]]["marker"]) for i in order[:n_own]]
    rest = [i for i in order[n_own:] if known[i]]
    left = [(f"{len(rest)} others", rest)] if rest else []
    left += [(missing, list(np.flatnonzero(~known)))] if not known.all() else []
    entries += [(f"{name} ({counts[which].sum():,})", palette[-1], ".") for name, which in left]
    return Coloring(title, palette[kinds], markers[kinds], entries)


def _steps(numbers: np.ndarray, distinct: np.ndarray, title: str) -> Coloring:
    """Few integers, dark to light in their order."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba

    palette = colormaps[COLORMAP](np.linspace(0, 0.92, max(len(distinct), 1)), alpha=0.85)
    known = np.isfinite(numbers)
    place = np.searchsorted(distinct, np.where(known, numbers, distinct[:1] if len(distinct) else 0))
    colors = np.where(known[:, None], palette[np.minimum(place, len(palette) - 1)], to_rgba(OTHERS, 0.55))
    entries = [
        (f"{value:,.0f} ({np.sum(numbers == value):,})", palette[i], MARKERS[i]) for i, value in enumerate(distinct)
    ]
    if not known.all():
        entries.append((f"{_UNKNOWN} ({np.sum(~known):,})", to_rgba(OTHERS, 0.55), "."))
    return Coloring(title, colors, np.where(known, place, len(MARKERS)), entries)


def _quantities(numbers: np.ndarray, title: str) -> Coloring:
    """Numbers on a color bar from the first to the ninety-ninth percentile, so that one stray does not use it up."""
    from matplotlib import colormaps
    from matplotlib.colors import Normalize, to_rgba

    known = np.isfinite(numbers)
    low, high = np.percentile(numbers[known], [1, 99])
    if not high > low:
        low, high = numbers[known].min(), numbers[known].max()
    beyond = (numbers[known] < low).any(), (numbers[known] > high).any()
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond, "neither")
    norm = Normalize(low, high, clip=True)
    colors = colormaps[COLORMAP](norm(np.where(known, numbers, low)).data, alpha=0.85)
    colors = np.where(known[:, None], colors, to_rgba(OTHERS, 0.55))
    return Coloring(title, colors, np.zeros(len(numbers), dtype=int), norm=norm, extend=extend)


def set_markers(scatter: Any, codes: np.ndarray) -> None:
    """Give each point of a scatter the marker of its code; the code after the last one is a small dot."""
    from matplotlib.markers import MarkerStyle

    styles = [MarkerStyle(marker) for marker in (*MARKERS, "o")]
    paths = [style.get_path().transformed(style.get_transform()) for style in styles]
    if len(codes) and codes.any():
        scatter.set_paths([paths[code] for code in codes])


def explain(ax: Any, found: Coloring) -> tuple[Any, Any]:
    """The legend and the color bar of the colors, None where there is none.

    A legend stands to the right of the axes if their figure makes room for it; else where the fewest points are.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.lines import Line2D

    if found.norm is not None:
        shown = ScalarMappable(found.norm, colormaps[COLORMAP])
        bar = ax.get_figure().colorbar(shown, ax=ax, extend=found.extend, shrink=0.75, aspect=28, pad=0.02)
        bar.outline.set_visible(False)
        bar.set_label(short_name(found.title), **safe_text())
        bar.ax.grid(False)
        return None, bar
    if not found.entries:
        return None, None
    handles = [
        Line2D([], [], marker=m, linestyle="", color=tuple(color[:3]), markersize=5 if m != "." else 6)
        for _, color, m in found.entries
    ]
    place = {"loc": "upper left", "bbox_to_anchor": (1.01 if ax.name != "3d" else 1.1, 1), "borderaxespad": 0}
    inside = {"loc": "best", "frameon": True, "framealpha": 0.85}
    names = [name for name, _, _ in found.entries]
    how = {"title": short_name(found.title) or None, "alignment": "left", "handletextpad": 0.2, "labelspacing": 0.35}
    return named_legend(ax, handles, names, **how, **(place if makes_room(ax) else inside)), None
