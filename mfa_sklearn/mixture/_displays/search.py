"""What a search found: its criterion over the number of components."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..._base.checks import check_choice, import_optional
from ..._base.plotting import FAINT, INK, check_axes, figure_of, named_legend, new_axes, series, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from .._search import MFASearch

LABELS = {
    "likelihood": "held-out log-likelihood (nats per row)",
    "bic": "BIC (lower is better)",
    "icl": "ICL (lower is better)",
    "aic": "AIC (lower is better)",
}
_WITHIN, _LIMIT = "smallest within one standard error", "one standard error below the best"
_NOUNS = {"n_components": "components", "n_factors": "factors"}
_NEEDED = ("n_components", "n_factors", "structure")


class SearchDisplay:
    """The criterion over the number of components, a line for each number of factors and structure.

    A star marks the best candidate. Held-out likelihoods have bars of one standard error over the splits, and a ring
    marks the candidate with fewest parameters among those within one standard error of the best: no worse as far as
    the splits can tell (Breiman et al., Classification and Regression Trees, 1984, 3.4.3). If the best is the largest
    or smallest that was tried, a line above the picture says so: a better one may lie beyond.

    Parameters
    ----------
    table : pandas.DataFrame
        The `results_` of an `MFASearch`.
    criterion : {"bic", "icl", "aic", "likelihood"}, optional
        What to draw; by default what the candidates are ranked by.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to Line2D
        By number of factors, and structure where there are several.
    best_ : int
        Position in the table of the best candidate.
    one_standard_error_ : int or None
        Of the smallest within one standard error of it; None where there are no standard errors.
    at_edge_ : list of str
        In which directions the best is the last that was tried, such as "5 is the most components tried".

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA, MFASearch
    >>> from mfa_sklearn.mixture import SearchDisplay
    >>> X = np.random.default_rng(0).normal([[0.0], [8.0]], 1, size=(2, 60)).reshape(-1, 1) * np.ones(4)
    >>> X += np.random.default_rng(1).normal(size=X.shape)
    >>> search = MFASearch(MFA(random_state=0), [1, 2, 3], [0]).fit(X)
    >>> display = SearchDisplay.from_estimator(search)
    >>> list(display.lines_), display.best_ == search.best_index_
    (['q = 0'], True)
    """

    ax_: Axes
    figure_: Figure
    lines_: dict[str, Line2D]
    best_: int
    one_standard_error_: int | None
    at_edge_: list[str]

    def __init__(self, table: pd.DataFrame, *, criterion: str | None = None) -> None:
        self.table = table
        self.criterion = criterion

    @classmethod
    def from_estimator(
        cls, search: MFASearch, *, criterion: str | None = None, ax: Axes | None = None
    ) -> SearchDisplay:
        """Draw what a search found.

        Parameters
        ----------
        search : fitted MFASearch
        criterion : {"bic", "icl", "aic", "likelihood"}, optional
            By default that of the search.
        ax
            As for `plot`.

        Returns
        -------
        SearchDisplay
        """
        check_is_fitted(search)
        if not hasattr(search, "results_"):
            raise TypeError(f"expected a fitted MFASearch, got {type(search).__name__}")
        return cls(search.results_, criterion=criterion or search.criterion).plot(ax=ax)

    @classmethod
    def from_results(
        cls, table: pd.DataFrame, *, criterion: str | None = None, ax: Axes | None = None
    ) -> SearchDisplay:
        """Draw a table of results, such as one that was written and read again.

        Parameters
        ----------
        table, criterion
            As for the class.
        ax
            As for `plot`.

        Returns
        -------
        SearchDisplay
        """
        return cls(table, criterion=criterion).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> SearchDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where; by default a new figure.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the table has not the columns of `results_`, or not the criterion.
        """
        import_optional("pandas", "SearchDisplay")
        criterion = self._chosen()
        values = self._numbers(criterion)
        if not np.isfinite(values).any():
            raise ValueError(f"the table has no value of {criterion} that is finite: there is nothing to draw")
        self.best_ = int(np.nanargmax(values) if criterion == "likelihood" else np.nanargmin(values))
        errors = self._numbers("likelihood_sem") if self._has_errors(criterion) else None
        # Of one split there is none.
        errors = None if errors is None or not np.isfinite(errors[self.best_]) else errors
        self.one_standard_error_ = None if errors is None else self._smallest_within(values, errors[self.best_])
        self.at_edge_ = self._edges()
        with styled():
            self.ax_ = check_axes(ax) or new_axes("SearchDisplay", size=(5.2, 4.2))[1]
            self.figure_ = figure_of(self.ax_)
            self._draw(values, errors)
            self._annotate(criterion, ax is None)
        return self

    def _numbers(self, name: str) -> np.ndarray:
        try:
            return self.table[name].to_numpy(dtype=float)
        except (TypeError, ValueError) as error:
            raise ValueError(f"column {name!r} of the table does not hold numbers: {error}") from error

    def _chosen(self) -> str:
        if not hasattr(self.table, "columns"):
            raise TypeError(f"table must be the results_ of an MFASearch, a DataFrame; got {type(self.table).__name__}")
        missing = [name for name in _NEEDED if name not in self.table.columns]
        if missing or not len(self.table):
            raise ValueError(f"the table has no {missing or 'lines'}: give the results_ of an MFASearch")
        known = [name for name in LABELS if name in self.table.columns]
        if self.criterion is not None:
            check_choice("criterion", self.criterion, known)
            return self.criterion
        if not known:
            raise ValueError(f"the table has none of the columns {list(LABELS)}: give the results_ of an MFASearch")
        ranked = self.table["rank"].to_numpy() if "rank" in self.table else None
        agree = [
            name for name in known if ranked is not None and ranked.argmin() == self.table[name].to_numpy().argmin()
        ]
        return known[0] if known[0] == "likelihood" else next(iter(agree), known[0])

    def _has_errors(self, criterion: str) -> bool:
        return criterion == "likelihood" and {"likelihood_sem", "n_parameters"} <= set(self.table.columns)

    def _smallest_within(self, values: np.ndarray, error: float) -> int:
        """The candidate with fewest parameters that is within an error of the best."""
        near = np.flatnonzero(values >= values[self.best_] - error)
        return int(near[self.table["n_parameters"].to_numpy()[near].argmin()])

    def _edges(self) -> list[str]:
        found = []
        for name, smallest in (("n_components", 1), ("n_factors", 0)):
            tried = {np.max(value) for value in self._sizes(name)}
            best = int(np.max(self._sizes(name)[self.best_]))
            if len(tried) > 1 and best == max(tried):
                found.append(f"{best} is the most {_NOUNS[name]} tried")
            elif len(tried) > 1 and best == min(tried) and best > smallest:
                found.append(f"{best} is the fewest {_NOUNS[name]} tried")
        return found

    def _sizes(self, name: str) -> list[Any]:
        """Values of a column; one number for each component, as in a table that was read again, is a text there."""
        from ast import literal_eval

        try:
            sizes = [literal_eval(value) if isinstance(value, str) else value for value in self.table[name]]
            return [tuple(map(index, size)) if isinstance(size, tuple | list) else index(size) for size in sizes]
        except (SyntaxError, TypeError, ValueError) as error:
            raise ValueError(f"column {name!r} of the table does not hold whole numbers: {error}") from error

    def _draw(self, values: np.ndarray, errors: np.ndarray | None) -> None:
        names, sizes = self._names(), np.asarray(self._sizes("n_components"))
        distinct = list(dict.fromkeys(names))
        bars = None if errors is None else self._set_apart(len(distinct), sizes)
        self.lines_ = {}
        for number, (look, name) in enumerate(zip(series(len(distinct)), distinct, strict=True)):
            places = np.array([i for i, own in enumerate(names) if own == name])
            places = places[np.argsort(sizes[places], kind="stable")]
            at, height = sizes[places], values[places]
            self.lines_[name] = self.ax_.plot(at, height, label=name, **look)[0]
            if errors is not None and bars is not None:
                bar: dict[str, Any] = {"fmt": "none", "ecolor": look["color"], "capsize": 2, "elinewidth": 0.8}
                self.ax_.errorbar(at + bars[number], height, errors[places], **bar)
        mark: dict[str, Any] = {"linestyle": "", "markersize": 13, "color": INK, "zorder": 5}
        best, within = self.best_, self.one_standard_error_
        self.ax_.plot(sizes[best], values[best], label="best", marker="*", markeredgecolor="white", **mark)
        if errors is not None and within is not None:
            self.ax_.plot(sizes[within], values[within], label=_WITHIN, marker="o", fillstyle="none", **mark)
            limit = values[best] - errors[best]
            self.ax_.axhline(limit, color=FAINT, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1, label=_LIMIT)

    def _set_apart(self, n_lines: int, sizes: np.ndarray) -> np.ndarray:
        """How far the bars of each line stand off its points, so that they do not hide each other."""
        steps = np.diff(np.unique(sizes))
        return 0.1 * (steps.min() if len(steps) else 1) * (np.arange(n_lines) - (n_lines - 1) / 2) / max(n_lines - 1, 1)

    def _names(self) -> list[str]:
        """The line that each candidate belongs to."""
        structures, factors = self.table["structure"].tolist(), self._sizes("n_factors")
        several = len(set(structures)) > 1
        return [f"{code}, q = {q}" if several else f"q = {q}" for code, q in zip(structures, factors, strict=True)]

    def _annotate(self, criterion: str, own_figure: bool) -> None:
        ax = self.ax_
        ax.set(xlabel="number of components", ylabel=LABELS[criterion])
        if self.at_edge_:
            # A line for each: side by side they would be wider than axes of half a page.
            edges = ",\n".join(self.at_edge_)
            before = " " if len(self.at_edge_) == 1 else "\n"
            ax.set_title(f"a better one may lie beyond:{before}{edges}", fontsize="small", color=FAINT)
        if ax.get_xscale() == "linear":
            ax.locator_params(axis="x", integer=True)
        handles, names = ax.get_legend_handles_labels()
        order = sorted(range(len(names)), key=lambda i: names[i] in ("best", _WITHIN, _LIMIT))
        ordered = [handles[i] for i in order], [names[i] for i in order]
        if own_figure:  # its own figure, where there is room below the axes
            named_legend(self.figure_, *ordered, loc="outside lower center", ncols=2)
        else:
            named_legend(ax, *ordered, loc="best")
