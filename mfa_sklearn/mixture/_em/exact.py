"""EXACT"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import torch

from .._model.density import prepare
from .._model.params import MFAParams
from .._rows import Batches
from .sharp import SharpSums
from .soft import soft_statistics
from .statistics import Statistics

# Rows that soft statistics are taken from, and rows per loading column if that is more: others change only the time.
_LEAST_ROWS = 10_000


_ROWS_PER_COLUMN = 6


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
