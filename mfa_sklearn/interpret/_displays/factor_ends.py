"""What lies at either end of a component's axes, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._base.checks import check_choice, check_component, check_count, import_optional
from ..._base.plotting import (
    COLORS,
    FAINT,
    check_axes,
    figure_of,
    fit_text,
    new_axes,
    number_text,
    safe_text,
    set_titles,
    share_text,
    short_name,
    styled,
)
from ..._base.words import plural
from .._ends import factor_ends
from .._inputs import as_rows, check_mixture, optional_fact
from .._project import Projection, project
from .._scale import natural_scale
from .axes import NOUNS, chosen_axes
from .facts import Meaning, meaning_of
from .labels import quoted

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from numpy.typing import ArrayLike

    from ...activations import ActivationStore, StoredActivations
    from ...mixture import MFA

_MAX_AXES = 6
_N_BINS = 60
# Of the height of a strip.
_TALL = 0.58


class FactorEndsDisplay:
    """The axes of a component's subspace, one below the other: how its rows spread, and what lies at either end.

    Where rows have no tokens, as those of a table, the columns' loadings as bars, one group for each axis.
    Make one with `from_estimator`.

    Parameters
    ----------
    projection : Projection
        What `project` returns.
    ends : DataFrame, optional
        What `factor_ends` returns for the component; without it loadings are drawn.
    factors : int or sequence of int, optional
        Which axes to draw; by default the first six that the component has.
    n_columns : int, default=12
        Most columns to draw loadings of, those that load most.
    meaning : Meaning, optional
        What `from_estimator` knows of the component beyond the projection, for the title and names of columns.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    factors_ : list of int
        The axes that are drawn, from the top or the left.
    text_ : list of Text
        What stands at the ends.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA, FactorEndsDisplay
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(400, 1))
    >>> X = z * [5, 4, 3, 2] + rng.normal(size=(400, 4))
    >>> tokens = np.where(z[:, 0] < -1, " cold", np.where(z[:, 0] > 1, " hot", " mild"))
    >>> display = FactorEndsDisplay.from_estimator(MFA(1, 1).fit(X), X, component=0, tokens=tokens)
    >>> [text.get_text() for text in display.text_]
    ['← cold', 'hot →']
    """

    ax_: Axes
    figure_: Figure
    factors_: list[int]
    text_: list[Text]

    def __init__(
        self,
        projection: Projection,
        ends: pd.DataFrame | None = None,
        *,
        factors: int | Sequence[int] | None = None,
        n_columns: int = 12,
        meaning: Meaning | None = None,
    ) -> None:
        self.projection = projection
        self.ends = ends
        self.factors = factors
        self.n_columns = n_columns
        self.meaning = meaning

    @classmethod
    def from_estimator(
        cls,
        mfa: MFA,
        activations: ArrayLike | ActivationStore | StoredActivations,
        component: int,
        *,
        show: str = "auto",
        factors: int | Sequence[int] | None = None,
        axes: str = "principal",
        n_tokens: int = 6,
        n_columns: int = 12,
        tokens: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        ax: Axes | None = None,
    ) -> FactorEndsDisplay:
        """Find the ends of a component's axes and draw them.

        Parameters
        ----------
        mfa, activations, component, axes, tokens, labels
            As for `project`.
        show : {"auto", "rows", "columns"}, default="auto"
            Rows with the tokens, else labels, at either end, or the columns' loadings; "auto" is "rows" where tokens
            are known.
        factors, n_columns
            As for the class.
        n_tokens : int, default=6
            Most tokens to name at each end.
        ax
            As for `plot`.

        Returns
        -------
        FactorEndsDisplay

        Raises
        ------
        ValueError
            If an argument is out of range, or the component has no factors.
        """
        component = check_component(component, check_mixture(mfa))
        check_axes(ax)
        check_choice("show", show, ("auto", "rows", "columns"))
        check_count("n_tokens", n_tokens)
        check_count("n_columns", n_columns)
        chosen_axes(factors, np.asarray(mfa.loadings_[component]), _MAX_AXES)
        import_optional("matplotlib.pyplot", "FactorEndsDisplay")
        X = as_rows(activations, mfa)
        facts = [optional_fact(X, name, given) for name, given in (("tokens", tokens), ("labels", labels))]
        if show == "rows" and all(fact is None for fact in facts):
            raise ValueError("nothing is known of these rows: give tokens or labels, or show='columns'")
        if show == "auto":
            show = "columns" if facts[0] is None else "rows"
        scale, ends = natural_scale(mfa, X, tokens), None
        if show == "rows":
            how = {"components": component, "axes": axes, "n_tokens": n_tokens, "context": 0, "scale": scale}
            ends = factor_ends(mfa, X, tokens, labels, **how)  # type: ignore[arg-type]
        found = project(mfa, X, component, axes=axes, scale=scale, tokens=tokens, labels=labels)
        meaning = meaning_of(found, mfa, X, tokens, labels)
        return cls(found, ends, factors=factors, n_columns=n_columns, meaning=meaning).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> FactorEndsDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where; by default a new figure, as wide as a page.

        Returns
        -------
        self
        """
        self.factors_ = chosen_axes(self.factors, self.projection.directions, _MAX_AXES)
        shown = min(self.n_columns, len(self.projection.directions))
        height = 1.0 + (0.85 * len(self.factors_) if self.ends is not None else 0.26 * shown + 0.3)
        ax = check_axes(ax) or new_axes("FactorEndsDisplay", size=(7.0, height))[1]
        self.ax_, self.figure_ = ax, figure_of(ax)
        with styled():
            draw = self._draw_columns if self.ends is None else self._draw_rows
            draw(ax)
            set_titles(ax, *self._titles())
            self.text_ = [] if self.ends is None else self._write_ends(ax, self.ends)
        return self

    def _titles(self) -> tuple[str, str]:
        found = self.projection
        about = (meaning_of(found) if self.meaning is None else self.meaning).title
        title = f"component {found.component}" + (f": {about}" if about else "")
        if self.ends is not None:
            return title, f"{plural(len(found), 'row')} along each {NOUNS[found.axes]}, and what lies at either end"
        return title, f"loadings of columns on each {NOUNS[found.axes]}"

    def _heading(self, j: int) -> str:
        share = self.projection.energy[j]
        of = f" · {share_text(share)} of variance" if np.isfinite(share) else ""
        return f"{NOUNS[self.projection.axes]} {j}{of}"

    def _draw_rows(self, ax: Any) -> None:
        """A histogram for each axis, all on one scale, so that the widest shows most."""
        found = self.projection
        places = found.coordinates[:, self.factors_] * found.lengths[self.factors_]
        low, high = (places.min(), places.max()) if len(places) else (-1.0, 1.0)
        edges = np.linspace(low, high if high > low else low + 1, _N_BINS + 1)
        for line, values in enumerate(places.T):
            counts = np.histogram(values, edges)[0]
            tops = _TALL * counts / max(counts.max(), 1) - line
            ax.stairs(tops, edges, baseline=-line, fill=True, color=COLORS[0], alpha=0.75, linewidth=0)
            ax.axhline(-line, color=FAINT, linewidth=0.6)
        ax.set(ylim=(0.62 - len(self.factors_), _TALL + 0.05), yticks=[], xlabel="distance from the component's mean")
        ax.spines["left"].set_visible(False)
        ax.grid(False, axis="y")

    def _write_ends(self, ax: Any, ends: pd.DataFrame) -> list[Text]:
        """Below each histogram what it is of, and the names at its ends."""
        column = "tokens" if "tokens" in ends else "concepts"
        room, written = ax.get_window_extent().width, []
        for line, j in enumerate(self.factors_):
            head = {"xycoords": ("axes fraction", "data"), "va": "top", "fontsize": "small"}
            middle = ax.annotate(self._heading(j), (0.5, -line - 0.06), ha="center", color=FAINT, **head)
            side_room = (room - middle.get_window_extent().width) / 2 - 2.5 * middle.get_fontsize()
            for end, (place, side) in {"low": (0.0, "left"), "high": (1.0, "right")}.items():
                named = ends.loc[(ends["factor"] == j) & (ends["end"] == end), column]
                if not len(named) or not named.iloc[0]:
                    continue
                text = ax.annotate(" ", (place, -line - 0.06), ha=side, **head)
                text.set(**safe_text(text=" · ".join(map(quoted, str(named.iloc[0]).split(" · ")))))
                fit_text(text, side_room)
                shown = text.get_text()
                text.set_text(f"← {shown}" if end == "low" else f"{shown} →")
                written.append(text)
        return written

    def _draw_columns(self, ax: Any) -> None:
        """Loadings of the columns that load most, a group of bars for each axis."""
        found = self.projection
        scale = 1 if found.scale is None else found.scale[:, None]
        loadings = (found.directions / scale)[:, self.factors_]
        longest = np.abs(loadings).max(initial=0)
        chosen = np.sort(np.argsort(-np.abs(loadings).max(1), kind="stable")[: self.n_columns])
        names = None if self.meaning is None else self.meaning.columns
        said = [f"column {i}" if names is None else short_name(names[i]) for i in chosen]
        lines = np.arange(len(chosen))
        for group in range(len(self.factors_)):
            values = 0.45 * loadings[chosen, group] / max(longest, 1e-300)
            ax.barh(lines, values, left=group, height=0.7, color=np.where(values < 0, COLORS[1], COLORS[0]))
            ax.axvline(group, color=FAINT, linewidth=0.8)
        ax.set_yticks(lines, said, parse_math=False)
        ax.set_xticks(range(len(self.factors_)), [self._heading(j).replace(" · ", "\n") for j in self.factors_])
        unit = "" if found.scale is None else " standard deviations of its column"
        ax.set(xlim=(-0.5, len(self.factors_) - 0.5), ylim=(len(chosen) - 0.4, -0.6))
        ax.set_xlabel(f"to the right: positive · longest bar: {number_text(float(longest))}{unit}", fontsize="small")
        ax.tick_params(length=0)
        ax.spines["left"].set_visible(False)
        ax.grid(False)
