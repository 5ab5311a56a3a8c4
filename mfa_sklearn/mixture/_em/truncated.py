"""Passes that compare every row with a few candidate components.

What a truncated pass raises,

    sum_n log sum_{k in candidates of n} p(x_n, k),

never falls at temperature one: every component that mattered to a row in the last pass is a candidate of the next,
whatever the neighborhoods have become, and the M-step raises the bound for these. Most passes have no other
candidates: nearly all rows stay where they are, and several EM steps on known pairs cost as much as a look for others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from .._model.density import Density, prepare
from .._model.pairs import (
    PairList,
    best_components,
    compared,
    contenders,
    margin_of,
    mean_over_rows,
    normalize,
    refine,
)
from .._model.params import MFAParams
from .._model.rounding import coarse_products, search_may_be_coarse
from .._rows import Batches
from .candidates import Lookup
from .exact import ExactPass, PassResult, nominal_seconds
from .moves import Move
from .neighbors import N_NEIGHBORS, N_TRIED, Closeness, with_some_tried
from .sharp import Claims, SharpSums
from .statistics import Statistics

# How many features' worth of evidence a row is, of however many, when it says which components are close.
_EVIDENCE = 24
# Passes over the pairs known already, after each that looks for others, and what one costs in terms of that.
_REVISITS = 3
_REVISIT_COST = 0.25


class Places(NamedTuple):
    """What a truncated pass remembers; never changed in place."""

    home: Tensor  # (n,) int32  component that suited each row best
    rows: Tensor  # (P,) int32  rows of the further pairs that mattered, ascending ...
    components: Tensor  # (P,) int32  ... and their components
    neighbors: Tensor  # (K, g)  what each component's rows are compared with, first the component itself
    revisits: int = 0  # passes since these were learned

    def further(self, place: slice) -> tuple[Tensor, Tensor]:
        """The further pairs of some rows, counted from the first of these, and their components."""
        window = torch.tensor([place.start, place.stop], dtype=torch.int32, device=self.rows.device)
        first, last = torch.searchsorted(self.rows, window).tolist()
        return self.rows[first:last].long() - place.start, self.components[first:last].long()

    def pairs(self, place: slice) -> tuple[Tensor, Tensor]:
        """All pairs of some rows, sorted by component."""
        home = self.home[place].long()
        pairs = PairList(2 * len(home), home.device)
        pairs.add(torch.arange(len(home), device=home.device), home)
        pairs.add(*self.further(place))
        return pairs.by_component()

    def after(self, move: Move) -> Places:
        """The same, now that components have changed places; the next pass looks for pairs.

        What belonged to a component that was taken is where its closest neighbor is, and finds its place from there.
        The halves of a split component have each other and its neighbors.
        """
        split, taken = (torch.tensor(some, device=self.home.device) for some in (move.split, move.taken))
        n_components = len(self.neighbors)
        heir = torch.arange(n_components, device=self.home.device)
        near = self.neighbors[taken]
        still = ~torch.isin(near, taken)
        first = still.int().argmax(1, keepdim=True)
        heir[taken] = torch.where(still.any(1), near.gather(1, first)[:, 0], split)
        neighbors = self.neighbors.clone()
        neighbors[split, -1] = taken
        neighbors[taken] = torch.cat([taken[:, None], split[:, None], self.neighbors[split, 1:-1]], 1)
        kept = ~torch.isin(self.components, taken)
        home = heir[self.home.long()].int()
        return Places(home, self.rows[kept], self.components[kept], neighbors, _REVISITS)


# Pairs of the rows (n, D) that stand at a slice: rows, counted from its first, and components, sorted by these.
PairsOf: TypeAlias = Callable[[slice, Tensor], tuple[Tensor, Tensor]]


class TruncatedPass:
    """Every row is compared with a few candidates, better ones as passes go. Rows must be complete.

    Where posteriors are soft, and once when they no longer are, rows are compared with all components.

    Parameters
    ----------
    exact : ExactPass
        Gives the soft statistics.
    params : MFAParams
        Their shape says what a pass costs.
    batches : Batches
    rng : RandomState
    """

    # While rows still change places among many components there is nothing to extrapolate.
    slow_gain: float = 0.01

    def __init__(self, exact: ExactPass, params: MFAParams, batches: Batches, rng: np.random.RandomState) -> None:
        self._exact, self._batches, self._rng = exact, batches, rng
        self._flat = max(1.0, batches.n_features / _EVIDENCE)
        look = nominal_seconds(batches, N_NEIGHBORS + N_TRIED, params.loadings.shape[2])
        self.seconds = (1 + _REVISITS * _REVISIT_COST) * look

    @torch.no_grad()
    def __call__(self, params: MFAParams, temperature: float = 1.0, memory: Places | None = None) -> PassResult:
        """Statistics of all rows under the components that may matter, or where posteriors are soft of a part."""
        if temperature > self._exact.soft_above:
            return self._exact(params, temperature, memory)
        density = prepare(params, self._batches.dtype)
        if memory is not None and memory.revisits < _REVISITS:
            statistics = self._revisit(density, memory, temperature)
            return PassResult(statistics, memory._replace(revisits=memory.revisits + 1), looked=False)
        statistics, places = self._look(density, self._search(density, memory, temperature), temperature)
        return PassResult(statistics, places)

    def after(self, memory: Places | None, move: Move) -> Places | None:
        """What is remembered, now that components have changed places."""
        return None if memory is None else memory.after(move)

    @torch.no_grad()
    def log_likelihood(self, params: MFAParams, memory: Places | None = None) -> float:
        """The bound per row, by the pairs that the next call would go over."""
        if memory is None:
            return self._exact.log_likelihood(params)
        density = prepare(params, self._batches.dtype)
        known = memory.revisits < _REVISITS
        pairs_of: PairsOf = (lambda place, _: memory.pairs(place)) if known else self._search(density, memory)
        parts = (
            (normalize(refine(density, X, *pairs_of(place, X)), len(X))[1], weights)
            for place, X, weights in self._batches.chunks()
        )
        return mean_over_rows(parts, self._batches.group)

    def state(self) -> int:
        """That of the exact pass, whose parts are gone through while posteriors are soft."""
        return self._exact.state()

    def restore(self, state: int) -> None:
        """Go on from there."""
        self._exact.restore(state)

    def packed(self, memory: Places | None) -> tuple[Any, ...] | None:
        """What is remembered as a plain tuple."""
        return None if memory is None else tuple(memory)

    def unpacked(self, packed: tuple[Any, ...] | None) -> Places | None:
        """What is remembered from such a tuple."""
        return None if packed is None else Places(*packed)

    def _revisit(self, density: Density, places: Places, temperature: float) -> Statistics:
        sums = SharpSums(density)
        for place, X, weights in self._batches.chunks():
            sums.add_pairs(X, weights, *places.pairs(place), temperature)
        return sums.statistics()

    def _search(self, density: Density, memory: Places | None, temperature: float = 1.0) -> _All | _Near:
        if memory is None:
            return _All(density, temperature, self._flat)
        candidates = with_some_tried(memory.neighbors, self._rng)
        return _Near(density, temperature, self._flat, memory, candidates)

    def _look(self, density: Density, search: _All | _Near, temperature: float) -> tuple[Statistics, Places]:
        sums = SharpSums(density)
        nothing = torch.empty(0, dtype=torch.int32, device=self._batches.device)
        found: list[tuple[Tensor, ...]] = [(nothing, nothing, nothing)]
        for place, X, weights in self._batches.chunks():
            claims = sums.add_pairs(X, weights, *search(place, X), temperature)
            home, rows, components = _settle(claims, math.exp(-margin_of(X, temperature) / temperature))
            found.append((home, (rows + place.start).int(), components))
        # While posteriors still cool pairs are too many to be worth revisiting.
        revisits = 0 if temperature == 1 else _REVISITS
        home, rows, components = map(torch.cat, zip(*found, strict=True))
        neighbors = search.closeness.best(self._batches.group)
        return sums.statistics(), Places(home, rows, components, neighbors, revisits)


class _All:
    """Finds the pairs that matter among all."""

    def __init__(self, density: Density, temperature: float, flat: float) -> None:
        n_components = len(density.constant)
        self._density, self._temperature = density, temperature
        everything = torch.arange(n_components, device=density.constant.device)
        self.closeness = Closeness(everything.expand(n_components, n_components), flat)

    def __call__(self, place: slice, X: Tensor) -> tuple[Tensor, Tensor]:
        pairs = PairList(2 * len(X), X.device)
        with coarse_products(X.device, search_may_be_coarse(self._density.precision, self._temperature)):
            for where, chunk, joint in compared(self._density, X):
                self.closeness.add(joint.argmax(1), joint)
                pairs.add_where(contenders(self._density, chunk, joint, self._temperature), where.start)
        return pairs.by_component()


class _Near:
    """Finds the pairs that matter among the candidates of each row's home, and adds those that mattered before."""

    def __init__(self, density: Density, temperature: float, flat: float, places: Places, candidates: Tensor) -> None:
        self._temperature, self._places = temperature, places
        self._lookup = Lookup(density, candidates)
        self.closeness = Closeness(candidates, flat)

    def __call__(self, place: slice, X: Tensor) -> tuple[Tensor, Tensor]:
        home = self._places.home[place].long()
        pairs = PairList(2 * len(X), X.device)
        self._compare(X, home, pairs)
        rows, components = self._places.further(place)
        unseen = (self._lookup.candidates[home[rows]] != components[:, None]).all(1)
        pairs.add(rows[unseen], components[unseen])
        return pairs.by_component()

    def _compare(self, X: Tensor, home: Tensor, pairs: PairList) -> None:
        margin = margin_of(X, self._temperature)
        for block in self._lookup.evaluate(X, home):
            self.closeness.add_block(block.groups, block.joint, block.filled)
            least = (block.joint - block.error).amax(2, keepdim=True) - margin
            reach = (block.joint + block.error >= least) & block.filled[:, :, None]
            group, member, candidate = reach.nonzero(as_tuple=True)
            pairs.add(block.numbers[group, member], block.candidates[group, candidate])


def _settle(claims: Claims, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """The best component (n,) of each row, and the rows, ascending, and components of the other pairs that matter."""
    contested = claims.contested
    home = best_components(contested, len(claims.log_prob))
    home[claims.alone.rows] = claims.alone.components
    further = (claims.responsibility > least) & (contested.components != home[contested.rows])
    rows, order = contested.rows[further].sort(stable=True)
    return home.int(), rows, contested.components[further][order].int()
