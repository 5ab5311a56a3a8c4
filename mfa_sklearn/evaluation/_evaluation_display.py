"""The table of an evaluation as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.checks import check_count
from .._base.plotting import FAINT, INK, named_legend, new_axes, safe_text, short_name, styled
from ._measures import REFERENCES, in_order

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = ("candidate", "measure", "value", "low", "high", "better")
_ARROWS = {"higher": "→", "lower": "←"}
# Characters of a title that fit over a panel; longer ones take two lines.
_TITLE_WIDTH = 26
_LONGEST_NAME = 32
# How what is no candidate is drawn.
_LINES = dict(zip(REFERENCES.values(), ("-", "--", ":"), strict=True))


class EvaluationDisplay:
    """What `evaluate` found: a panel for each measure, in it a line for each candidate.

    Points are figures, bars their intervals. The best candidate's point is filled, and an arrow in the panel's title
    says where better is; upright lines are the language model as it is and with its activations ablated. Nothing is
    told by colors.

    Parameters
    ----------
    table : pandas.DataFrame
        What `evaluate` returns.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : list of matplotlib Axes
        One per measure.
    measures_ : list of str
        Of these axes.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.preprocessing import scale
    >>> from mfa_sklearn.evaluation import EvaluationDisplay, baselines, evaluate
    >>> X, y = load_wine(return_X_y=True)
    >>> table = evaluate(baselines(3, 2, random_state=0), scale(X), y, n_resamples=20, random_state=0)
    >>> EvaluationDisplay.from_table(table, measures=["AMI", "bits per row"]).measures_
    ['AMI', 'bits per row']
    """

    figure_: Figure
    axes_: list[Axes]
    measures_: list[str]

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, *, measures: Sequence[str] | None = None, n_columns: int = 4
    ) -> EvaluationDisplay:
        """Draw a table.

        Parameters
        ----------
        table : pandas.DataFrame
            What `evaluate` returns.
        measures, n_columns
            As for `plot`.

        Returns
        -------
        EvaluationDisplay
        """
        return cls(table).plot(measures=measures, n_columns=n_columns)

    def plot(self, *, measures: Sequence[str] | None = None, n_columns: int = 4) -> EvaluationDisplay:
        """Draw, on a new figure.

        Parameters
        ----------
        measures : sequence of str, optional
            Which to draw; by default all of which more is better, or less.
        n_columns : int, default=4
            Panels side by side.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the table has not the columns of one of `evaluate`, not a measure, or none to draw.
        """
        check_count("n_columns", n_columns)
        self.measures_ = self._chosen(measures)
        with styled():
            self._draw(n_columns)
        return self

    def _draw(self, n_columns: int) -> None:
        shown = self.table[self.table["measure"].isin(self.measures_)]
        own = ~shown["candidate"].isin(list(_LINES))
        names = list(dict.fromkeys(shown["candidate"][own]))
        self.figure_, axes = _grid(len(self.measures_), n_columns, len(names))
        self.axes_ = list(axes.ravel()[: len(self.measures_)])
        for ax, measure in zip(self.axes_, self.measures_, strict=True):
            here = shown["measure"] == measure
            _panel(ax, shown[here & own], names)
            _references(ax, shown[here & ~own])
            better = str(shown["better"][here].iloc[0])
            title = f"{short_name(measure, 40)} {_ARROWS.get(better, '')}".strip()
            ax.set_title(fill(title, _TITLE_WIDTH), **safe_text(fontsize="small"))
        for ax in axes.ravel()[len(self.measures_) :]:
            ax.set_visible(False)
        self._add_legend()

    def _add_legend(self) -> None:
        """What the upright lines are, once for all panels."""
        lines = [line for ax in self.axes_ for line in ax.lines if not str(line.get_label()).startswith("_")]
        named = {str(line.get_label()): line for line in lines}
        if named:
            named_legend(self.figure_, list(named.values()), list(named), loc="outside lower right", ncols=3)

    def _chosen(self, measures: Sequence[str] | None) -> list[str]:
        missing = [name for name in _COLUMNS if name not in self.table.columns]
        if missing:
            raise ValueError(f"the table has no columns {missing}: give what evaluate returns")
        known = list(dict.fromkeys(self.table["measure"]))
        if measures is None:
            measures = in_order(self.table["measure"][self.table["better"].isin(list(_ARROWS))])
        if isinstance(measures, str):
            measures = [measures]
        unknown = [measure for measure in measures if measure not in known]
        if unknown or not len(measures):
            raise ValueError(f"measures={list(measures)!r} must name some of those in the table: {known}")
        return list(measures)


def _grid(n_panels: int, n_columns: int, n_names: int) -> tuple[Figure, np.ndarray]:
    """A figure and its axes, as many or a few more than there are panels."""
    width = min(n_columns, n_panels)
    height = -(-n_panels // width)
    size = (1.5 + 1.9 * width, height * (0.7 + 0.24 * n_names))
    return new_axes("EvaluationDisplay", height, width, size=size, squeeze=False, sharey=True)


def _panel(ax: Any, lines: pd.DataFrame, names: list[str]) -> None:
    """One measure: a point and a bar for each candidate, the first of them on top."""
    values = lines["value"].to_numpy(dtype=float)
    places = np.array([names.index(name) for name in lines["candidate"]])
    off = np.stack([values - lines["low"], lines["high"] - values])
    ax.errorbar(values, places, xerr=np.maximum(np.nan_to_num(off), 0), fmt="none", ecolor=FAINT, capsize=2, lw=1.2)
    best = np.zeros(len(values), dtype=bool)
    better = set(lines["better"])
    if better <= set(_ARROWS) and np.isfinite(values).any():
        best = values == (np.nanmax if better == {"higher"} else np.nanmin)(values)
    for filled, color in ((best, INK), (~best, "white")):
        ax.scatter(values[filled], places[filled], s=26, c=color, edgecolors=INK, linewidths=1.0, zorder=3)
    ax.set_yticks(range(len(names)), [short_name(name, _LONGEST_NAME) for name in names], **safe_text())
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=4)
    ax.grid(False, axis="x")


def _references(ax: Any, lines: pd.DataFrame) -> None:
    """Upright lines at what a language model has without a candidate."""
    for name, value in zip(lines["candidate"], lines["value"], strict=True):
        ax.axvline(value, color=INK, linewidth=1.1, linestyle=_LINES[name], label=name.strip("()"), zorder=1)
