"""Which tokens or labels some of a component's rows have more often than the others of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.coded import Coded
from ._association import log_likelihood_ratio
from ._inputs import numbered, optional_fact
from ._leaderboard import rounded
from ._own_rows import bounds, pair_counts
from ._text import label_text, visible
from ._top_tokens import distinct_tokens, stopped_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Items:
    """What rows hold: a number for each distinct token or label.

    Attributes
    ----------
    codes : ndarray of int of shape (n,)
        -1 for rows that hold none.
    names : list of str
        How each is shown.
    listed : ndarray of bool
        Which may be named.
    """

    def __init__(self, codes: np.ndarray, names: list[str], listed: np.ndarray | None = None) -> None:
        self.codes, self.names = codes, names
        self.listed = np.ones(len(names), dtype=bool) if listed is None else listed

    @classmethod
    def of_tokens(
        cls, activations: Any, tokens: ArrayLike | None, stop_tokens: Collection[str] | None, asker: str
    ) -> Items | None:
        """The rows' tokens; None where nothing is known of them."""
        values = optional_fact(activations, "tokens", tokens)
        if values is None:
            return None
        codes = distinct_tokens(activations, values, tokens, asker)
        distinct = values.values if isinstance(values, Coded) else values[np.unique(codes, return_index=True)[1]]
        stopped = stopped_rows(distinct, stop_tokens)
        return cls(codes, [label_text(token) for token in distinct], None if stopped is None else ~stopped)

    @classmethod
    def of_labels(cls, activations: Any, labels: ArrayLike | None, asker: str) -> Items | None:
        """The rows' labels; None where there is none."""
        values = optional_fact(activations, "labels", labels)
        if values is None:
            return None
        codes, found = numbered("labels", values, asker, sort=True, missing=True)
        return cls(codes, [visible(label) for label in found]) if len(found) else None


class OverRepresented:
    """Compares some rows of each component with its others.

    Parameters
    ----------
    items : Items
    components : ndarray of int64 of shape (n,)
        The component of each row.
    n_components : int
    """

    def __init__(self, items: Items, components: np.ndarray, n_components: int) -> None:
        self._items, self._components, self._n_components = items, components, n_components
        self._keys, self._total, self._size = self._counted()

    def _counted(self, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which items of which components the rows hold, how often, and how many rows each component has."""
        n_items = len(self._items.names)
        keys, count = pair_counts(self._components, self._items.codes, n_items, rows)
        return keys, count, np.bincount(keys // n_items, count, self._n_components).astype(np.int64)

    def among(self, rows: np.ndarray, n_most: int) -> list[np.ndarray]:
        """Up to `n_most` items of each component that these rows over-represent, the most surprising first.

        They are ordered by the log-likelihood ratio of (among these rows or not) x (has the item or not) over the
        component's own rows that hold an item; of equal ones the more frequent first.
        """
        keys, count, some = self._counted(rows)
        owners, items = np.divmod(keys, len(self._items.names))
        total = self._total[np.searchsorted(self._keys, keys)]
        llr = log_likelihood_ratio(count, some[owners], total, self._size[owners])
        kept = (llr > 0) & self._items.listed[items]
        owners, items, llr, count = owners[kept], items[kept], llr[kept], count[kept]
        order = np.lexsort((-count, -rounded(llr), owners))
        start, stop = bounds(owners[order], self._n_components)
        return [items[order[a : min(b, a + n_most)]] for a, b in zip(start, stop, strict=True)]

    def names(self, rows: np.ndarray, n_most: int, glue: str = " · ") -> list[str]:
        """`among` as text, one for each component."""
        return [glue.join(self._items.names[item] for item in own) for own in self.among(rows, n_most)]
