"""TRUNC"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._model.density import Density, prepare
from .._model.pairs import PairList, best_components, find_pairs, margin_of
from .._model.params import MFAParams
from .._model.rounding import coarse_products, search_may_be_coarse
from .._rows import Batches
from .candidates import Lookup
from .exact import ExactPass
from .neighbors import Closeness, with_some_tried
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


class TruncatedPass(ExactPass):
    """Every row is compared with a few candidates, better ones as passes go. Rows must be complete.

    Where posteriors are soft, and once when they no longer are, rows are compared with all components.
    """

    state: Places | None = None
    # While rows still change places among many components there is nothing to extrapolate.
    slow_gain = 0.01

    def __init__(self, params: MFAParams, batches: Batches, rng: np.random.RandomState, soft_above: float) -> None:
        super().__init__(params, batches, rng, soft_above)
        self._rng, self._flat = rng, max(1.0, batches.n_features / _EVIDENCE)

    @torch.no_grad()
    def _sharp(self, params: MFAParams, temperature: float) -> Statistics:
        density, places = prepare(params, self._batches.dtype), self.state
        self.looked = places is None or places.revisits >= _REVISITS
        if places is not None and not self.looked:
            self.state = places._replace(revisits=places.revisits + 1)
            return self._revisit(density, places, temperature)
        search = _All(density, self._flat) if places is None else _Near(density, places, self._rng, self._flat)
        statistics, self.state = self._look(density, search, temperature)
        return statistics

    def _revisit(self, density: Density, places: Places, temperature: float) -> Statistics:
        sums = SharpSums(density)
        for place, X, weights in self._batches.chunks():
            sums.add_pairs(X, weights, *places.pairs(place), temperature)
        return sums.statistics()

    def _look(self, density: Density, search: _All | _Near, temperature: float) -> tuple[Statistics, Places]:
        sums = SharpSums(density)
        found: list[tuple[Tensor, ...]] = []
        for place, X, weights in self._batches.chunks():
            claims = sums.add_pairs(X, weights, *search(place, X, temperature), temperature)
            home, rows, components = _settle(claims, math.exp(-margin_of(X, temperature) / temperature))
            found.append((home, (rows + place.start).int(), components))
        # While posteriors still cool pairs are too many to be worth revisiting.
        revisits = 0 if temperature == 1 else _REVISITS
        home, rows, components = map(torch.cat, zip(*found, strict=True))
        return sums.statistics(), Places(home, rows, components, search.closeness.best(), revisits)


class _All:
    """Finds the pairs that matter among all."""

    def __init__(self, density: Density, flat: float) -> None:
        n_components = len(density.constant)
        self._density = density
        everything = torch.arange(n_components, device=density.constant.device)
        self.closeness = Closeness(everything.expand(n_components, n_components), flat)

    def __call__(self, place: slice, X: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        with coarse_products(X.device, search_may_be_coarse(self._density.precision, temperature)):
            return find_pairs(
                self._density, X, temperature, lambda _, joint: self.closeness.add(joint.argmax(1), joint)
            )


class _Near:
    """Finds the pairs that matter among the candidates of each row's home, and adds those that mattered before."""

    def __init__(self, density: Density, places: Places, rng: np.random.RandomState, flat: float) -> None:
        self._places = places
        self._lookup = Lookup(density, with_some_tried(places.neighbors, rng))
        self.closeness = Closeness(self._lookup.candidates, flat)

    def __call__(self, place: slice, X: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        home = self._places.home[place].long()
        pairs = PairList(2 * len(X), X.device)
        self._compare(X, home, temperature, pairs)
        rows, components = self._places.further(place)
        unseen = (self._lookup.candidates[home[rows]] != components[:, None]).all(1)
        pairs.add(rows[unseen], components[unseen])
        return pairs.by_component()

    def _compare(self, X: Tensor, home: Tensor, temperature: float, pairs: PairList) -> None:
        margin = margin_of(X, temperature)
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
