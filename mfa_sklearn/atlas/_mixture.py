"""One mixture of an atlas: its rows gone through, and what is told of each of its regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from .._base.annotated import row_fact, shared_fact
from ..interpret._concepts import ConceptCounts
from ..interpret._inputs import numbered, optional_fact
from ..interpret._occurrences import Occurrences
from ..interpret._scan import Accumulator, scan
from ..interpret._top_tokens import TokenRanking
from ._charts import OtherRows, principal_axes, sample_of
from ._context import Texts, Window, varied
from ._own import OrderedRows, OwnRows
from ._pairs import PairValues, evaluate_pairs

if TYPE_CHECKING:
    import pandas as pd

    from ..mixture import MFA

# Rows of other regions that each region's own are compared with; with thousands of components fewer, as many numbers
# as this.
_OTHERS, _OTHER_NUMBERS = 4000, 4_000_000
# Rows that scatters show in all, where there are many components.
_POINTS = 200_000


class Options(NamedTuple):
    """How much an atlas tells."""

    n_tokens: int = 8
    n_concepts: int = 5
    n_neighbors: int = 8
    n_typical: int = 5
    n_outlying: int = 4
    n_contexts: int = 2  # of each token
    width: int = 12  # rows on either side of the one that a context is of
    n_points: int = 250
    random_state: Any = 0


class Shown(NamedTuple):
    """A context to show of a component."""

    component: int
    kind: str
    window: Window


class Gathered:
    """All that is found out of a mixture's rows: one pass over all of them, and one over those that are shown.

    Parameters
    ----------
    mfa : fitted MFA
    X : what `as_rows` gives
    tokens, labels : array-like of shape (n,) or None
    options : Options
    """

    def __init__(self, mfa: MFA, X: Any, tokens: Any, labels: Any, options: Options) -> None:
        self.mfa, self.X, self.options = mfa, X, options
        self.n_rows, self.n_components = len(X), len(mfa.weights_)
        self.tokens = optional_fact(X, "tokens", tokens)
        found = optional_fact(X, "labels", labels)
        self.labels = found if found is not None and any(label is not None for label in found) else None
        self.texts = Texts(X, self.tokens, options.width)

    def gather(self, said: Callable[[str], None]) -> None:
        """Go through the rows; `said` is told what is done."""
        self._scan(said)
        self._choose(said)

    @property
    def assigned(self) -> np.ndarray:
        """The most probable component of each row, (n,)."""
        return self.own.assigned

    @property
    def log_prob(self) -> np.ndarray:
        """Log density of each row under the mixture, (n,)."""
        return self.own.log_prob

    def _scan(self, said: Callable[[str], None]) -> None:
        """Go through all rows."""
        mfa, X, options = self.mfa, self.X, self.options
        self.own = OwnRows(mfa.weights_, self.n_rows)
        self.counted = None if self.labels is None else ConceptCounts(mfa, X, self.labels)
        ranking = occurrences = None
        if self.tokens is not None:
            ranking = TokenRanking(mfa, X, n_tokens=options.n_tokens, tokens=self.tokens)
            occurrences = Occurrences(X, self.n_rows)
        parts: list[Accumulator | None] = [self.own, self.counted, ranking, occurrences]
        said(f"going through {self.n_rows:,} rows")
        scan(mfa, X, *(part for part in parts if part is not None))
        self.ordered: OrderedRows = self.own.ordered()
        self.top_tokens: pd.DataFrame | None = None
        if ranking is not None:
            random = check_random_state(0)
            self.top_tokens = ranking.table(self.own.assigned, 0, random, occurrences, max(2, options.n_contexts))

    def _choose(self, said: Callable[[str], None]) -> None:
        """Choose the rows that are shown, and evaluate them and those around them."""
        random = check_random_state(self.options.random_state)
        n_points = max(20, min(self.options.n_points, _POINTS // self.n_components))
        self.points = sample_of(self.ordered, n_points, random)
        n_others = min(self.n_rows, _OTHERS, max(200, _OTHER_NUMBERS // self.n_components))
        sample = np.sort(random.choice(self.n_rows, n_others, replace=False))
        said(f"comparing the regions with {n_others:,} rows of all of them")
        self.others = OtherRows(self.mfa, self.X, self.own.assigned, sample)
        self.shown = [shown for k in range(self.n_components) for shown in self._contexts(k)]
        rows = [shown.window.rows[shown.window.rows >= 0] for shown in self.shown]
        components = [np.full(len(some), shown.component) for some, shown in zip(rows, self.shown, strict=True)]
        rows += self.points
        components += [np.full(len(some), k) for k, some in enumerate(self.points)]
        n_pairs = sum(map(len, rows))
        said(f"evaluating {n_pairs:,} rows that are shown")
        every = PairValues(np.empty(0), np.empty((0, 0)))
        if n_pairs:
            every = evaluate_pairs(self.mfa, self.X, np.concatenate(rows), np.concatenate(components))
        cuts = np.cumsum([len(some) for some in rows])[:-1]
        self._log_density = np.split(every.log_density, cuts)
        self._scores = np.split(every.scores, cuts)

    def _contexts(self, component: int) -> list[Shown]:
        """The contexts of a component: rows that are typical, of its tokens, and outlying."""
        if not self.texts.known:
            return []
        typical, outlying = self.typical(component), self.outlying(component)
        chosen = {"typical": typical, "token": self._of_tokens(component), "outlying": outlying}
        return [Shown(component, kind, self.texts.window(row)) for kind, rows in chosen.items() for row in rows]

    def typical(self, component: int) -> list[int]:
        """Rows with a high log density under the component, of different texts and tokens where there are some."""
        rows = self.ordered.rows(component)[::-1]
        return varied(rows, self.options.n_typical, self.texts.index, self.token_codes)

    def outlying(self, component: int) -> list[int]:
        """Rows of the component with a low one."""
        n_most = min(self.options.n_outlying, max(0, len(self.ordered.rows(component)) - self.options.n_typical))
        return varied(self.ordered.rows(component), n_most, self.texts.index, self.token_codes)

    def _of_tokens(self, component: int) -> list[int]:
        """Rows with each of the tokens that the component over-represents."""
        if self.top_tokens is None or self.texts.are_rows:
            return []
        lines = self.tokens_of(component)
        n_more = self.options.n_contexts - 1
        return [r for row, more in zip(lines["row"], lines["other_rows"], strict=True) for r in (row, *more[:n_more])]

    def tokens_of(self, component: int) -> pd.DataFrame:
        """The lines of `top_tokens` for one component."""
        assert self.top_tokens is not None
        start, stop = np.searchsorted(self.top_tokens["component"], [component, component + 1])
        return self.top_tokens.iloc[start:stop]

    @cached_property
    def token_codes(self) -> np.ndarray | None:
        """Numbers that tell the rows' tokens apart, (n,)."""
        if self.tokens is None:
            return None
        ids = row_fact(self.X, "token_ids")
        return numbered("tokens", self.tokens if ids is None else ids, "write_atlas")[0]

    @cached_property
    def token_totals(self) -> np.ndarray | None:
        """How many rows have each of these, by its number."""
        return None if self.token_codes is None else np.bincount(self.token_codes)

    @cached_property
    def concept_codes(self) -> np.ndarray | None:
        """The number of each row's label, -1 where it is missing, (n,)."""
        if self.labels is None:
            return None
        return numbered("labels", self.labels, "write_atlas", sort=True, missing=True)[0]

    @property
    def concepts(self) -> Sequence[Any]:
        """All labels, by their numbers."""
        return [] if self.counted is None else list(self.counted.labels)

    def contexts_of(self, component: int) -> list[tuple[Shown, np.ndarray]]:
        """What is shown of a component, and the log density under it of each piece that is a row."""
        first, last = self._bounds[component], self._bounds[component + 1]
        return list(zip(self.shown[first:last], self._log_density[first:last], strict=True))

    @cached_property
    def _bounds(self) -> np.ndarray:
        owners = [shown.component for shown in self.shown]
        return np.searchsorted(owners, np.arange(self.n_components + 1))

    def coordinates(self, component: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the sample of the component's rows, coordinates (n, q) along its principal axes, and the axes' shares."""
        rotation, share = principal_axes(self.mfa.loadings_[component])
        return self._scores[len(self.shown) + component] @ rotation, share

    @property
    def source(self) -> dict[str, Any] | None:
        """Where the rows came from."""
        return shared_fact(self.X, "source") or getattr(self.mfa, "source_", None)

    @property
    def row_noun(self) -> str:
        """What a row is."""
        if self.texts.are_rows:
            return "text"
        return "token" if self.tokens is not None else "row"
