"""Effect over cost as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._base.checks import check_choice, check_flag
from ..._base.plotting import (
    FAINT,
    MARKERS,
    check_axes,
    figure_of,
    named_legend,
    new_axes,
    safe_text,
    series,
    short_name,
    styled,
)
from .prompts import HALVES
from .summary import check_table, measures_of
from .table import PLACE, UNSTEERED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

LABELS = {
    "share_next": "share of the concept's words\nat the next content slot",
    "share_generated": "share of the concept's words\nin text generated",
    "log_odds": "change of the concept's log-odds, nats",
    "kl": "KL(steered || unsteered), nats",
    "collateral": "collateral KL, nats",
    "entropy": "entropy of the next token, nats",
    "log_prob": "log probability of text generated,\nnats a token",
    "repetition_2": "share of 2-grams repeated",
    "repetition_3": "share of 3-grams repeated",
}
_ON_LOG_AXES = ("kl", "collateral")
_LONGEST_NAME = 48
# Arms that a legend below the axes has room for; more are named beside them.
_MOST_BELOW = 8


class SteeringDisplay:
    """Effect over cost: a line for each arm, along its strengths.

    Points are medians over the concepts on one half of the prompts. Arms differ by line, marker and color, so that they
    can be told apart in gray. A thin dotted line is the model as it is.

    Parameters
    ----------
    table : pandas.DataFrame
        What `evaluate_steering` returns, of one layer, site and selection of tokens.
    x, y : str
        Measures of the table, or any other columns of numbers. Divergences have logarithmic axes.
    half : {"judge", "choose"}, default="judge"

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to Line2D
        By arm.

    Examples
    --------
    >>> import pandas as pd
    >>> from mfa_sklearn.steering import SteeringDisplay
    >>> lines = [("none", 0, 0.0, 0.0), ("means", 1, 0.1, 0.2), ("means", 2, 1.0, 0.4)]
    >>> table = pd.DataFrame(lines, columns=["arm", "strength", "collateral", "share_next"])
    >>> table = table.assign(layer=0, site="residual", select="prompt", concept="river", half="judge")
    >>> display = SteeringDisplay.from_table(table)
    >>> display.lines_["means"].get_xdata().tolist()
    [0.1, 1.0]
    """

    ax_: Axes
    figure_: Figure
    lines_: dict[str, Line2D]

    def __init__(
        self, table: pd.DataFrame, *, x: str = "collateral", y: str = "share_next", half: str = "judge"
    ) -> None:
        self.table = table
        self.x, self.y, self.half = x, y, half

    @classmethod
    def from_table(
        cls,
        table: pd.DataFrame,
        *,
        x: str = "collateral",
        y: str = "share_next",
        half: str = "judge",
        arms: Sequence[str] | None = None,
        band: bool = False,
        ax: Axes | None = None,
    ) -> SteeringDisplay:
        """Draw a table.

        Parameters
        ----------
        table, x, y, half
            As for the class.
        arms, band, ax
            As for `plot`.

        Returns
        -------
        SteeringDisplay
        """
        return cls(table, x=x, y=y, half=half).plot(ax=ax, arms=arms, band=band)

    def plot(self, ax: Axes | None = None, *, arms: Sequence[str] | None = None, band: bool = False) -> SteeringDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where; by default a new figure.
        arms : sequence of str, optional
            Which to draw, in this order; by default all.
        band : bool, default=False
            Shade the middle half of the concepts.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the table is none of `evaluate_steering`, or of several places; if it has not what is to be drawn.
        """
        check_flag("band", band)
        shown, names = self._checked(arms)
        with styled():
            self.ax_ = check_axes(ax) or self._new_axes(len(names))
            self.figure_ = figure_of(self.ax_)
            self.lines_ = {}
            for i, (name, look) in enumerate(zip(names, series(len(names)), strict=True)):
                # The marker goes with the color, the line does not: no two of 64 arms look alike in gray.
                look["marker"] = MARKERS[i % len(MARKERS)]
                self.lines_[name] = self._line(shown[shown["arm"] == name], look, band)
            self._annotate(shown[self.y][shown["arm"] == UNSTEERED].median(), beside=ax is None)
        return self

    def _new_axes(self, n_arms: int) -> Any:
        """Axes with room for a line of the legend for each arm, below or beside them."""
        few = n_arms + 1 <= _MOST_BELOW
        size = (5.2, 4.4) if few else (7.6, max(4.0, 0.23 * (n_arms + 2)))
        return new_axes("SteeringDisplay", size=size)[1]

    def _line(self, lines: pd.DataFrame, look: dict[str, Any], band: bool) -> Line2D:
        by_strength = lines.groupby("strength")[[self.x, self.y]]
        middle = by_strength.median()
        if band:
            low, high = (by_strength.quantile(q)[self.y] for q in (0.25, 0.75))
            self.ax_.fill_between(middle[self.x], low, high, color=look["color"], alpha=0.12, linewidth=0)
        return self.ax_.plot(middle[self.x], middle[self.y], **look)[0]

    def _annotate(self, plain: float, beside: bool) -> None:
        ax = self.ax_
        for measure, set_scale in ((self.x, ax.set_xscale), (self.y, ax.set_yscale)):
            if measure in _ON_LOG_AXES:
                set_scale("log")
        ax.set_xlabel(LABELS.get(self.x, short_name(self.x, _LONGEST_NAME)), **safe_text())
        ax.set_ylabel(LABELS.get(self.y, short_name(self.y, _LONGEST_NAME)), **safe_text())
        handles, names = list(self.lines_.values()), [short_name(name, _LONGEST_NAME) for name in self.lines_]
        if np.isfinite(plain):
            handles.append(ax.axhline(plain, color=FAINT, linewidth=0.9, linestyle=":", zorder=1))
            names.append("unsteered")
        if beside and len(names) <= _MOST_BELOW:
            named_legend(self.figure_, handles, names, handlelength=3.6, loc="outside lower center", ncols=2)
        else:
            place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1)} if beside else {"loc": "best"}
            named_legend(ax, handles, names, handlelength=3.6, **place)

    def _checked(self, arms: Sequence[str] | None) -> tuple[pd.DataFrame, list[str]]:
        """The lines to draw and the arms among them."""
        check_table(self.table)
        measures = measures_of(self.table)
        for name, value, known in (("x", self.x, measures), ("y", self.y, measures), ("half", self.half, HALVES)):
            check_choice(name, value, known)
        places = self.table[PLACE].drop_duplicates().to_dict("records")
        if len(places) != 1:
            raise ValueError(f"the table is of {len(places)} places, {places}: draw one at a time")
        known = [arm for arm in dict.fromkeys(self.table["arm"]) if arm != UNSTEERED]
        for name in known if arms is None else arms:
            check_choice("arms", name, known)
        return self.table[self.table["half"] == self.half], known if arms is None else list(arms)
