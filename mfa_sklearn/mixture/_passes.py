"""One pass over the rows: expected statistics at given parameters and a temperature.

A pass is exact, or truncated to a few candidate components per row (`_candidates`); above temperature one it goes over
as many rows as its soft statistics need, other ones each time, and over all rows at one. What a truncated pass raises,

    sum_n log sum_{k in candidates of n} p(x_n, k),

never falls at temperature one: every component that mattered to a row in the last pass is a candidate of the next,
whatever the neighbourhoods have become, and the M-step raises the bound for these. Most passes have no other
candidates: nearly all rows stay where they are, and several EM steps on known pairs cost as much as a look for others.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ._arrays import Batches
from ._blocks import PairList
from ._candidates import N_NEIGHBOURS, N_TRIED, Closeness, pays, with_some_tried
from ._e_step import Claims, Sums
from ._em import Statistics
from ._lookup import Lookup
from ._model import Density, MFAParams, prepare
from ._posterior import best_components, find_pairs, margin_of
from ._precision import coarse_products, search_may_be_coarse
from ._soft import soft_statistics

# Rows that soft statistics are taken from, and rows per loading column if that is more: others change only the time.
_LEAST_ROWS = 10_000
_ROWS_PER_COLUMN = 6
# Share of the starting temperature at which posteriors are sharp enough to be worked on pair by pair.
_SHARP_SHARE = 1 / 32
# How many features' worth of evidence a row is, of however many, when it says which components are close.
_EVIDENCE = 24
# Passes over the pairs known already, after each that looks for others, and what one costs in terms of that.
_REVISITS = 3
_REVISIT_COST = 0.25
# Floating-point operations per second of a common processor with few cores, and of a common GPU.
_NOMINAL_RATE = {"cpu": 5e10, "cuda": 1e13}


class Pass(Protocol):
    """What a solver asks of a pass."""

    state: Any  # what the next call depends on; put back to repeat a call
    looked: bool  # whether the last call looked for pairs that were not known
    slow_gain: float  # gain in nats per row below which acceleration pays

    def __call__(self, params: MFAParams, temperature: float = 1.0) -> Statistics:
        """Statistics at parameters in conditioned space."""


class Parts:
    """Disjoint random parts of the rows, one after the other, and again.

    Parameters
    ----------
    n_rows, size : int
        All rows, and about how many to take at a time.
    """

    def __init__(self, n_rows: int, size: int, rng: np.random.RandomState) -> None:
        n_parts = max(1, n_rows // max(size, 1))
        self._parts = [np.sort(p) for p in np.array_split(rng.permutation(n_rows), n_parts)] if n_parts > 1 else []
        self._turn = 0

    def next(self) -> np.ndarray | None:
        """Ascending numbers of the next part's rows; None where it is all of them."""
        if not self._parts:
            return None
        self._turn += 1
        return self._parts[(self._turn - 1) % len(self._parts)]


@torch.no_grad()
def expected_statistics(params: MFAParams, batches: Batches, temperature: float = 1.0) -> Statistics:
    """Exact statistics of all batches, summed."""
    sums = Sums(prepare(params, batches.dtype))
    for _, X, weights in batches:
        sums.add(X, weights, temperature)
    return sums.statistics()


class ExactPass:
    """Every row is compared with every component.

    Parameters
    ----------
    params : MFAParams
        Their shape says how many rows soft statistics need.
    batches : Batches
    rng : RandomState
    soft_above : float
        Temperature above which posteriors are soft; infinity where rows may miss values.
    """

    state: Any = None
    looked: bool = True
    slow_gain: float = math.inf

    def __init__(self, params: MFAParams, batches: Batches, rng: np.random.RandomState, soft_above: float) -> None:
        self._batches, self._soft_above = batches, soft_above
        n_components, _, n_factors = params.loadings.shape
        size = max(_LEAST_ROWS, _ROWS_PER_COLUMN * (n_factors + 1) * n_components)
        self._parts = Parts(batches.n_rows, size, rng)

    def __call__(self, params: MFAParams, temperature: float = 1.0) -> Statistics:
        """Statistics of all rows, or where posteriors are soft of the next part."""
        if temperature > self._soft_above:
            return soft_statistics(params, self._batches, self._parts.next(), temperature)
        return self._sharp(params, temperature)

    def _sharp(self, params: MFAParams, temperature: float) -> Statistics:
        return expected_statistics(params, self._batches, temperature)


class Places(NamedTuple):
    """What a truncated pass remembers; never changed in place."""

    home: Tensor  # (n,) int32  component that suited each row best
    rows: Tensor  # (P,) int32  rows of the further pairs that mattered, ascending ...
    components: Tensor  # (P,) int32  ... and their components
    neighbours: Tensor  # (K, g)  what each component's rows are compared with, first the component itself
    revisits: int = 0  # passes since these were learnt

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
        sums = Sums(density)
        for place, X, weights in self._batches.chunks():
            sums.add_pairs(X, weights, *places.pairs(place), temperature)
        return sums.statistics()

    def _look(self, density: Density, search: _All | _Near, temperature: float) -> tuple[Statistics, Places]:
        sums = Sums(density)
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
        self._lookup = Lookup(density, with_some_tried(places.neighbours, rng))
        self.closeness = Closeness(self._lookup.candidates, flat)

    def __call__(self, place: slice, X: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        home = self._places.home[place].long()
        pairs = PairList(2 * len(X), X.device)
        self._screen(X, home, temperature, pairs)
        rows, components = self._places.further(place)
        unseen = (self._lookup.candidates[home[rows]] != components[:, None]).all(1)
        pairs.add(rows[unseen], components[unseen])
        return pairs.by_component()

    def _screen(self, X: Tensor, home: Tensor, temperature: float, pairs: PairList) -> None:
        margin = margin_of(X, temperature)
        for block in self._lookup.evaluate(X, home):
            self.closeness.add_block(block.groups, block.joint, block.filled)
            least = (block.joint - block.error).amax(2, keepdim=True) - margin
            reach = (block.joint + block.error >= least) & block.filled[:, :, None]
            group, member, candidate = reach.nonzero(as_tuple=True)
            pairs.add(block.numbers[group, member], block.candidates[group, candidate])


def best_pass(
    params: MFAParams, batches: Batches, rng: np.random.RandomState, temperature: float, missing: bool
) -> Pass:
    """The cheaper kind of pass for a fit that starts at a temperature, over rows that may miss values."""
    if missing:
        return ExactPass(params, batches, rng, math.inf)
    kind = TruncatedPass if pays(len(params.means)) else ExactPass
    return kind(params, batches, rng, max(1.0, temperature * _SHARP_SHARE))


def nominal_seconds(batches: Batches, n_components: int, n_factors: int) -> float:
    """Time from one pass that looks for pairs to the next, on a common processor or a common GPU."""
    truncated = pays(n_components)
    compared = N_NEIGHBOURS + N_TRIED if truncated else n_components
    products = 2 * batches.n_rows * batches.n_features * compared * (n_factors + 1)
    passes = 1 + _REVISITS * _REVISIT_COST if truncated else 1
    return passes * 2 * products / _NOMINAL_RATE.get(batches.device.type, 1e13)


def _settle(claims: Claims, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """The best component (n,) of each row, and the rows, ascending, and components of the other pairs that matter."""
    contested = claims.contested
    home = best_components(contested, len(claims.log_prob))
    home[claims.alone.rows] = claims.alone.components
    further = (claims.responsibility > least) & (contested.components != home[contested.rows])
    rows, order = contested.rows[further].sort(stable=True)
    return home.int(), rows, contested.components[further][order].int()
