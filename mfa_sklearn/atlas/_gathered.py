"""One mixture of an atlas: its rows gone through, and what is told of each of its regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from .._base.annotated import shared_fact
from ..interpret._concepts import ConceptCounts
from ..interpret._coordinates import Axes, OwnCoordinates
from ..interpret._inputs import any_known, numbered, optional_fact
from ..interpret._occurrences import Occurrences
from ..interpret._own_rows import OwnRows
from ..interpret._scale import natural_scale, standard_deviations
from ..interpret._scan import Accumulator, scan
from ..interpret._top_tokens import TokenRanking, distinct_tokens
from ._context import Texts, Window, varied
from ._ordered import OrderedRows
from ._pairs import pair_log_density
from ._region_charts import OtherRows, sample_of

if TYPE_CHECKING:
    import pandas as pd

    from ..mixture import MFA

# Rows of other regions that each region's own are compared with; with thousands of components fewer, as many numbers
# as this.
_OTHERS, _OTHER_NUMBERS = 4000, 4_000_000
# Rows that scatters show in all, where there are many components.
_POINTS = 200_000
# Principal axes along which rows are placed.
N_AXES = 2


class Options(NamedTuple):
    """How much an atlas tells of each region."""

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
    kinds: tuple[str, ...]
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
        self.tokens, self._given_tokens = optional_fact(X, "tokens", tokens), tokens
        found = optional_fact(X, "labels", labels)
        self.labels = found if found is not None and any_known(found) else None
        self.texts = Texts(X, self.tokens, options.width)
        self.scale = natural_scale(mfa, X, tokens)

    def gather(self, said: Callable[[str], None]) -> None:
        """Go through the rows; `said` is told what is done."""
        self._scan(said)
        self._choose(said)

    def _scan(self, said: Callable[[str], None]) -> None:
        """Go through all rows."""
        mfa, X, options = self.mfa, self.X, self.options
        self.own, self.axes = OwnRows(mfa, self.n_rows), Axes(mfa, n_axes=N_AXES, scale=self.units)
        places = OwnCoordinates(mfa, X, self.axes)
        self.counted = None if self.labels is None else ConceptCounts(mfa, X, self.labels)
        ranking = occurrences = None
        if self.tokens is not None:
            ranking = TokenRanking(mfa, X, n_tokens=options.n_tokens, tokens=self._given_tokens)
            occurrences = Occurrences(X, self.n_rows)
        parts: list[Accumulator | None] = [self.own, places, self.counted, ranking, occurrences]
        said(f"going through {self.n_rows:,} rows")
        scan(mfa, X, *(part for part in parts if part is not None))
        self.places, self.ordered = places.coordinates, OrderedRows(self.own, places.complete)
        self.top_tokens: pd.DataFrame | None = None
        if ranking is not None:
            random = check_random_state(0)
            self.top_tokens = ranking.table(self.assigned, 0, random, occurrences, max(2, options.n_contexts))

    def _choose(self, said: Callable[[str], None]) -> None:
        """Choose the rows that are shown, and evaluate them and those around them."""
        random = check_random_state(self.options.random_state)
        n_points = max(20, min(self.options.n_points, _POINTS // self.n_components))
        self.points = sample_of(self.ordered, n_points, random)
        n_others = min(self.n_rows, _OTHERS, max(200, _OTHER_NUMBERS // self.n_components))
        sample = np.sort(random.choice(self.n_rows, n_others, replace=False))
        said(f"comparing the regions with {n_others:,} rows of all of them")
        self.others = OtherRows(self.mfa, self.X, self.assigned, sample)
        self.shown = [context for k in range(self.n_components) for context in self._contexts(k)]
        rows = [context.window.rows[context.window.rows >= 0] for context in self.shown]
        sizes = [len(some) for some in rows]
        said(f"evaluating {sum(sizes):,} rows that are shown")
        self._log_density = []
        if rows:
            components = np.repeat([context.component for context in self.shown], sizes)
            shown = np.concatenate(rows)
            every = pair_log_density(self.mfa, self.X, shown, components)
            # To the bit what they are compared with, so that rounding takes no row below itself.
            every = np.where(self.assigned[shown] == components, self.own.log_density[shown], every)
            self._log_density = np.split(every, np.cumsum(sizes)[:-1])

    @property
    def assigned(self) -> np.ndarray:
        """The most probable component of each row, (n,)."""
        return self.own.components

    @cached_property
    def units(self) -> np.ndarray | None:
        """What each feature is measured in where its own unit is not to settle axes and spreads, (D,)."""
        return None if self.scale is None else standard_deviations(self.mfa)

    @cached_property
    def sizes(self) -> np.ndarray:
        """How many rows each component has, (K,)."""
        return self.own.size

    @cached_property
    def log_weights(self) -> np.ndarray:
        """Of the components, (K,)."""
        with np.errstate(divide="ignore"):
            return np.log(np.asarray(self.mfa.weights_, dtype=np.float64))

    @cached_property
    def log_prob(self) -> np.ndarray:
        """Log density of each row under the mixture, (n,), nats."""
        joint = self.own.log_density + self.log_weights[self.assigned]
        return np.asarray(joint - np.log(self.own.responsibility))

    def _contexts(self, component: int) -> list[Shown]:
        """The contexts of a component: rows that are typical, of its tokens, and outlying; each row once."""
        if not self.texts.known:
            return []
        typical, outlying = self.typical(component), self.outlying(component)
        chosen = {"typical": typical, "token": self._of_tokens(component), "outlying": outlying}
        kinds: dict[int, tuple[str, ...]] = {}
        for kind, rows in chosen.items():
            for row in rows:
                kinds[int(row)] = (*kinds.get(int(row), ()), kind)
        return [Shown(component, own, self.texts.window(row)) for row, own in kinds.items()]

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
        return distinct_tokens(self.X, self.tokens, self._given_tokens, "write_atlas")

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
