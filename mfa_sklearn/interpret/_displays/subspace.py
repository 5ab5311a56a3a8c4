"""A component's subspace as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._base.checks import check_component, check_count, import_optional
from ..._base.plotting import INK, check_axes, figure_of, new_axes, set_titles, share_text, styled
from ..._base.words import plural
from .._inputs import as_rows, check_mixture
from .._project import Projection, project
from .._scale import natural_scale
from .._text import label_text
from .axes import NOUNS, chosen_axes
from .coloring import Coloring, coloring, explain, set_markers, worth_coloring
from .facts import Meaning, loading_columns, meaning_of, row_values
from .labels import choose_labels, label_names, write_labels
from .shapes import density, figure_size, fit_axes, histogram_below, mark_size, projected, without_strays

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Annotation
    from numpy.typing import ArrayLike

    from ...activations import ActivationStore, StoredActivations
    from ...mixture import MFA

# More points than these are drawn as pixels on a ground of their density: vectors would make files of many megabytes.
_MANY = 1_500
# Axes of a picture, unless others are asked for, and at most.
_AXES = 2, 3


class SubspaceDisplay:
    """Rows of a component, drawn by their places along one, two or three axes of its subspace.

    Make one with `from_estimator`, or from a `Projection`. Distances are in the unit of the activations; where the
    projection has a `scale`, as for tables, each column counts in its standard deviations (SD), and axes name the
    columns that load most on them.

    Parameters
    ----------
    projection : Projection
        What `project` returns.
    factors : int or sequence of 1 to 3 int, optional
        Which axes to draw; by default the first two, or the only one there is. One is drawn against the rows'
        `residuals`, how far they lie from the subspace, over a histogram; three make a picture in three dimensions.
    color : str or array-like of length n_k, optional
        What colors say: "token", "concept" (the labels), "responsibility", "residual", or a value for each row of the
        projection; "none" for one color. By default concepts, where one has a tenth of the rows or more.
    color_title : str, optional
        What the legend or color bar is called.
    meaning : Meaning, optional
        What `from_estimator` knows of the component beyond the projection, for titles.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatter_ : PathCollection
        One point per row, in the order of the projection.
    text_ : list of Annotation
        The tokens that are written out.
    n_outside_ : int
        Rows that the axes leave out, because they are so few and so far away that the others would be squeezed: one in
        a hundred at most, or a single one.
    legend_ : Legend or None
        Of the colors and markers of categories and of few integers.
    colorbar_ : Colorbar or None
        Of the colors of quantities.

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
    text_: list[Annotation]
    n_outside_: int
    legend_: Legend | None
    colorbar_: Colorbar | None

    def __init__(
        self,
        projection: Projection,
        *,
        factors: int | Sequence[int] | None = None,
        color: str | ArrayLike | None = None,
        color_title: str | None = None,
        meaning: Meaning | None = None,
    ) -> None:
        self.projection = projection
        self.factors = factors
        self.color = color
        self.color_title = color_title
        self.meaning = meaning

    @classmethod
    def from_estimator(
        cls,
        mfa: MFA,
        activations: ArrayLike | ActivationStore | StoredActivations,
        component: int,
        *,
        factors: int | Sequence[int] | None = None,
        axes: str = "principal",
        scale: str | None = "auto",
        color: str | ArrayLike | None = None,
        rows: ArrayLike | None = None,
        threshold: float | None = None,
        tokens: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        max_labels: int = 40,
        ax: Axes | None = None,
        scatter_kwargs: dict[str, Any] | None = None,
        text_kwargs: dict[str, Any] | None = None,
    ) -> SubspaceDisplay:
        """Project a component's rows and draw them.

        Parameters
        ----------
        mfa, activations, component, rows, threshold, tokens, labels
            As for `project`.
        factors : int or sequence of 1 to 3 int, optional
            As for the class.
        axes : {"principal", "factors"}, default="principal"
            The subspace's principal axes, of which the first shows most, or the loadings as they were fitted.
        scale : {"auto", "columns"}, optional
            As for `project`; "auto" is "columns" where rows carry no tokens and some column varies more than five times
            as much as the middle one, as where columns of a table have different units.
        color : str or array-like, optional
            As for the class, or the name of any fact that rows of activations carry, such as "positions" or
            "text_index"; or one value per row of `activations`.
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
        check_count("max_labels", max_labels, 0)
        import_optional("matplotlib.pyplot", "SubspaceDisplay")
        check_axes(ax, _n_dimensions(chosen_axes(factors, np.asarray(mfa.loadings_[component]), *_AXES)))
        X = as_rows(activations, mfa)
        values, title = row_values(X, color, labels)
        scale = natural_scale(mfa, X, tokens) if scale == "auto" else scale
        found = project(
            mfa, X, component, rows=rows, threshold=threshold, axes=axes, scale=scale, tokens=tokens, labels=labels
        )
        own = color if values is None else values[found.rows]
        meaning = meaning_of(found, mfa, X, tokens, labels)
        display = cls(found, factors=factors, color=own, color_title=title, meaning=meaning)
        return display.plot(ax=ax, max_labels=max_labels, scatter_kwargs=scatter_kwargs, text_kwargs=text_kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        max_labels: int = 40,
        scatter_kwargs: dict[str, Any] | None = None,
        text_kwargs: dict[str, Any] | None = None,
    ) -> SubspaceDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where; by default a new figure, as wide as a page. Three axes need one with ``projection="3d"``.
        max_labels : int, default=40
            Most tokens to write out: one for each token and cluster of its rows. Those that find no room are left out,
            so there may be fewer.
        scatter_kwargs, text_kwargs : dict, optional
            For ``ax.scatter`` and ``ax.annotate``, on top of the defaults.

        Returns
        -------
        self
        """
        check_count("max_labels", max_labels, 0)
        import_optional("matplotlib.pyplot", "SubspaceDisplay")
        chosen = chosen_axes(self.factors, self.projection.directions, *_AXES)
        points, colors = self._points(chosen), self._coloring()
        near = without_strays(points) if len(chosen) < 3 else np.isfinite(points).all(1)
        self.n_outside_ = int(np.isfinite(points).all(1).sum() - near.sum())
        self.ax_ = _axes_for(points[near], chosen, ax, bool(colors.entries))
        self.figure_ = figure_of(self.ax_)
        with styled():
            self._draw_points(points, near, colors, scatter_kwargs or {})
            self._name_axes(chosen)
            self.legend_, self.colorbar_ = explain(self.ax_, colors)
            set_titles(self.ax_, *self._titles())
            self.text_ = self._write_tokens(points, near, max_labels, text_kwargs or {})
        return self

    def _meaning(self) -> Meaning:
        return meaning_of(self.projection) if self.meaning is None else self.meaning

    def _points(self, factors: list[int]) -> np.ndarray:
        """Where to draw each row, (n, 2) or (n, 3)."""
        along = self.projection.coordinates[:, factors] * self.projection.lengths[factors]
        if len(factors) > 1:
            return along
        if self.projection.residuals is None:
            raise ValueError("one factor is drawn against the rows' residuals, which this Projection does not hold")
        return np.column_stack([along, self.projection.residuals])

    def _coloring(self) -> Coloring:
        found, color = self.projection, self.color
        if color is None:
            color = "concept" if worth_coloring(found.labels) else "none"
        if not isinstance(color, str):
            values = np.asarray(color)
            if values.shape != (len(found),):
                raise ValueError(f"color has shape {values.shape} for the {len(found)} rows of this projection")
            return coloring(values, self.color_title or "", len(found))
        known = {
            "none": None,
            **{"token": found.tokens, "concept": found.labels, "label": found.labels},
            **{"responsibility": found.responsibilities, "residual": found.residuals},
        }
        if color not in known or (color != "none" and known[color] is None):
            usable = [name for name, values in known.items() if name == "none" or values is not None]
            raise ValueError(f"color={color!r} is not known of these rows; choose one of {usable}, or give values")
        if color == "token":
            return coloring(label_names(found.tokens, label_text), color, len(found))
        return coloring(known[color], color, len(found), "(no label)")

    def _draw_points(
        self, points: np.ndarray, near: np.ndarray, colors: Coloring, scatter_kwargs: dict[str, Any]
    ) -> None:
        many = len(points) > _MANY
        size = mark_size(self.ax_, len(points))
        options = {"s": size, "c": colors.colors, "linewidths": 0, "rasterized": many, **scatter_kwargs}
        if "color" in options or "facecolors" in options:
            options.pop("c")
        if points.shape[1] == 3:
            options.setdefault("depthshade", True)
        self.scatter_ = self.ax_.scatter(*points.T, **options)
        set_markers(self.scatter_, colors.codes)
        if points.shape[1] == 2 and many:
            density(self.ax_, points[near])
        if self.n_outside_:
            fit_axes(self.ax_, points[near])
        if self.projection.residuals is not None and np.array_equal(points[:, -1], self.projection.residuals):
            histogram_below(self.ax_, points[near, 0])

    def _name_axes(self, factors: list[int]) -> None:
        found, noun = self.projection, NOUNS[self.projection.axes]
        names, unit = self._meaning().columns, "distance" if found.scale is None else "SD"
        for dimension, j in zip("xyz", factors, strict=False):
            share = f" ({share_text(found.energy[j])} of variance)" if np.isfinite(found.energy[j]) else ""
            if len(factors) == 3:  # where there is room for little
                getattr(self.ax_, f"set_{dimension}label")(f"{noun} {j}{share.replace(' of variance', '')}")
                continue
            loads = "" if names is None else "\n" + loading_columns(found, j, names)
            getattr(self.ax_, f"set_{dimension}label")(f"{unit} along {noun} {j}{share}{loads}", parse_math=False)
        if len(factors) == 1:
            self.ax_.set_ylabel("distance from the subspace\n(root mean square, in noise standard deviations)")
        if not len(found):
            place: dict[str, Any] = {"xycoords": "axes fraction", "ha": "center", "color": INK}
            self.ax_.annotate("no rows belong to this component", (0.5, 0.5), **place)

    def _titles(self) -> tuple[str, str]:
        found, meaning = self.projection, self._meaning()
        about, detail = meaning.title, [plural(len(found), "row")]
        if meaning.concept:
            detail.append(meaning.concept)
        if self.n_outside_:
            detail.append(f"{self.n_outside_} outside")
        if np.isfinite(found.captured_energy):
            detail.append(f"{share_text(found.captured_energy)} of variance in its subspace")
        return f"component {found.component}" + (f": {about}" if about else ""), " · ".join(detail)

    def _write_tokens(
        self, points: np.ndarray, near: np.ndarray, max_labels: int, text_kwargs: dict[str, Any]
    ) -> list[Annotation]:
        tokens = self.projection.tokens
        if tokens is None or not max_labels or not near.any():
            return []
        self.figure_.draw_without_rendering()
        flat, depth = projected(self.ax_, points[near])
        names = label_names(np.asarray(tokens)[near], label_text)
        rows = choose_labels(self.ax_.transData.transform(flat), names, max_labels)
        options: dict[str, Any] = {"fontsize": "small", **text_kwargs}
        alphas = None if depth is None else depth[rows]
        return write_labels(
            self.ax_,
            flat[rows],
            names[rows].tolist(),
            avoid=flat,
            keep_clear=self.legend_,
            alphas=alphas,
            asker="SubspaceDisplay",
            **options,
        )


def _n_dimensions(factors: list[int]) -> int:
    return 3 if len(factors) == 3 else 2


def _axes_for(points: np.ndarray, factors: list[int], ax: Any, has_legend: bool) -> Any:
    """The given axes if that many factors can be drawn there, else new ones of the shape of the points."""
    if check_axes(ax, _n_dimensions(factors)) is not None:
        return ax
    size, options = figure_size(points, len(factors), has_legend)
    return new_axes("SubspaceDisplay", size=size, subplot_kw=options)[1]
