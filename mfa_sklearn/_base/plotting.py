"""One style for all displays: colors that stay apart in gray and for the color-blind, axes, names and numbers.

Nothing here changes matplotlib's settings for a user's own pictures; sizes of letters follow the user's ``font.size``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .checks import import_optional
from .words import cut, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

# Hues near those of Okabe and Ito (Color Universal Design, 2008): blue, orange, green, navy, pink, vermilion, sky and
# wine. Lightness L* goes from 16 to 86 in steps of 10, so that all differ in gray; the first few differ most.
COLORS = ("#00569a", "#f9ad04", "#099971", "#031c73", "#e57fb8", "#c14300", "#a2e0fe", "#7b004f")
# One for each color, so that nothing is told by color alone, and some more for ordered colors.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", "h", ">", "d")
LINES: tuple[Any, ...] = (
    *("-", "--", "-.", ":"),
    *((0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 2)), (0, (3, 1, 1, 1))),
)
# What has no color of its own: rows without a label, the rest of many labels.
OTHERS = "#b8b8b8"
# For what is written and drawn around the data.
INK, FAINT = "#222222", "#8a8a8a"
# Perceptually uniform, and the same order in gray.
COLORMAP = "viridis"
# For how many there are of something, behind points.
DENSITY_COLORMAP = "binary"
# Inches: a column of a paper, and the whole width of its page.
COLUMN_WIDTH, PAGE_WIDTH = 3.4, 7.0

_MAX_CHARACTERS = 24
# A style sheet of matplotlib, mfa_sklearn/displays.mplstyle, which users may take for pictures of their own.
_STYLE = "mfa_sklearn.displays"


@contextmanager
def styled() -> Iterator[None]:
    """What is made in this block has the style; the user's settings are as before after it.

    Examples
    --------
    >>> import matplotlib
    >>> before = matplotlib.rcParams["axes.grid"]
    >>> with styled():
    ...     inside = matplotlib.rcParams["axes.grid"]
    >>> inside, matplotlib.rcParams["axes.grid"] == before
    (True, True)
    """
    with import_optional("matplotlib.style", "styled").context(_STYLE):
        yield


def new_axes(
    asker: str,
    n_rows: int = 1,
    n_columns: int = 1,
    *,
    size: tuple[float, float] | None = None,
    **options: Any,
) -> tuple[Figure, Any]:
    """A new figure in the style of this library, and its axes.

    Parameters
    ----------
    asker : str
        Who needs it, for the message where matplotlib is missing.
    n_rows, n_columns : int
    size : (float, float), optional
        Width and height in inches.
    **options
        For ``pyplot.subplots``. With ``squeeze=False`` the axes are always an array.

    Returns
    -------
    figure, axes
        As from ``pyplot.subplots``, laid out so that texts do not run into each other.
    """
    pyplot = import_optional("matplotlib.pyplot", asker)
    with styled():
        return pyplot.subplots(n_rows, n_columns, figsize=size, layout="constrained", **options)


def check_axes(ax: Any, n_dimensions: int = 2) -> Any:
    """The axes that are given, or None, which stands for new ones; anything else is refused.

    Raises
    ------
    TypeError
        If `ax` is no single axes.
    ValueError
        If it is of another kind.
    """
    if ax is None:
        return None
    if not hasattr(ax, "get_figure") or not hasattr(ax, "plot"):
        raise TypeError(f"ax is of type {type(ax).__name__}: give one matplotlib Axes, or None for a new figure")
    if ax.name == "polar" or (ax.name == "3d") != (n_dimensions == 3):
        needed = "one with projection='3d'" if n_dimensions == 3 else "plain ones"
        raise ValueError(f"ax has projection {ax.name!r}: for a picture in {n_dimensions} dimensions give {needed}")
    return ax


def makes_room(ax: Axes) -> bool:
    """Whether the figure of these axes makes room for what stands beside them."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine, TightLayoutEngine

    return isinstance(figure_of(ax).get_layout_engine(), ConstrainedLayoutEngine | TightLayoutEngine)


def figure_of(ax: Axes) -> Figure:
    """The whole figure that axes stand in, also where they are in a part of it."""
    figure: Any = ax.get_figure()
    while figure.figure is not figure:
        figure = figure.figure
    return figure


def series(n: int) -> list[dict[str, Any]]:
    """A color, a marker and a line for each of `n` series, as keywords for ``ax.plot``.

    After eight the colors come again with the next markers and lines.

    Examples
    --------
    >>> series(2)[1]
    {'color': '#f9ad04', 'marker': 's', 'linestyle': '--'}
    """
    n_colors = len(COLORS)
    turned = [(i + i // n_colors) % n_colors for i in range(n)]
    return [{"color": COLORS[i % n_colors], "marker": MARKERS[j], "linestyle": LINES[j]} for i, j in enumerate(turned)]


def safe_text(**options: Any) -> dict[str, Any]:
    """Options for a text that came from elsewhere: dollars and backslashes in it are drawn as they are.

    Examples
    --------
    >>> safe_text(fontsize="small")
    {'parse_math': False, 'usetex': False, 'fontsize': 'small'}
    """
    return {"parse_math": False, "usetex": False, **options}


def short_name(name: Any, width: int = _MAX_CHARACTERS) -> str:
    """A name on one line, cut to `width` characters.

    Examples
    --------
    >>> short_name("a token", 5)
    'a to…'
    """
    return cut(visible(name), width)


def share_text(share: float) -> str:
    """A share in [0, 1] as a percentage with as many digits as a reader can use.

    Examples
    --------
    >>> share_text(0.314), share_text(0.0314), share_text(0.00031), share_text(0.0)
    ('31%', '3.1%', '<0.1%', '0%')
    """
    if not math.isfinite(share):
        return "unknown"
    percent = 100 * share
    if 0 < percent < 0.1:
        return "<0.1%"
    return f"{percent:.1f}%" if 0 < percent < 9.95 else f"{percent:.0f}%"


def number_text(value: float, digits: int = 3) -> str:
    """A number with `digits` significant ones, thousands apart.

    Examples
    --------
    >>> number_text(12345.6), number_text(0.012345), number_text(2), number_text(1.5e-9)
    ('12,346', '0.0123', '2', '1.5e-09')
    """
    if not math.isfinite(value):
        return "unknown"
    short = f"{value:.{digits}g}"
    whole = value == round(value) or abs(float(short)) >= 10**digits
    return f"{value:,.0f}" if whole and abs(value) < 1e9 else short


def set_titles(ax: Any, title: str, detail: str = "") -> Any:
    """A title and a fainter line below it, both cut to the width of the axes; they may hold anything.

    Call it when the axes have their final size. A later ``ax.set_title`` puts another title in the place of this one.

    Returns
    -------
    Text or None
        The line below the title, if there is one.
    """
    figure = figure_of(ax)
    figure.draw_without_rendering()
    room, small = ax.get_window_extent().width, None
    if detail:
        offset = {"xytext": (0, 3), "textcoords": "offset points", "ha": "center", "va": "bottom"}
        small = ax.annotate(" ", (0.5, 1), xycoords="axes fraction", fontsize="small", color=FAINT, **offset)
        small.set(**safe_text(text=detail))
        fit_text(small, room)
    above = 3 + (1.5 * small.get_fontsize() if small is not None else 2)
    fit_text(ax.set_title(title, pad=above, **safe_text()), room)
    return small


def fit_text(text: Any, room: float) -> None:
    """Cut a text to `room` pixels."""
    for _ in range(6):
        width = text.get_window_extent().width
        if width <= room:
            return
        whole = text.get_text().rstrip("…")
        text.set_text(whole[: max(1, int(len(whole) * room / width) - 2)].rstrip(" ·,:") + "…")


def named_legend(ax: Any, handles: Sequence[Any], names: Sequence[Any], **options: Any) -> Legend:
    """A legend whose names may hold anything; of axes or of a figure.

    Parameters
    ----------
    ax : Axes or Figure
    handles : sequence of Artist
    names : sequence
        As many.
    **options
        For ``legend``.
    """
    legend = ax.legend(handles, [" "] * len(names), **options)
    for text, name in zip(legend.get_texts(), names, strict=True):
        # Set afterwards: a name may hold dollars, or start with the underscore that would hide it.
        text.set(**safe_text(text=str(name)))
    if legend.get_title() is not None:
        legend.get_title().set(**safe_text())
    return legend
