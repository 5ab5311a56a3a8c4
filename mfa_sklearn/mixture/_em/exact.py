"""Passes that compare every row with every component, and what a solver asks of any pass.

Above the temperature at which posteriors are sharp, a pass goes over as many rows as its soft statistics need, other
ones each time; below it over all of them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from .._model.density import prepare
from .._model.pairs import mean_log_prob
from .._model.params import MFAParams
from .._rows import Batches
from .moves import Move
from .sharp import SharpSums
from .soft import soft_statistics
from .statistics import Statistics

# Rows that soft statistics are taken from, and rows per loading column if that is more: others change only the time.
_LEAST_ROWS = 10_000
_ROWS_PER_COLUMN = 6
# Floating-point operations per second of a common processor with few cores, and of a common GPU.
_NOMINAL_RATE = {"cpu": 5e10, "cuda": 1e13}


class PassResult(NamedTuple):
    """What a pass gives."""

    statistics: Statistics  # of this process's rows
    memory: Any  # what the next call is to be given; None where nothing is remembered
    looked: bool = True  # whether pairs were looked for that were not known


class Pass(Protocol):
    """What a solver asks of a pass."""

    seconds: float  # nominal time from one call that looks for pairs to the next
    slow_gain: float  # gain in nats per row below which acceleration pays

    def __call__(self, params: MFAParams, temperature: float = 1.0, memory: Any = None) -> PassResult:
        """Statistics at parameters in conditioned space, given what the last call remembered."""

    def after(self, memory: Any, move: Move) -> Any:
        """What is remembered, now that components have changed places."""

    def log_likelihood(self, params: MFAParams, memory: Any = None) -> float:
        """The bound at temperature one, per row, without statistics."""

    def state(self) -> Any:
        """What later calls depend on beside their arguments, as plain values."""

    def restore(self, state: Any) -> None:
        """Go on as the pass would have whose state it was, and which was made alike."""

    def packed(self, memory: Any) -> Any:
        """What is remembered as a plain tuple of tensors and plain values, or None."""

    def unpacked(self, packed: Any) -> Any:
        """What is remembered from such a tuple."""


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
        self.turn = 0  # parts given so far

    def next(self) -> np.ndarray | None:
        """Ascending numbers of the next part's rows; None where it is all of them."""
        if not self._parts:
            return None
        self.turn += 1
        return self._parts[(self.turn - 1) % len(self._parts)]


def nominal_seconds(batches: Batches, n_compared: int, n_factors: int) -> float:
    """Time to compare every row with `n_compared` components, on a common processor or a common GPU.

    Nominal, because how far a fit goes must depend neither on what else a machine does, nor on how many share the rows.
    """
    products = 2 * batches.total_rows * batches.n_features * n_compared * (n_factors + 1)
    # Finding the pairs, and as much again for their statistics.
    return 2 * products / _NOMINAL_RATE.get(batches.device.type, _NOMINAL_RATE["cuda"])


@torch.no_grad()
def expected_statistics(params: MFAParams, batches: Batches, temperature: float = 1.0) -> Statistics:
    """Exact statistics of all batches, summed; of this process's rows."""
    sums = SharpSums(prepare(params, batches.dtype))
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

    slow_gain: float = math.inf

    def __init__(self, params: MFAParams, batches: Batches, rng: np.random.RandomState, soft_above: float) -> None:
        self._batches, self.soft_above = batches, soft_above
        n_components, _, n_factors = params.loadings.shape
        size = max(_LEAST_ROWS, _ROWS_PER_COLUMN * (n_factors + 1) * n_components)
        self._parts = Parts(batches.total_rows, size, rng)
        self.seconds = nominal_seconds(batches, n_components, n_factors)

    def __call__(self, params: MFAParams, temperature: float = 1.0, memory: Any = None) -> PassResult:
        """Statistics of all rows, or where posteriors are soft of the next part; what is remembered stays."""
        if temperature > self.soft_above:
            part = self._parts.next()
            own = None if part is None else self._batches.own(part)
            return PassResult(soft_statistics(params, self._batches, own, temperature), memory)
        return PassResult(expected_statistics(params, self._batches, temperature), memory)

    def after(self, memory: Any, move: Move) -> None:
        """Nothing is remembered."""

    @torch.no_grad()
    def log_likelihood(self, params: MFAParams, memory: Any = None) -> float:
        """Mean log density per row."""
        return mean_log_prob(prepare(params, self._batches.dtype), self._batches, self._batches.group)

    def state(self) -> int:
        """How many parts of the rows have had their turn."""
        return self._parts.turn

    def restore(self, state: int) -> None:
        """Go on with the part after these."""
        self._parts.turn = state

    def packed(self, memory: None) -> None:
        """Nothing is remembered."""

    def unpacked(self, packed: None) -> None:
        """Nothing is remembered."""
