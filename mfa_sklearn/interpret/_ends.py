"""What lies at either end of a component's factors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.checks import check_count, import_optional
from ._coordinates import Axes, OwnCoordinates
from ._inputs import as_rows, check_mixture, optional_fact, selected_components
from ._over_represented import Items, OverRepresented
from ._own_rows import bounds
from ._scan import Assignments, scan
from ._text import Contexts

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from ..activations import ActivationStore, StoredActivations
    from ..mixture import MFA

ENDS = ("low", "high")


def factor_ends(
    mfa: MFA,
    activations: ArrayLike | ActivationStore | StoredActivations,
    tokens: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    *,
    components: int | Sequence[int] | None = None,
    axes: str = "principal",
    fraction: float = 0.1,
    n_rows: int = 3,
    n_tokens: int = 5,
    n_concepts: int = 2,
    context: int = 40,
    stop_tokens: Collection[str] | None = None,
) -> pd.DataFrame:
    """What lies at the low and at the high end of each factor of each component.

    Parameters
    ----------
    mfa : fitted MFA
    activations : ActivationArray, activation store or array-like, of shape (n, n_features)
        Whatever `fit` takes, frames included.
    tokens, labels : array-like of shape (n,), optional
        By default those that the activations carry.
    components : int or array-like of int, optional
        Which components to list; by default all.
    axes : {"principal", "factors"}, default="principal"
        The subspace's principal axes, the largest modeled variance first, or the loadings as they were fitted: see
        `project`. Which end is the high one is a convention of either.
    fraction : float, default=0.1
        Share of a component's rows that counts as an end, in (0, 0.5]; an end has `n_rows` rows at least, as far as
        half of the component's rows allow.
    n_rows, n_tokens, n_concepts : int
        Most rows, tokens and labels to name of each end.
    context : int, default=40
        Most characters of text to show on either side of a row's token; 0 for no column "contexts".
    stop_tokens : collection of str, optional
        Tokens not to name, see `top_tokens`.

    Returns
    -------
    DataFrame
        Two lines per component and factor that the component has rows and variance for, sorted by component, factor and
        from low to high, with the columns

        * component, factor (number of the axis), end: "low" or "high";
        * share: of the variance that the component's factors model, in [0, 1];
        * size: how many rows the end has;
        * tokens, concepts: those over-represented at this end against the rest of the component, the most surprising
          first, as text. Left out where nothing is known of tokens, or of labels;
        * rows: tuple of the most extreme rows, the outermost first;
        * contexts: tuple of their texts, the token marked as ``«token»``. Left out where nothing is known of texts.

    Raises
    ------
    ValueError
        If an argument is out of range or has the wrong length, or if the activations are known to be of another model,
        layer, site or pooling than those the mixture was fitted on.

    See Also
    --------
    project : The coordinates of a component's rows, of which the ends are the smallest and the largest.

    Notes
    -----
    A row belongs to its most probable component, and its place along an axis is the posterior mean of `project`. Tokens
    and labels are ordered by the log-likelihood ratio of `top_concepts`, of the table (at this end or not) x (has the
    token or not) over the component's own rows.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA, factor_ends
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(400, 1))
    >>> X = z * [5, 4, 3, 2] + rng.normal(size=(400, 4))
    >>> tokens = np.where(z[:, 0] < -1, " cold", np.where(z[:, 0] > 1, " hot", " mild"))
    >>> factor_ends(MFA(1, 1).fit(X), X, tokens)[["component", "factor", "end", "share", "size", "tokens"]]
       component  factor   end  share  size tokens
    0          0       0   low    1.0    40   cold
    1          0       0  high    1.0    40    hot
    """
    pd = import_optional("pandas", "factor_ends")
    n_components = check_mixture(mfa)
    if not isinstance(fraction, Real) or not 0 < fraction <= 0.5:
        raise ValueError(f"fraction={fraction!r} is the share of a component's rows at one end: give one in (0, 0.5]")
    for name, value in (("n_rows", n_rows), ("n_tokens", n_tokens), ("n_concepts", n_concepts)):
        check_count(name, value)
    check_count("context", context, 0)
    chosen = selected_components(components, n_components)
    X = as_rows(activations, mfa)
    named = {
        "tokens": (Items.of_tokens(X, tokens, stop_tokens, "factor_ends"), n_tokens, " · "),
        "concepts": (Items.of_labels(X, labels, "factor_ends"), n_concepts, ", "),
    }
    contexts = known_contexts(X, tokens, context)
    directions, own = Axes(mfa, axes), Assignments(len(X))
    places = OwnCoordinates(mfa, X, directions, np.isin(np.arange(n_components), chosen))
    scan(mfa, X, own, places)
    names = {
        name: partial(OverRepresented(items, own.components, n_components).names, n_most=most, glue=glue)
        for name, (items, most, glue) in named.items()
        if items is not None
    }
    table = EndLines(names, own.components, n_rows, contexts)
    for axis, (coordinates, shares) in enumerate(zip(places.coordinates.T, directions.shares.T, strict=True)):
        tails = tail_rows(own.components, coordinates, n_components, fraction, n_rows)
        for end, rows in zip(ENDS, tails, strict=True):
            table.add({"factor": axis, "end": end}, shares, rows)
    return table.frame(pd)


class EndLines:
    """Gathers the lines of `factor_ends`.

    Parameters
    ----------
    names : dict of str to callable
        For each column, what makes text of rows, one for each component.
    components : ndarray of int of shape (n,)
    n_rows : int
    contexts : Contexts or None
    """

    def __init__(
        self,
        names: Mapping[str, Callable[[np.ndarray], list[str]]],
        components: np.ndarray,
        n_rows: int,
        contexts: Contexts | None,
    ) -> None:
        self._names, self._components, self._n_rows, self._contexts = names, components, n_rows, contexts
        self._columns = ["component", "factor", "end", "share", "size", *names, "rows"]
        self._columns += ["contexts"] if contexts else []
        self._lines: list[dict[str, Any]] = []

    def add(self, facts: Mapping[str, Any], shares: np.ndarray, rows: np.ndarray) -> None:
        """Add one end of one axis of all components that have variance there and rows at the end."""
        start, stop = bounds(self._components[rows], len(shares))
        texts = {name: made(rows) for name, made in self._names.items()}
        for k in np.flatnonzero((stop > start) & (shares > 0)).tolist():
            shown = tuple(rows[start[k] : stop[k]][: self._n_rows].tolist())
            line = {"component": k, **facts, "share": shares[k], "size": stop[k] - start[k], "rows": shown}
            if self._contexts:
                line["contexts"] = tuple(map(self._contexts, shown))
            self._lines.append(line | {name: own[k] for name, own in texts.items()})

    def frame(self, pd: Any) -> pd.DataFrame:
        """The table, by component, factor and from low to high."""
        table = pd.DataFrame(self._lines, columns=self._columns)
        return table.sort_values(["component", "factor"], kind="stable", ignore_index=True)


def known_contexts(activations: Any, tokens: ArrayLike | None, width: int) -> Contexts | None:
    """What shows rows in their texts; None where nothing is known of texts, or no width is asked for."""
    values = optional_fact(activations, "tokens", tokens)
    contexts = None if values is None or not width else Contexts(activations, values, width)
    return contexts if contexts is not None and contexts.known else None


def tail_rows(
    components: np.ndarray, places: np.ndarray, n_components: int, fraction: float, least: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows at the low and at the high end of each component, by component and the outermost first.

    Parameters
    ----------
    components : ndarray of int of shape (n,)
    places : ndarray of shape (n,)
        Where each row lies along an axis; rows of NaN are left out.
    n_components : int
    fraction : float
        Share of the component's rows at an end.
    least : int
        Rows at an end, as far as half of the component's rows allow.
    """
    rows = np.flatnonzero(~np.isnan(places))
    order = rows[np.lexsort((places[rows], components[rows]))]
    owners = components[order]
    start, stop = bounds(owners, n_components)
    size = stop - start
    n_tail = np.minimum(np.maximum(np.ceil(fraction * size), least), size // 2)
    rank = np.arange(len(order)) - start[owners]
    low = order[rank < n_tail[owners]]
    high = order[size[owners] - rank <= n_tail[owners]][::-1]
    return low, high[np.argsort(components[high], kind="stable")]
