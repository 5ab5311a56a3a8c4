"""Which names to write into a picture, and where, so that none covers another."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import DBSCAN

from ..._base.checks import import_optional
from ..._base.plotting import INK, figure_of, safe_text, short_name

if TYPE_CHECKING:
    from matplotlib.text import Annotation

# Rows of a name that lie farther apart than this share of the picture's diagonal are clusters of their own.
_GAP = 0.12
_MAX_CLUSTERS = 3
# Rows of a name to look at, and points that labels keep clear of; in a dense cloud nothing would find room.
_MAX_ROWS, _MAX_POINTS = 500, 300
# What lies under a name, so that it can be read over points.
_GROUND = {"facecolor": "white", "alpha": 0.6, "edgecolor": "none", "pad": 0.4}
# Places to try for each label, and how far it may stand from its point, as a share of the axes' longer side.
_N_PLACES, _FARTHEST = 80, 0.12


def choose_labels(places: np.ndarray, names: np.ndarray, n_most: int) -> np.ndarray:
    """One row for each cluster of rows with the same name, the most telling first.

    A name's rows are one cluster where steps from row to row are short beside the picture; its row is that nearest to
    the cluster's median. Clusters come farthest first (Gonzalez, Theoretical Computer Science 38, 1985), where a large
    one counts as farther: the first few already cover the picture.

    Parameters
    ----------
    places : ndarray of shape (n, 2)
        Where rows are on the canvas.
    names : ndarray of str, shape (n,)
        Rows with an empty one are left out.
    n_most : int

    Returns
    -------
    ndarray of int
        Row numbers, at most `n_most`.

    Examples
    --------
    >>> import numpy as np
    >>> places = np.array([[0.0, 0], [1, 0], [2, 0], [100, 100], [50, 0]])
    >>> choose_labels(places, np.array(["a", "a", "a", "a", "b"]), 10)
    array([1, 3, 4])
    """
    unique, codes = np.unique(names, return_inverse=True)
    if not len(places) or not n_most:
        return np.zeros(0, dtype=int)
    reach = _GAP * max(float(np.linalg.norm(np.ptp(places, axis=0))), 1e-9)
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    rows, sizes = [], []
    for name, members in zip(unique, groups, strict=True):
        if name:
            for row, size in _clusters(places, members, reach):
                rows.append(row)
                sizes.append(size)
    if not rows:
        return np.zeros(0, dtype=int)
    found = np.array(rows)
    return found[_farthest_first(places[found], np.log1p(np.array(sizes, dtype=float)), n_most)]


def _clusters(places: np.ndarray, members: np.ndarray, reach: float) -> list[tuple[int, int]]:
    """The middle row and the size of the largest clusters of some rows."""
    if len(members) > _MAX_ROWS:
        members = np.sort(np.random.RandomState(0).choice(members, _MAX_ROWS, replace=False))
    own = places[members]
    ids = DBSCAN(eps=reach, min_samples=1).fit(own).labels_ if len(members) > 1 else np.zeros(1, dtype=int)
    sizes = np.bincount(ids)
    found = []
    for cluster in np.argsort(-sizes, kind="stable")[:_MAX_CLUSTERS]:
        inside = np.flatnonzero(ids == cluster)
        off = np.square(own[inside] - np.median(own[inside], axis=0)).sum(1)
        found.append((int(members[inside[off.argmin()]]), int(sizes[cluster])))
    # A stray row is worth a label where the name has no larger cluster.
    return [entry for entry in found if entry[1] >= 0.05 * len(members)]


def _farthest_first(places: np.ndarray, weights: np.ndarray, n_most: int) -> list[int]:
    """The heaviest, then always the one whose weight times distance to those chosen is largest."""
    chosen = [int(weights.argmax())]
    distance = cdist(places, places[chosen])[:, 0]
    while len(chosen) < min(n_most, len(places)):
        score = weights * distance
        score[chosen] = -1
        chosen.append(int(score.argmax()))
        distance = np.minimum(distance, cdist(places, places[chosen[-1:]])[:, 0])
    return chosen


def write_labels(
    ax: Any,
    points: np.ndarray,
    names: list[str],
    *,
    avoid: np.ndarray | None = None,
    size: float | None = None,
    alphas: np.ndarray | None = None,
    radii: tuple[np.ndarray, np.ndarray] | None = None,
    keep_clear: Any = None,
    asker: str = "labels",
    **options: Any,
) -> list[Annotation]:
    """Write names beside their points, with a line to the point where a name stands off; none covers another.

    textalloc finds the places, on a figure of the same size in pixels; names that find none are left out, the last of
    the list first.

    Parameters
    ----------
    ax : Axes
        As large as it is going to be.
    points : ndarray of shape (n, 2)
        In the coordinates of the axes' data.
    names : list of str
        As many.
    avoid : ndarray of shape (m, 2), optional
        Points that names should not lie on.
    size : float, optional
        Of the letters, in points.
    alphas : ndarray of shape (n,), optional
        How faint each name is.
    radii : (ndarray of shape (n,), ndarray of shape (m,)), optional
        Of the marks at `points` and at `avoid`, in points; where they are small they need not be given.
    keep_clear : Artist, optional
        Such as a legend inside the axes.
    asker : str
        Who needs textalloc, for the message where it is missing.
    **options
        For the texts.

    Returns
    -------
    list of Annotation
        Those that were written.
    """
    if not names:
        return []
    figure = figure_of(ax)
    size = _points_of(options.pop("fontsize", size if size is not None else "small"))
    places = ax.transData.transform(points)
    pixel = 72 / figure.dpi
    own, others = (np.zeros(len(places)), 0.0) if radii is None else (radii[0] / pixel, radii[1] / pixel)
    taken = np.zeros((0, 3)) if keep_clear is None else _grid(keep_clear.get_window_extent(), size)
    near = np.zeros((0, 3)) if avoid is None else _few(ax.transData.transform(avoid), others)
    corners = _allocated(ax, np.column_stack([places, own]), names, size, [near, taken], asker)
    written = []
    for i, (corner, side) in corners.items():
        off = (corner - places[i]) * pixel
        faint = {} if alphas is None else {"alpha": float(alphas[i])}
        how = {"color": INK, "bbox": _GROUND, **faint, **options}
        text = ax.annotate(
            names[i], points[i], off, textcoords="offset points", fontsize=size, ha=side, va="bottom",
            annotation_clip=True, arrowprops=_leader(how, own[i] * pixel), **safe_text(**how),
        )  # fmt: skip
        text.set_in_layout(False)
        written.append(text)
    return written


def _leader(how: dict[str, Any], radius: float) -> dict[str, Any]:
    """The line from a name to its point, whose mark has a radius in points."""
    shrink = {"shrinkA": 0, "shrinkB": 1 + radius}
    return {"arrowstyle": "-", "linewidth": 0.5, "color": how["color"], "alpha": 0.6 * how.get("alpha", 1), **shrink}


def _points_of(size: Any) -> float:
    from matplotlib.font_manager import FontProperties

    return float(FontProperties(size=size).get_size_in_points())


def _few(points: np.ndarray, radii: Any) -> np.ndarray:
    """Some of the points, (m, 3), with their radii."""
    known = np.column_stack([points, np.broadcast_to(radii, len(points))])[np.isfinite(points).all(1)]
    return known[np.linspace(0, len(known) - 1, min(len(known), _MAX_POINTS)).astype(int)]


def _grid(box: Any, step: float, x: float = 0, y: float = 0) -> np.ndarray:
    """Points without extent inside a box that is moved, (m, 3), so near to each other that no name fits between."""
    sides = [
        np.linspace(low, high, max(2, int((high - low) / step) + 2)) for low, high in (box.intervalx, box.intervaly)
    ]
    across, up = (side.ravel() for side in np.meshgrid(*sides))
    return np.column_stack([across + x, up + y, np.zeros(len(up))])


def _allocated(
    ax: Any, places: np.ndarray, names: list[str], size: float, near: list[np.ndarray], asker: str
) -> dict[int, tuple[np.ndarray, str]]:
    """For each name that found room the pixel where its lower edge begins, is centered or ends, and which of these.

    Names that find no room beside the points `near[0]` stand over them; nothing stands over `near[1]`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    textalloc = import_optional("textalloc", asker)
    dpi, frame = figure_of(ax).dpi, ax.get_window_extent()
    figure = Figure(figsize=(frame.width / dpi, frame.height / dpi), dpi=dpi)
    figure.set_layout_engine("none")  # whatever the user asks of figures: its one axes fill it
    FigureCanvasAgg(figure)
    scratch = figure.add_axes((0, 0, 1, 1))
    scratch.set(xlim=(frame.x0, frame.x1), ylim=(frame.y0, frame.y1))
    found, taken = {}, near[1]
    for points in (np.concatenate(near), None):
        left = [i for i in range(len(names)) if i not in found]
        clear = taken if points is None else points
        off = dict(zip(("x_scatter", "y_scatter", "scatter_sizes"), clear.T, strict=True)) if len(clear) else {}
        with redirect_stdout(io.StringIO()):  # it prints where nothing finds room
            texts = textalloc.allocate(
                scratch, *places[left, :2].T, [names[i] for i in left], textsize=size, draw_all=False, draw_lines=False,
                nbr_candidates=_N_PLACES, max_distance=_FARTHEST, margin=0.004, min_distance=0.008,
                text_scatter_sizes=places[left, 2], **off, **safe_text(),
            )[2]  # fmt: skip
        placed = [(i, text) for i, text in zip(left, texts, strict=True) if text is not None]
        found.update({i: (np.array(text.get_position()), text.get_ha()) for i, text in placed})
        boxes = [_grid(text.get_window_extent().padded(size / 2), size / 2, *frame.min) for _, text in placed]
        taken = np.concatenate([taken, *boxes])
    return found


def label_names(tokens: Any, text_of: Callable[[Any], str]) -> np.ndarray:
    """Short names of tokens, (n,), each distinct token looked at once; what is only a speck is put in quotes."""
    unique, codes = np.unique(np.asarray([str(token) for token in tokens], dtype=str), return_inverse=True)
    names = [short_name(text_of(token)) for token in unique]
    return np.array([quoted(name) for name in names], dtype=str)[codes] if len(unique) else np.zeros(0, dtype=str)


def quoted(name: str) -> str:
    """A name in quotes if it is so little ink that it would be taken for a speck.

    Examples
    --------
    >>> quoted("the"), quoted(".")
    ('the', '“.”')
    """
    return name if not name or any(map(str.isalnum, name)) else f"\u201c{name}\u201d"
