"""One line per component: what it holds, how sure its rows are of it, its shape, and its neighbor."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.checks import check_count, import_optional
from ._between.neighbors import neighbors
from ._concepts import ConceptCounts
from ._coordinates import Axes, OwnCoordinates
from ._ends import known_contexts, tail_rows
from ._inputs import any_known, as_rows, check_mixture, optional_fact
from ._over_represented import Items, OverRepresented
from ._own_rows import OwnRows, bounds, tuples
from ._scale import are_activations, units_of
from ._scan import scan
from ._shape import component_shapes
from ._telling_columns import column_names, column_offsets, telling_columns
from ._text import label_text, visible
from ._top_tokens import TokenRanking

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from ..activations import ActivationStore, StoredActivations
    from ..mixture import MFA

# A screen that is too narrow for all columns shows the first and the last ones: what says most stands there.
_ORDER = (
    *(
        "tokens",
        "columns",
        "size",
        "weight",
        "sharpness",
        "labeled",
        "concept",
        "share",
        "lift",
        "q_value",
        "n_enriched",
        "purity",
    ),
    *("spread", "dimension", "factors_90", "nearest", "nearest_distance"),
    *("typical", "outlying", "contexts", "ends", "concepts"),
)
# Of an end: the share of a component's rows, their least number, and how many tokens are named.
_FRACTION, _LEAST_ROWS, _NAMES = 0.1, 3, 3


def describe_components(
    mfa: MFA,
    activations: ArrayLike | ActivationStore | StoredActivations,
    tokens: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
    n_tokens: int = 6,
    n_concepts: int = 2,
    n_rows: int = 3,
    n_contexts: int = 3,
    context: int = 40,
    score: str = "posterior",
    aggregate: str = "auto",
    stop_tokens: Collection[str] | None = None,
    scale: str | None = "auto",
) -> pd.DataFrame:
    """One line per component: its tokens, concepts and rows, how sure these are of it, its shape and its neighbor.

    Parameters
    ----------
    mfa : fitted MFA
    activations : ActivationArray, activation store or array-like, of shape (n, n_features)
        Whatever `fit` takes, frames included.
    tokens, n_tokens, score, aggregate, stop_tokens
        As for `top_tokens`. Rows need no tokens.
    labels, groups, n_concepts
        As for `top_concepts`. Rows need no labels.
    n_rows : int, default=3
        Most typical and most outlying rows to name.
    n_contexts : int, default=3
        Of how many tokens to show a context, the first ones.
    context : int, default=40
        Most characters of text to show on either side of a token; 0 for no column "contexts".
    scale : {"auto", "columns"} or None, default="auto"
        The unit in which shapes and axes are measured: None for the columns' own, "columns" for the standard deviation
        of each column under the whole mixture. Otherwise the column of largest numbers would settle the dimension of a
        table. "auto" takes the latter for rows that are no activations, where one column has more than five times
        the standard deviation of the middle one.

    Returns
    -------
    DataFrame
        Indexed by component. Columns whose facts are not known are left out.

        Of its rows, which are those whose most probable component it is:

        * tokens: what it over-represents, as text, and contexts: tuple of the first ones' texts;
        * size: how many rows; weight: the mixture's;
        * columns: of rows that are no activations, the columns in which its mean lies farthest from that of all rows,
          "high" or "low", where that is a quarter of a standard deviation at least;
        * sharpness: mean responsibility of the rows, in (0, 1]: 1 where no row could be another component's;
        * typical, outlying: tuples of the rows of highest and of lowest log density ``log N(x | k)``, the extreme one
          first; rows with missing values, whose densities do not compare, are passed over;
        * ends: what is over-represented at the low and at the high end of the leading principal axis, of tokens where
          these are known and of labels otherwise; `factor_ends` has all axes.

        Of its labels:

        * labeled: how many of its rows have a label, of which the following speak;
        * concept: the label it over-represents most; share, lift and q_value of it, see `top_concepts`;
        * n_enriched: how many labels have a q_value of at most 0.05;
        * purity: largest share that one label has among its labeled rows; near 1 by chance where these are few;
        * concepts: the labels it over-represents with their shares, as text.

        Of its covariance ``S = W W^T + Psi``, mean and weight:

        * spread: ``sqrt(tr S)``, the root mean square distance to the mean, in the activations' unit or in `scale`;
        * dimension: participation ratio ``(tr S)^2 / tr S^2``, from 1 to the number of features: as many directions of
          equal variance would be as wide (noise included);
        * factors_90: how many principal axes carry 90 % of what the factors model, ``tr(W W^T)``;
        * nearest, nearest_distance: the component of least Bhattacharyya distance, in nats, see `neighbors`.

    Raises
    ------
    ValueError
        If an argument is out of range or has the wrong length, or if the activations are known to be of another model,
        layer, site or pooling than those the mixture was fitted on.

    See Also
    --------
    format_components : The table as text to read.
    top_tokens, top_concepts, factor_ends, neighbors : More of each.

    Notes
    -----
    One pass over the rows makes all columns. Where a screen is too narrow, pandas leaves out those in the middle: first
    stand the tokens, last the concepts.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.interpret import describe_components
    >>> X = np.random.default_rng(0).normal([[0.0, 0], [9, 9]], 1, size=(20, 2, 2)).reshape(-1, 2)
    >>> mfa = MFA(2, 1, init=np.array([[0.0, 0], [9, 9]]), max_iter=0).fit(X)
    >>> table = describe_components(mfa, X, tokens=[" cat", " dog"] * 20, labels=["a", "b"] * 20)
    >>> table[["tokens", "size", "sharpness", "concept", "n_enriched", "nearest", "concepts"]]
              tokens  size  sharpness concept  n_enriched  nearest concepts
    component
    0            cat    20        1.0       a           1        1   a 100%
    1            dog    20        1.0       b           1        0   b 100%
    """
    pd = import_optional("pandas", "describe_components")
    n_components = check_mixture(mfa)
    counts = {"n_tokens": n_tokens, "n_concepts": n_concepts, "n_rows": n_rows, "n_contexts": n_contexts}
    _check_counts(context, **counts)
    X = as_rows(activations, mfa)
    if groups is not None:
        optional_fact(X, "groups", groups)
    units = units_of(mfa, X, tokens, scale)
    own = OwnRows(mfa, len(X))
    parts: list[_TokenPart | _ConceptPart | _PlacePart] = [
        *_TokenPart.of(mfa, X, tokens, n_contexts, context, (score, aggregate, n_tokens), stop_tokens),
        *_ConceptPart.of(mfa, X, labels, groups, n_concepts),
        _PlacePart(mfa, X, tokens, labels, n_rows, stop_tokens, units),
    ]
    scan(mfa, X, own, *(part.accumulator for part in parts))
    columns: dict[str, Any] = {
        "size": own.size,
        "weight": np.asarray(mfa.weights_),
        "sharpness": own.sharpness,
        **component_shapes(mfa, units),
    }
    for part in parts:
        columns |= part.columns(own)
    if not are_activations(mfa, X, tokens):
        names = column_names(mfa)
        columns["columns"] = [", ".join(telling_columns(off, names, _NAMES)) for off in column_offsets(mfa)]
    if n_components > 1:
        beside = neighbors(mfa, 1)
        columns |= {"nearest": beside["neighbor"].to_numpy(), "nearest_distance": beside["distance"].to_numpy()}
    index = pd.RangeIndex(n_components, name="component")
    return pd.DataFrame({name: columns[name] for name in _ORDER if name in columns}, index=index)


def _check_counts(context: int, **counts: int) -> None:
    check_count("context", context, 0)
    for name, value in counts.items():
        check_count(name, value)


class _TokenPart:
    """Columns tokens and contexts."""

    def __init__(self, ranking: TokenRanking, contexts: Any, n_contexts: int) -> None:
        self.accumulator, self._contexts, self._n_contexts = ranking, contexts, n_contexts

    @classmethod
    def of(
        cls,
        mfa: Any,
        X: Any,
        tokens: ArrayLike | None,
        n_contexts: int,
        context: int,
        ranked: tuple[str, str, int],
        stop_tokens: Collection[str] | None,
    ) -> list[_TokenPart]:
        """One, or none where no token is known."""
        if optional_fact(X, "tokens", tokens) is None:
            return []
        ranking = TokenRanking(mfa, X, *ranked, tokens=tokens, stop_tokens=stop_tokens)
        return [cls(ranking, known_contexts(X, tokens, context), n_contexts)]

    def columns(self, own: OwnRows) -> dict[str, Any]:
        top = self.accumulator.table(own.components, 0, np.random.RandomState(0))
        start, stop = bounds(top["component"].to_numpy(), own.n_components)
        names = [label_text(token) for token in top["token"]]
        found: dict[str, Any] = {"tokens": [" · ".join(names[a:b]) for a, b in zip(start, stop, strict=True)]}
        if self._contexts:
            shown = [top["row"].iloc[a : min(b, a + self._n_contexts)] for a, b in zip(start, stop, strict=True)]
            found["contexts"] = [tuple(map(self._contexts, rows)) for rows in shown]
        return found


class _ConceptPart:
    """Columns concept, share, lift, q_value, n_enriched, purity and concepts."""

    def __init__(self, counted: ConceptCounts, n_concepts: int) -> None:
        self.accumulator, self._n_concepts = counted, n_concepts

    @classmethod
    def of(
        cls, mfa: Any, X: Any, labels: ArrayLike | None, groups: ArrayLike | None, n_concepts: int
    ) -> list[_ConceptPart]:
        """One, or none where no label is known."""
        known = optional_fact(X, "labels", labels)
        if known is None or not any_known(known):
            return []
        return [cls(ConceptCounts(mfa, X, labels, asker="describe_components", groups=groups), n_concepts)]

    def columns(self, own: OwnRows) -> dict[str, Any]:
        counted, components = self.accumulator, np.arange(own.n_components)
        top = counted.by_component(components, self._n_concepts)
        shares = [f"{visible(label)} {share:.0%}" for label, share in zip(top["label"], top["share"], strict=True)]
        start, stop = bounds(top["component"].to_numpy(), own.n_components)
        first = top[top["rank"] == 1].set_index("component").reindex(components)
        best = {
            "concept": first["label"].astype(object),
            "share": first["share"],
            "lift": first["lift"],
            "q_value": first["q_value"],
        }
        return {
            **{name: column.to_numpy() for name, column in best.items()},
            "labeled": counted.count.sum(1).astype(int),
            "n_enriched": counted.n_enriched,
            "purity": counted.purity,
            "concepts": [", ".join(shares[a:b]) for a, b in zip(start, stop, strict=True)],
        }


class _PlacePart:
    """Columns typical, outlying and ends."""

    def __init__(
        self,
        mfa: Any,
        X: Any,
        tokens: ArrayLike | None,
        labels: ArrayLike | None,
        n_rows: int,
        stop_tokens: Collection[str] | None,
        units: np.ndarray | None,
    ) -> None:
        self._axes, self._n_rows = Axes(mfa, n_axes=1, scale=units), n_rows
        self.accumulator = OwnCoordinates(mfa, X, self._axes)
        asker = "describe_components"
        self._items = Items.of_tokens(X, tokens, stop_tokens, asker) or Items.of_labels(X, labels, asker)

    def columns(self, own: OwnRows) -> dict[str, Any]:
        complete = self.accumulator.complete
        found = {name: tuples(getattr(own, name)(self._n_rows, complete)) for name in ("typical", "outlying")}
        if self._items is None or not self._axes.n_axes:
            return found
        places = self.accumulator.coordinates[:, 0]
        compared = OverRepresented(self._items, own.components, own.n_components)
        tails = tail_rows(own.components, places, own.n_components, _FRACTION, _LEAST_ROWS)
        low, high = (compared.names(rows, _NAMES) for rows in tails)
        ends = [f"{a} ↔ {b}" if a or b else "" for a, b in zip(low, high, strict=True)]
        return {**found, "ends": ends}
