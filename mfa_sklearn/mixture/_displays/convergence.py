"""How fits went: their bounds, iteration by iteration, and the temperatures that they were annealed at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..._base.checks import check_choice
from ..._base.plotting import INK, check_axes, figure_of, named_legend, new_axes, series, short_name, styled
from .._fitted import fitted_mixture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from .._mfa import MFA
    from .._search import MFASearch

# Of the range of the bounds at temperature one, how much is shown below them: hot bounds can lie far lower.
_SHOWN_BELOW = 0.35
_SCALES = ("bound", "gap")


class History(NamedTuple):
    """One fit, as it is drawn."""

    bounds: np.ndarray  # (n,), in nats per row
    temperatures: np.ndarray  # (n,), one where it is not known
    steps: list[str]  # (n,)
    converged: bool


class ConvergenceDisplay:
    """Lower bounds over iterations, of one fit or of several on one another.

    A filled mark at its end says that a fit converged, an open one that it was stopped by `max_iter` or by hand. Parts
    at temperatures above one are thin: their bound is not what is maximized there. Upright ticks stand where components
    were moved by `split_merge`. If a fit was annealed, a second panel shows the temperatures.

    Parameters
    ----------
    histories : dict of str to History
        By the names of the fits. Made by `from_estimator`.
    scale : {"bound", "gap"}, default="bound"
        Bounds as they are, or how far they are below the best of all fits, on a logarithmic axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Of the bounds.
    temperature_ax_ : matplotlib Axes or None
    figure_ : matplotlib Figure
    lines_ : dict of str to Line2D
        The bounds of each fit.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.mixture import ConvergenceDisplay
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> mfa = MFA(2, 1, random_state=0, tol=1e-2).fit(X)
    >>> display = ConvergenceDisplay.from_estimator(mfa)
    >>> len(display.lines_["MFA"].get_xdata()) == mfa.n_iter_ + 1
    True
    """

    ax_: Axes
    temperature_ax_: Axes | None
    figure_: Figure
    lines_: dict[str, Line2D]

    def __init__(self, histories: Mapping[str, History], *, scale: str = "bound") -> None:
        self.histories = histories
        self.scale = scale

    @classmethod
    def from_estimator(
        cls,
        estimator: MFA | MFASearch | Mapping[str, MFA] | Sequence[MFA],
        *,
        scale: str = "bound",
        ax: Axes | None = None,
    ) -> ConvergenceDisplay:
        """Draw how fits went.

        Parameters
        ----------
        estimator : fitted MFA or MFASearch, or several MFA
            A dict names them; those of a sequence are called by their numbers. Of a search it is the best one.
        scale, ax
            As for the class and `plot`.

        Returns
        -------
        ConvergenceDisplay

        Raises
        ------
        ValueError
            If a mixture has no history, because it was made from parameters.
        """
        return cls(_histories(estimator), scale=scale).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> ConvergenceDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw the bounds; by default a new figure, with a panel of temperatures if there are any. In axes
            that are given no temperatures are drawn.

        Returns
        -------
        self
        """
        check_choice("scale", self.scale, _SCALES)
        check_axes(ax)
        hot = any(map(_is_hot, self.histories.values()))
        with styled():
            self._make_axes(ax, hot)
            self.lines_ = {}
            for look, (name, fit) in zip(series(len(self.histories)), self.histories.items(), strict=True):
                self.lines_[name] = self._draw(fit, look)
            self._annotate()
        return self

    def _make_axes(self, ax: Any, hot: bool) -> None:
        self.temperature_ax_ = None
        if ax is None and hot:
            options: dict[str, Any] = {"sharex": True, "gridspec_kw": {"height_ratios": (3.4, 1)}}
            _, (ax, self.temperature_ax_) = new_axes("ConvergenceDisplay", 2, 1, size=(5.2, 4.2), **options)
        elif ax is None:
            _, ax = new_axes("ConvergenceDisplay", size=(5.2, 3.4))
        self.ax_, self.figure_ = ax, figure_of(ax)

    def _draw(self, fit: History, look: dict[str, Any]) -> Line2D:
        values, iterations = self._values(fit), np.arange(len(fit.bounds))
        cold = np.flatnonzero(fit.temperatures <= 1)
        start = int(cold[0]) if len(cold) else len(values) - 1
        plain = {**look, "marker": ""}
        line = self.ax_.plot(iterations, values, **{**plain, "linewidth": 0.7})[0]
        self.ax_.plot(iterations[start:], values[start:], **plain)
        moved = [i for i, step in enumerate(fit.steps) if step == "moved"]
        self.ax_.plot(iterations[moved], values[moved], color=look["color"], linestyle="", marker="|", markersize=11)
        face = look["color"] if fit.converged else "white"
        end = {"marker": look["marker"], "color": look["color"], "markerfacecolor": face}
        self.ax_.plot(iterations[-1:], values[-1:], linestyle="", clip_on=False, zorder=3, **end)
        if self.temperature_ax_ is not None:
            self.temperature_ax_.plot(iterations, fit.temperatures, **plain, drawstyle="steps-post")
        return line

    def _values(self, fit: History) -> np.ndarray:
        if self.scale == "bound":
            return fit.bounds
        gap = self._best() - fit.bounds
        return np.where(gap > 0, gap, np.nan)  # the best itself is not on a logarithmic axis

    def _best(self) -> float:
        return max(
            float(np.nanmax(fit.bounds[fit.temperatures <= 1], initial=-np.inf)) for fit in self.histories.values()
        )

    def _annotate(self) -> None:
        ax = self.ax_
        below = self.temperature_ax_ or ax
        below.set_xlabel("iteration")
        if self.scale == "gap":
            ax.set_yscale("log")
        ax.set_ylabel("below the best bound (nats per row)" if self.scale == "gap" else "lower bound (nats per row)")
        if self.temperature_ax_ is not None:
            self.temperature_ax_.set_yscale("log", base=2)
            self.temperature_ax_.yaxis.set_major_formatter("{x:g}")
            self.temperature_ax_.set_title("temperature", fontsize="small")
        if self.scale == "bound":
            ax.ticklabel_format(axis="y", useOffset=False)
            self._leave_out_what_is_far_below()
        self._add_legend()

    def _leave_out_what_is_far_below(self) -> None:
        """Show where fits differ: the first steps gain so much that all the rest would be one flat line."""
        late = [fit.bounds[fit.temperatures <= 1] for fit in self.histories.values()]
        shown = np.concatenate([bounds[len(bounds) // 10 :] for bounds in late])
        shown = shown[np.isfinite(shown)]
        low, high = (shown.min(), shown.max()) if len(shown) else (0.0, 0.0)
        if high > low:
            self.ax_.set_ylim(low - _SHOWN_BELOW * (high - low), high + 0.08 * (high - low))

    def _add_legend(self) -> None:
        from matplotlib.lines import Line2D

        fits = list(self.histories.values())
        handles: list[Any] = []
        names: list[str] = []
        if len(fits) > 1:
            handles += [Line2D([], [], **look) for look in series(len(fits))]
            names += [short_name(name) for name in self.histories]
        key: list[tuple[str, dict[str, Any], bool]] = [
            ("converged", {"marker": "o"}, any(fit.converged for fit in fits)),
            ("stopped before", {"marker": "o", "markerfacecolor": "white"}, not all(fit.converged for fit in fits)),
            ("components moved", {"marker": "|", "markersize": 11}, any("moved" in fit.steps for fit in fits)),
            ("temperature above 1", {"linestyle": "-", "linewidth": 0.7}, any(map(_is_hot, fits))),
        ]
        for name, look, is_there in key:
            if is_there:
                handles.append(Line2D([], [], **{"linestyle": "", "color": INK, **look}))
                names.append(name)
        named_legend(self.ax_, handles, names, loc="upper right" if self.scale == "gap" else "best")


def _is_hot(fit: History) -> bool:
    return bool((fit.temperatures > 1).any())


def _histories(estimator: Any) -> dict[str, History]:
    """Each fit by its name."""
    if isinstance(estimator, Mapping):
        named = dict(estimator)
    elif isinstance(estimator, Sequence) and not isinstance(estimator, str):
        named = {str(i): mfa for i, mfa in enumerate(estimator)}
    else:
        named = {"MFA": estimator}
    if not named:
        raise ValueError("there are no mixtures to draw: give at least one")
    return {str(name): _history(name, mfa) for name, mfa in named.items()}


def _history(name: Any, mfa: Any) -> History:
    mfa = fitted_mixture(mfa)
    bounds = np.asarray(getattr(mfa, "lower_bounds_", []), dtype=float)
    if not len(bounds):
        raise ValueError(
            f"the mixture {str(name)!r} has no history (lower_bounds_): it was not fitted but made; fit one"
        )
    known = getattr(mfa, "history_", {})  # not of mixtures that earlier versions fitted
    temperatures = np.ones(len(bounds))
    temperatures[: len(known.get("temperature", ()))] = known.get("temperature", ())
    steps = [*known.get("step", ()), *["plain"] * len(bounds)][: len(bounds)]
    return History(bounds, temperatures, steps, bool(getattr(mfa, "converged_", False)))
