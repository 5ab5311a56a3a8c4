"""One pass over the rows: expected statistics at given parameters and a temperature.

A pass is exact, or truncated to a few candidate components per row (`_candidates`); above temperature one it goes over
as many rows as its soft statistics need, other ones each time, and over all rows at one. What a truncated pass raises,

    sum_n log sum_{k in candidates of n} p(x_n, k),

never falls at temperature one: every component that mattered to a row in the last pass is a candidate of the next,
whatever the neighbourhoods have become, and the M-step raises the bound for these.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ._arrays import Batches
from ._candidates import N_NEIGHBOURS, N_TRIED, Closeness, pays, with_some_tried
from ._em import Statistics, e_step, statistics_of, zero_statistics
from ._lookup import Lookup
from ._model import Density, MFAParams, prepare
from ._posterior import Pairs, find_pairs, margin_of, normalise, refine
from ._soft import soft_statistics

# Rows that soft statistics are taken from, and rows per loading column if that is more: others change only the time.
_LEAST_ROWS = 10_000
_ROWS_PER_COLUMN = 6
# Share of the starting temperature at which posteriors are sharp enough to be worked on pair by pair.
_SHARP_SHARE = 1 / 32
# How many features' worth of evidence a row is, of however many, when it says which components are close.
_EVIDENCE = 24
# Floating-point operations per second of a common processor with few cores, and of a common GPU.
_NOMINAL_RATE = {"cpu": 5e10, "cuda": 1e13}


class Pass(Protocol):
    """What a solver asks of a pass."""

    state: Any  # what the next call depends on; put back to repeat a call
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
    density = prepare(params, batches.dtype)
    total = zero_statistics(params)
    for _, X, weights in batches:
        total = total + e_step(density, X, weights, temperature)[0]
    return total


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


class TruncatedPass(ExactPass):
    """Every row is compared with a few candidates, better ones at each pass. Rows must be complete.

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
        density = prepare(params, self._batches.dtype)
        places, flat = self.state, self._flat
        search = _All(density, flat) if places is None else _Near(density, places, self._rng, flat)
        total = zero_statistics(params)
        home, rows, components = [], [], []
        for place, X, weights in self._batches.chunks():
            pairs = refine(density, X, *search(place, X, temperature))
            responsibility, log_prob = normalise(pairs, len(X), temperature)
            best = _best(pairs, len(X))
            home.append(best.int())
            matters = responsibility > math.exp(-margin_of(X, temperature) / temperature)
            further = matters & (pairs.components != best[pairs.rows])
            by_row = pairs.rows[further].argsort(stable=True)
            rows.append((pairs.rows[further][by_row] + place.start).int())
            components.append(pairs.components[further][by_row].int())
            total = total + statistics_of(density, X, weights, pairs, responsibility, log_prob)
        self.state = Places(torch.cat(home), torch.cat(rows), torch.cat(components), search.closeness.best())
        return total


class _All:
    """Finds the pairs that matter among all."""

    def __init__(self, density: Density, flat: float) -> None:
        n_components = len(density.constant)
        self._density = density
        everything = torch.arange(n_components, device=density.constant.device)
        self.closeness = Closeness(everything.expand(n_components, n_components), flat)

    def __call__(self, place: slice, X: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        return find_pairs(self._density, X, temperature, lambda _, joint: self.closeness.add(joint.argmax(1), joint))


class _Near:
    """Finds the pairs that matter among the candidates of each row's home, and adds those that mattered before."""

    def __init__(self, density: Density, places: Places, rng: np.random.RandomState, flat: float) -> None:
        self._places = places
        self._lookup = Lookup(density, with_some_tried(places.neighbours, rng))
        self.closeness = Closeness(self._lookup.candidates, flat)

    def __call__(self, place: slice, X: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        home = self._places.home[place].long()
        rows, components = self._screen(X, home, temperature)
        window = torch.tensor([place.start, place.stop], dtype=torch.int32, device=X.device)
        first, last = torch.searchsorted(self._places.rows, window).tolist()
        also_rows = self._places.rows[first:last].long() - place.start
        also = self._places.components[first:last].long()
        unseen = (self._lookup.candidates[home[also_rows]] != also[:, None]).all(1)
        rows, components = torch.cat([rows, also_rows[unseen]]), torch.cat([components, also[unseen]])
        components, order = components.sort(stable=True)
        return rows[order], components

    def _screen(self, X: Tensor, home: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        rows, components = [home[:0]], [home[:0]]
        margin = margin_of(X, temperature)
        for block in self._lookup.evaluate(X, home):
            self.closeness.add_block(block.groups, block.joint, block.filled)
            least = (block.joint - block.error).amax(2, keepdim=True) - margin
            reach = (block.joint + block.error >= least) & block.filled[:, :, None]
            group, member, candidate = reach.nonzero(as_tuple=True)
            rows.append(block.numbers[group, member])
            components.append(block.candidates[group, candidate])
        return torch.cat(rows), torch.cat(components)


def best_pass(
    params: MFAParams, batches: Batches, rng: np.random.RandomState, temperature: float, missing: bool
) -> Pass:
    """The cheaper kind of pass for a fit that starts at a temperature, over rows that may miss values."""
    if missing:
        return ExactPass(params, batches, rng, math.inf)
    kind = TruncatedPass if pays(len(params.means)) else ExactPass
    return kind(params, batches, rng, max(1.0, temperature * _SHARP_SHARE))


def nominal_seconds(batches: Batches, n_components: int, n_factors: int) -> float:
    """Time that one pass over the rows would take a common processor, or a common GPU."""
    compared = N_NEIGHBOURS + N_TRIED if pays(n_components) else n_components
    products = 2 * batches.n_rows * batches.n_features * compared * (n_factors + 1)
    return 2 * products / _NOMINAL_RATE.get(batches.device.type, 1e13)


def _best(pairs: Pairs, n_rows: int) -> Tensor:
    """The component (n,) with the highest log joint density of each row."""
    top = pairs.log_joint.new_full((n_rows,), -torch.inf).scatter_reduce(0, pairs.rows, pairs.log_joint, "amax")
    is_top = pairs.log_joint >= top[pairs.rows]
    return pairs.components.new_zeros(n_rows).scatter_(0, pairs.rows[is_top], pairs.components[is_top])
