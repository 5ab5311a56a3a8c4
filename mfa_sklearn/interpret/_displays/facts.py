"""What is known of rows and of a component that a picture can say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._base.coded import Coded, compact_fact
from ..._base.labels import is_missing, label_array
from ..._base.likelihood_ratio import log_likelihood_ratio
from ..._base.plotting import share_text, short_name
from .._inputs import optional_fact
from .._project import Projection
from .._telling_columns import column_offsets, telling_columns
from .._text import label_text
from .coloring import LEAST_SHARE
from .labels import quoted

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Colors that a projection knows itself.
OF_PROJECTIONS = ("none", "token", "concept", "label", "responsibility", "residual")
_N_COLUMNS, _N_TOKENS = 2, 5


@dataclass(frozen=True, eq=False)
class Meaning:
    """What titles and axes say of a component.

    Attributes
    ----------
    title : str
        Its distinguishing tokens, or the columns in which it differs.
    concept : str
        The label that its rows have more often than others, and the share of them that have it.
    columns : ndarray of str or None
        Names of the features, where they have names.
    """

    title: str = ""
    concept: str = ""
    columns: np.ndarray | None = None


def row_values(X: Any, color: Any, labels: Any = None) -> tuple[np.ndarray | Coded | None, str | None]:
    """One value for each row, and what they are called; None for what the projection knows itself.

    Raises
    ------
    ValueError
        If rows carry no fact of this name, or there is not one value for each.
    """
    if color is None or (isinstance(color, str) and color in OF_PROJECTIONS):
        return None, None
    if not isinstance(color, str):
        values = label_array(color, "color")
        if len(values) != len(X):
            raise ValueError(f"color must hold one entry per row: got {len(values)} for {len(X)} rows of activations")
        return values, getattr(color, "name", None)
    fact = compact_fact(X, color)
    if fact is None:
        carried = sorted(getattr(X, "rows", None) or {})
        raise ValueError(
            f"color={color!r} is no fact of these rows; choose one of {[*OF_PROJECTIONS, *carried]}, or give one value "
            "per row"
        )
    return fact if isinstance(fact, Coded) else np.asarray(fact), color.replace("_", " ")


def meaning_of(
    found: Projection, mfa: Any = None, X: Any = None, tokens: ArrayLike | None = None, labels: ArrayLike | None = None
) -> Meaning:
    """What can be said of a projection's component; more where the mixture and all rows are known."""
    everywhere = {name: None if X is None else optional_fact(X, name, given) for name, given in _given(tokens, labels)}
    concept = ""
    if found.labels is not None and len(found):
        concept = _concept(found.labels, everywhere["labels"])
    if found.tokens is not None:
        telling = _telling(found.tokens, everywhere["tokens"], 3 * _N_TOKENS) if len(found) else []
        distinct: dict[str, str] = {}
        for name in (quoted(short_name(label_text(token))) for token in telling):
            distinct.setdefault(name.lower(), name)
        return Meaning(" · ".join(list(distinct.values())[:_N_TOKENS]), concept)
    names = getattr(mfa, "feature_names_in_", None)
    if names is None:
        return Meaning("", concept)
    shown = [short_name(name) for name in names]
    telling = telling_columns(column_offsets(mfa)[found.component], shown, _N_COLUMNS)
    return Meaning(", ".join(telling), concept, np.asarray(names))


def _given(tokens: ArrayLike | None, labels: ArrayLike | None) -> list[tuple[str, ArrayLike | None]]:
    return [("tokens", tokens), ("labels", labels)]


def _concept(own: np.ndarray, everywhere: np.ndarray | Coded | None) -> str:
    known = np.array([not is_missing(label) for label in own], dtype=bool)
    if not known.any():
        return ""
    others: np.ndarray | Coded | None = None
    if isinstance(everywhere, Coded):
        others = everywhere  # which counts none that are missing
    elif everywhere is not None:
        others = everywhere[[not is_missing(label) for label in everywhere]]
    best = _telling(own[known], others, 1)[0]
    share = float(np.mean([str(label) == best for label in own]))
    return f"{short_name(best)} ({share_text(share)})" if share >= LEAST_SHARE else ""


def loading_columns(found: Projection, j: int, names: np.ndarray) -> str:
    """The columns that load most on an axis, with their signs."""
    direction = found.directions[:, j] / (1 if found.scale is None else found.scale)
    order = np.argsort(-np.abs(direction), kind="stable")[:_N_COLUMNS]
    largest = np.abs(direction).max()
    return "  ".join(
        f"{'+' if direction[i] > 0 else '−'}{short_name(names[i], 18)}"
        for i in order
        if abs(direction[i]) >= 0.3 * largest
    )


def _telling(own: np.ndarray, everywhere: np.ndarray | Coded | None, n_most: int) -> list[str]:
    """Entries that some rows have more often than all do; the most frequent ones where all are unknown."""
    unique, counts = np.unique(own.astype(str), return_counts=True)
    score = counts.astype(float)
    if everywhere is not None and len(everywhere) > len(own):
        known, total, n_all = _counted(everywhere, unique)
        frequency = total[np.searchsorted(known, unique)].astype(float)
        size = np.full(len(unique), float(len(own)))
        score = log_likelihood_ratio(score, size, frequency, float(n_all))
    return [str(unique[i]) for i in np.argsort(-score, kind="stable")[:n_most]]


def _counted(values: np.ndarray | Coded, among: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Sorted strings, those `among` others at least, how many rows have each, and how many have any."""
    if isinstance(values, Coded):
        strings, place = np.unique(values.values.astype(str), return_inverse=True)
        counts = np.bincount(place, values.counts)
        return strings, counts, int(counts.sum())
    whole = values.astype(str)
    return *np.unique(whole[np.isin(whole, among)], return_counts=True), len(whole)
