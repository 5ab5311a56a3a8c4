"""The density of one or two columns as a picture, over the rows that it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2

from ..._base.checks import check_count
from ..._base.plotting import (
    COLORS,
    FAINT,
    OTHERS,
    check_axes,
    figure_of,
    named_legend,
    new_axes,
    number_text,
    safe_text,
    share_text,
    short_name,
    styled,
)
from .._fitted import fitted_mixture
from .marginal import GaussianMixtureDensity, column_number, highest_density_levels, marginal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from .._mfa import MFA

# Of a component's own mass, how much its ellipse holds; and of the density, what contours are drawn at.
_ELLIPSE = 0.9
_SHARES = (0.99, 0.9, 0.5)
_GRID = {1: 801, 2: 201}
# Of the range, what is shown beyond it at either side.
_MARGIN = 0.03
_MOST_POINTS = 5_000
_AT_ONCE = 2**15
# A weight that need not be spoken of.
_LITTLE = 0.01
# How a component is drawn, in both pictures.
_COMPONENT: dict[str, Any] = {"color": COLORS[5], "linewidth": 1.0, "linestyle": (0, (4, 1.5))}
Feature = int | str


class DensityDisplay:
    """What a mixture says of one column, as a curve over a histogram, or of two, as contours over points.

    Contours are the borders of the regions of highest density that hold 50, 90 and 99 % of the mixture. The heaviest
    components are drawn apart: as thin curves of their share in the density, or as ellipses that hold 90 % of each.
    Given values of other columns, it is the conditional density that is drawn, beside what the columns are without
    them, which is dotted.

    Parameters
    ----------
    density : GaussianMixtureDensity
        Of the columns.
    names : sequence of str
        Of the columns, one or two.
    X : ndarray of shape (n, len(names)), optional
        Rows to draw below.
    unconditional : GaussianMixtureDensity, optional
        Of the same columns, to compare.
    title : str, default=""

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    grid_ : list of ndarray
        Where the density was evaluated, for each column.
    values_ : ndarray
        The density there, (n,) or (n, n), columns of the second first.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.mixture import DensityDisplay
    >>> X = load_iris(as_frame=True).data
    >>> mfa = MFA(3, 1, random_state=0, tol=1e-2, max_iter=500).fit(X)
    >>> display = DensityDisplay.from_estimator(mfa, "petal length (cm)", X=X)
    >>> print(round(float(np.trapezoid(display.values_, display.grid_[0])), 2))
    1.0
    >>> display = DensityDisplay.from_estimator(mfa, [2, 0], given={"petal width (cm)": 0.2}, X=X)
    """

    ax_: Axes
    figure_: Figure
    grid_: list[np.ndarray]
    values_: np.ndarray

    def __init__(
        self,
        density: GaussianMixtureDensity,
        names: Sequence[str],
        *,
        X: np.ndarray | None = None,
        unconditional: GaussianMixtureDensity | None = None,
        title: str = "",
    ) -> None:
        self.density = density
        self.names = names
        self.X = X
        self.unconditional = unconditional
        self.title = title

    @classmethod
    def from_estimator(
        cls,
        mfa: MFA,
        features: Feature | Sequence[Feature],
        *,
        given: Mapping[Feature, float] | None = None,
        X: ArrayLike | None = None,
        n_components: int = 12,
        ax: Axes | None = None,
    ) -> DensityDisplay:
        """Draw the density of one or two columns.

        Parameters
        ----------
        mfa : fitted MFA
        features : int, str, or two of them
            Columns by their numbers, or by their names if the mixture was fitted to a frame.
        given : dict, optional
            Values of other columns, by number or name: the density is that given these.
        X : array-like of shape (n_samples, n_features), optional
            Rows to draw below, such as those of the fit. All are drawn, also with `given`.
        n_components, ax
            As for `plot`.

        Returns
        -------
        DensityDisplay

        Raises
        ------
        ValueError
            If a column is not there, is named twice or both asked for and given, or a value is not finite.
        """
        mfa = fitted_mixture(mfa)
        check_axes(ax)
        several = isinstance(features, Sequence) and not isinstance(features, str)
        columns = [column_number(mfa, feature) for feature in (features if several else [features])]  # type: ignore[union-attr, list-item]
        known = _given_values(mfa, given)
        _check_columns(features, columns, given, known)
        names = [_name(mfa, column) for column in columns]
        conditions = ", ".join(f"{_name(mfa, column)} = {number_text(value, 4)}" for column, value in known.items())
        found = cls(
            marginal(mfa, columns, known),
            names,
            X=None if X is None else _columns_of(X, mfa, columns),
            unconditional=marginal(mfa, columns) if known else None,
            title=conditions and f"given {conditions}",
        )
        return found.plot(ax=ax, n_components=n_components)

    def plot(self, ax: Axes | None = None, *, n_components: int = 12) -> DensityDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where; by default a new figure.
        n_components : int, default=12
            How many components to draw apart, the heaviest first; 0 draws none.

        Returns
        -------
        self
        """
        check_count("n_components", n_components, 0)
        with styled():
            size = (5.2, 3.8) if len(self.names) == 1 else (4.8, 5.0)
            self.ax_ = check_axes(ax) or new_axes("DensityDisplay", size=size)[1]
            self.figure_ = figure_of(self.ax_)
            self.grid_ = [self._places(column) for column in range(len(self.names))]
            draw = self._draw_curve if len(self.names) == 1 else self._draw_contours
            handles, labels = draw(self._heaviest(n_components))
            self.ax_.set_xlabel(short_name(self.names[0], 60), **safe_text())
            if self.title:
                self.ax_.set_title(short_name(self.title, 90), **safe_text())
            if ax is None:  # below the axes, where it hides nothing
                named_legend(self.figure_, handles, labels, loc="outside lower center", ncols=2)
            else:
                named_legend(self.ax_, handles, labels, loc="best")
        return self

    def _heaviest(self, n_most: int) -> np.ndarray:
        """Components that have a share in the density, the heaviest first."""
        weights = np.exp(self.density.log_weights)
        order = np.argsort(-weights, kind="stable")[:n_most]
        return order[weights[order] > 1e-3]

    def _places(self, column: int) -> np.ndarray:
        """Even steps, and more where a component is narrow."""
        mixtures = [mixture for mixture in (self.density, self.unconditional) if mixture is not None]
        ends = [mixture.bounds(column) for mixture in mixtures]
        if self.X is not None and np.isfinite(self.X[:, column]).any():
            ends.append((float(np.nanmin(self.X[:, column])), float(np.nanmax(self.X[:, column]))))
        low, high = min(end[0] for end in ends), max(end[1] for end in ends)
        margin = _MARGIN * (high - low)
        even, step = np.linspace(low - margin, high + margin, _GRID[len(self.names)], retstep=True)
        more = np.concatenate([mixture.places(column, float(step)) for mixture in mixtures])
        return np.unique(np.concatenate([even, more[(more > even[0]) & (more < even[-1])]]))

    def _draw_curve(self, components: np.ndarray) -> tuple[list[Any], list[str]]:
        (grid,), ax = self.grid_, self.ax_
        points = grid[:, None]
        self.values_ = self.density.pdf(points)
        handles, labels = [], []
        if self.X is not None:
            rows = self.X[np.isfinite(self.X[:, 0]), 0]
            if len(rows):
                bars: Any = ax.hist(rows, bins="auto", density=True, color="#dedede", zorder=0)[2]
                handles.append(bars[0])
                labels.append(self._rows_name())
        shares = np.exp(self.density.log_joint(points)[:, components])
        for share in shares.T:
            thin = ax.plot(grid, share, **_COMPONENT)[0]
        if len(components) and len(self.density.log_weights) > 1:
            handles, labels = [*handles, thin], [*labels, self._components_name(components)]
        if self.unconditional is not None:
            other = ax.plot(grid, self.unconditional.pdf(points), color=FAINT, linestyle=":", linewidth=1.5)[0]
            handles, labels = [*handles, other], [*labels, "given nothing"]
        handles.append(ax.plot(grid, self.values_, color=COLORS[0], linewidth=1.8)[0])
        labels.append("density")
        ax.set_ylabel("density")
        ax.set_ylim(bottom=0)
        ax.set_xlim(grid[0], grid[-1])
        return handles, labels

    def _draw_contours(self, components: np.ndarray) -> tuple[list[Any], list[str]]:
        from matplotlib.lines import Line2D

        ax, (x, y) = self.ax_, self.grid_
        points = np.stack(np.meshgrid(x, y), axis=-1)
        self.values_ = self.density.pdf(points.reshape(-1, 2)).reshape(points.shape[:2])
        handles, labels = self._draw_rows()
        if self.unconditional is not None:
            before = self.unconditional.pdf(points.reshape(-1, 2)).reshape(points.shape[:2])
            self._contour(self.unconditional, before, colors=[FAINT], linestyles=":", linewidths=1.2)
            handles.append(Line2D([], [], color=FAINT, linestyle=":", linewidth=1.2))
            labels.append("given nothing")
        widths = (0.7, 1.1, 1.7)
        self._contour(self.density, self.values_, colors=[COLORS[0]], linewidths=widths)
        handles += [Line2D([], [], color=COLORS[0], linewidth=width) for width in widths]
        labels += [f"{share_text(share)} of the density" for share in _SHARES]
        if len(components) and len(self.density.log_weights) > 1:
            self._draw_ellipses(components)
            handles.append(Line2D([], [], **_COMPONENT))
            labels.append(self._components_name(components))
        ax.set_ylabel(short_name(self.names[1], 60), **safe_text())
        ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
        return handles, labels

    def _draw_rows(self) -> tuple[list[Any], list[str]]:
        if self.X is None:
            return [], []
        rows = self.X[np.isfinite(self.X).all(1)]
        if not len(rows):
            return [], []
        if len(rows) > _MOST_POINTS:
            rows = rows[np.random.RandomState(0).choice(len(rows), _MOST_POINTS, replace=False)]
        size = float(np.clip(3000 / max(len(rows), 1), 2, 12))
        look: dict[str, Any] = {"color": OTHERS, "linewidths": 0, "zorder": 0, "rasterized": len(rows) > 1000}
        return [self.ax_.scatter(rows[:, 0], rows[:, 1], s=size, **look)], [self._rows_name()]

    def _contour(self, density: GaussianMixtureDensity, values: np.ndarray, **look: Any) -> None:
        self.ax_.contour(*self.grid_, values, levels=highest_density_levels(density, _SHARES), **look)

    def _draw_ellipses(self, components: np.ndarray) -> None:
        from matplotlib.patches import Ellipse

        radius = np.sqrt(chi2.ppf(_ELLIPSE, 2))
        for k in components:
            lengths, axes = np.linalg.eigh(self.density.covariances[k])
            angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
            long, short = 2 * radius * np.sqrt(lengths[::-1])
            self.ax_.add_patch(
                Ellipse(tuple(self.density.means[k]), long, short, angle=angle, fill=False, **_COMPONENT)
            )

    def _components_name(self, drawn: np.ndarray) -> str:
        left_out = 1 - np.exp(self.density.log_weights[drawn]).sum()
        if left_out < _LITTLE:
            return "components"
        return "the heaviest component" if len(drawn) == 1 else f"the {len(drawn)} heaviest components"

    def _rows_name(self) -> str:
        return "rows" if self.unconditional is None else "all rows"


def _name(mfa: Any, column: int) -> str:
    names = getattr(mfa, "feature_names_in_", None)
    return f"column {column}" if names is None else str(names[column])


def _given_values(mfa: Any, given: Any) -> dict[int, float]:
    """Values by number of their column."""
    if not isinstance(given, Mapping | None):
        raise TypeError(f"given={given!r} must be a dict of values by column, such as {{0: 1.5}}")
    try:
        return {column_number(mfa, feature): float(value) for feature, value in (given or {}).items()}
    except (TypeError, ValueError) as error:
        if "is no column" in str(error):
            raise
        raise TypeError(f"given={given!r} must hold one number for each column") from None


def _check_columns(features: Any, columns: list[int], given: Any, known: dict[int, float]) -> None:
    if not 1 <= len(columns) <= 2 or len(set(columns)) != len(columns):
        raise ValueError(f"features={features!r} must name one column, or two different ones")
    both = set(columns) & set(known)
    if both or len(known) < len(given or {}):
        raise ValueError(f"given={given!r} names a column twice, or one of features={features!r}: give each once")
    if not np.isfinite(list(known.values())).all():
        raise ValueError(f"given={given!r} must hold finite numbers; leave a column out that is not known")


def _columns_of(X: Any, mfa: Any, columns: list[int]) -> np.ndarray:
    """Some columns of rows, (n, d)."""
    import torch

    from ..._base.annotated import given_rows
    from ..._base.mapped import read_rows
    from .._validation import check_rows

    rows, device = check_rows(mfa, given_rows(X), reset=False), torch.device("cpu")
    starts = range(0, rows.shape[0], _AT_ONCE)
    pieces = [read_rows(rows, slice(start, start + _AT_ONCE), device)[:, columns].double() for start in starts]
    return torch.cat(pieces).numpy()
