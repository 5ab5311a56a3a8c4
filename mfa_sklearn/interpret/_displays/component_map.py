"""All components of a mixture on one map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._base.checks import check_count, import_optional
from ..._base.plotting import PAGE_WIDTH, check_axes, figure_of, new_axes, set_titles, short_name, styled
from ..._base.words import plural
from .._between.component_map import ComponentMap, component_map
from .._inputs import check_mixture
from .._summary import describe_components
from .coloring import Coloring, coloring, explain, set_markers
from .labels import quoted, write_labels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Annotation
    from numpy.typing import ArrayLike

    from ...activations import ActivationStore, StoredActivations
    from ...mixture import MFA
    from .._between.distances import ComponentDistances

_MAX_CLUSTERS = 12
_N_TOKENS = 2
# The share of the axes that all marks have together, and the least and most that one has, in points squared.
_FILLED, _SMALLEST, _LARGEST = 0.055, 10.0, 500.0


class ComponentMapDisplay:
    """Components as points of a plane, near where they are alike, as large as their weights.

    Make one with `from_estimator`, or from a `ComponentMap`.

    Parameters
    ----------
    components : ComponentMap
        What `component_map` returns.
    weights : array-like of shape (K,)
        The mixture's weights, which the points' areas show.
    names : sequence of str of length K, optional
        What to write beside components; by default their numbers.
    color : "cluster" or array-like of length K, default="cluster"
        What colors say. Strings are told apart, the most frequent with a color and a marker each; numbers are ordered.
    color_title : str, optional
        What the legend or color bar is called.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatter_ : PathCollection
        One point per component, in their order.
    text_ : list of Annotation
        The names that are written out.
    legend_ : Legend or None
    colorbar_ : Colorbar or None

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA, ComponentMapDisplay
    >>> means = np.random.default_rng(0).normal(size=(20, 3)) * 9
    >>> mfa = MFA.from_params(np.full(20, 0.05), means, np.ones((20, 3, 1)), np.ones(3))
    >>> display = ComponentMapDisplay.from_estimator(mfa)
    >>> len(display.scatter_.get_offsets())
    20
    """

    ax_: Axes
    figure_: Figure
    scatter_: PathCollection
    text_: list[Annotation]
    legend_: Legend | None
    colorbar_: Colorbar | None

    def __init__(
        self,
        components: ComponentMap,
        weights: ArrayLike,
        *,
        names: Sequence[str] | None = None,
        color: str | ArrayLike = "cluster",
        color_title: str | None = None,
    ) -> None:
        self.components = components
        self.weights = weights
        self.names = names
        self.color = color
        self.color_title = color_title

    @classmethod
    def from_estimator(
        cls,
        mfa: MFA,
        activations: ArrayLike | ActivationStore | StoredActivations | None = None,
        *,
        color: str | ArrayLike = "cluster",
        distances: ComponentDistances | ArrayLike | None = None,
        n_clusters: int | None = None,
        random_state: int | None = 0,
        tokens: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        table: pd.DataFrame | None = None,
        max_labels: int = 40,
        ax: Axes | None = None,
    ) -> ComponentMapDisplay:
        """Lay out a mixture's components and draw them.

        Parameters
        ----------
        mfa : fitted MFA
        activations : ActivationArray, activation store or array-like, of shape (n, n_features), optional
            Rows to take names from: the first tokens of each component, or its concept. Without them components are
            called by their numbers.
        color : str or array-like of length K, default="cluster"
            "cluster", "weight", any column of `describe_components` (such as "concept", "purity", "size", "dimension",
            "spread"), or a value for each component.
        distances, n_clusters, random_state
            As for `component_map`.
        tokens, labels : array-like of shape (n,), optional
            By default those that the activations carry.
        table : DataFrame, optional
            What `describe_components` returned, where it is known already; it stands for `activations`.
        max_labels, ax
            As for `plot`.

        Returns
        -------
        ComponentMapDisplay

        Raises
        ------
        ValueError
            If an argument is out of range, or nothing is known by the name `color`.
        """
        check_mixture(mfa)
        check_count("max_labels", max_labels, 0)
        check_axes(ax)
        for package in ("matplotlib.pyplot", *(["textalloc"] if max_labels else [])):
            import_optional(package, "ComponentMapDisplay")
        found = component_map(mfa, distances, n_clusters=n_clusters, random_state=random_state)
        if table is None and activations is not None:
            table = describe_components(mfa, activations, tokens, labels)
        if table is not None and list(table.index) != list(range(len(found))):
            raise ValueError(
                f"table has {len(table)} lines, not those of the components 0 to {len(found) - 1} in their order: give "
                "what describe_components(mfa, X) returned"
            )
        names = _names(table)
        values, title = _component_values(mfa, color, table)
        if isinstance(values, str) and names is not None:
            values, title = _cluster_names(found.clusters, np.asarray(mfa.weights_), names), "cluster"
        display = cls(found, np.asarray(mfa.weights_), names=names, color=values, color_title=title)
        return display.plot(ax=ax, max_labels=max_labels)

    def plot(
        self, ax: Axes | None = None, *, max_labels: int = 40, scatter_kwargs: dict[str, Any] | None = None
    ) -> ComponentMapDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where; by default a new figure, as wide as a page.
        max_labels : int, default=40
            Most names to write out, those of the largest components first. Those that find no room are left out.
        scatter_kwargs : dict, optional
            For ``ax.scatter``, on top of the defaults.

        Returns
        -------
        self
        """
        check_count("max_labels", max_labels, 0)
        weights = np.asarray(self.weights, dtype=float)
        n_components = len(self.components)
        if weights.shape != (n_components,):
            raise ValueError(f"weights has shape {weights.shape} for a map of {n_components} components")
        colors = self._coloring()
        width, height = np.ptp(self.components.coordinates, axis=0)
        size = (PAGE_WIDTH, 0.8 + (PAGE_WIDTH - 1.6) * float(np.clip(height / max(width, 1e-12), 0.45, 1.0)))
        self.ax_ = check_axes(ax) or new_axes("ComponentMapDisplay", size=size)[1]
        self.figure_ = figure_of(self.ax_)
        with styled():
            self._draw(weights, colors, scatter_kwargs or {})
            self.legend_, self.colorbar_ = explain(self.ax_, colors)
            detail = f"area: share of rows · near: alike (trustworthiness {self.components.trustworthiness:.2f})"
            set_titles(self.ax_, plural(n_components, "component"), detail)
            self.text_ = self._write_names(weights, max_labels)
        return self

    def _coloring(self) -> Coloring:
        color = self.color
        if isinstance(color, str):
            if color != "cluster":
                raise ValueError(f"color={color!r} is unknown of a map alone: give 'cluster' or a value per component")
            names = np.array([f"cluster {cluster}" for cluster in self.components.clusters])
            return coloring(names, self.color_title or "", most=_MAX_CLUSTERS)
        values = np.asarray(color)
        if values.shape != (len(self.components),):
            raise ValueError(f"color has shape {values.shape} for a map of {len(self.components)} components")
        return coloring(values, self.color_title or "", missing="(none)", most=_MAX_CLUSTERS)

    def _draw(self, weights: np.ndarray, colors: Coloring, scatter_kwargs: dict[str, Any]) -> None:
        ax: Any = self.ax_
        self.figure_.draw_without_rendering()
        frame = ax.get_window_extent()
        area = _FILLED * frame.width * frame.height * (72 / self.figure_.dpi) ** 2
        sizes = np.clip(area * weights / max(weights.sum(), 1e-300), _SMALLEST, _LARGEST)
        options = {"s": sizes, "c": colors.colors, "linewidths": 0.5, "edgecolors": "white", **scatter_kwargs}
        self.scatter_ = ax.scatter(*self.components.coordinates.T, **options)
        set_markers(self.scatter_, colors.codes)
        ax.set_aspect("equal", adjustable="datalim")
        # Only nearness means anything, so there is nothing to read off axes.
        ax.set(xticks=[], yticks=[])
        for side in ax.spines.values():
            side.set_visible(False)
        ax.margins(0.12)

    def _write_names(self, weights: np.ndarray, max_labels: int) -> list[Annotation]:
        n_components = len(weights)
        names = [str(k) for k in range(n_components)] if self.names is None else [short_name(n) for n in self.names]
        if len(names) != n_components:
            raise ValueError(f"names holds {len(names)} entries for a map of {n_components} components")
        largest = [k for k in np.argsort(-weights, kind="stable") if names[k]][:max_labels]
        self.figure_.draw_without_rendering()
        places, said = self.components.coordinates, [names[k] for k in largest]
        radii = np.broadcast_to(np.sqrt(self.scatter_.get_sizes()) / 2, n_components)
        how: dict[str, Any] = {"avoid": places, "radii": (radii[largest], radii), "keep_clear": self.legend_}
        how["asker"] = "ComponentMapDisplay"
        return write_labels(self.ax_, places[largest], said, fontsize="small", **how)


def _names(table: pd.DataFrame | None) -> list[str] | None:
    """The first tokens of each component, else its concept, of those that are known."""
    if table is None:
        return None
    if "tokens" in table:
        return [" · ".join(map(quoted, str(tokens).split(" · ")[:_N_TOKENS])) for tokens in table["tokens"]]
    return None if "concept" not in table else ["" if name is None else str(name) for name in table["concept"]]


def _cluster_names(clusters: np.ndarray, weights: np.ndarray, names: list[str]) -> np.ndarray:
    """For each component its cluster's number and the first words of the cluster's largest components, (K,)."""
    order, found = np.argsort(-weights, kind="stable"), {}
    for cluster in np.unique(clusters):
        own = [names[k].split(" · ")[0] for k in order if clusters[k] == cluster and names[k]]
        found[cluster] = f"{cluster}: {' · '.join(list(dict.fromkeys(own))[:_N_TOKENS])}".rstrip(": ")
    return np.array([found[cluster] for cluster in clusters])


def _component_values(mfa: MFA, color: Any, table: pd.DataFrame | None) -> tuple[Any, str | None]:
    """What colors say of each component, and what it is called."""
    if not isinstance(color, str):
        return np.asarray(color), getattr(color, "name", None)
    if color == "cluster":
        return color, None
    if table is not None and color in table:
        return table[color].to_numpy(), color.replace("_", " ")
    if color == "weight":
        return np.asarray(mfa.weights_), color
    known = list(dict.fromkeys(["cluster", "weight", *(() if table is None else table.columns)]))
    raise ValueError(
        f"color={color!r} is not known of these components; choose one of {known}"
        + (", or give activations, of which more is known" if table is None else "")
    )
