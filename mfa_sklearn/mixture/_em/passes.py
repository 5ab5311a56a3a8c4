"""One pass over the rows: expected statistics at given parameters and a temperature.

A pass is exact, or truncated to a few candidate components per row (`_candidates`); above temperature one it goes over
as many rows as its soft statistics need, other ones each time, and over all rows at one. What a truncated pass raises,

    sum_n log sum_{k in candidates of n} p(x_n, k),

never falls at temperature one: every component that mattered to a row in the last pass is a candidate of the next,
whatever the neighborhoods have become, and the M-step raises the bound for these. Most passes have no other
candidates: nearly all rows stay where they are, and several EM steps on known pairs cost as much as a look for others.
"""

from __future__ import annotations

import math

import numpy as np

from .._model.params import MFAParams
from .._rows import Batches
from .exact import ExactPass, Pass
from .neighbors import N_NEIGHBORS, N_TRIED, pays
from .truncated import _REVISIT_COST, _REVISITS, TruncatedPass

# Share of the starting temperature at which posteriors are sharp enough to be worked on pair by pair.
_SHARP_SHARE = 1 / 32
# Floating-point operations per second of a common processor with few cores, and of a common GPU.
_NOMINAL_RATE = {"cpu": 5e10, "cuda": 1e13}


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
    compared = N_NEIGHBORS + N_TRIED if truncated else n_components
    products = 2 * batches.n_rows * batches.n_features * compared * (n_factors + 1)
    passes = 1 + _REVISITS * _REVISIT_COST if truncated else 1
    return passes * 2 * products / _NOMINAL_RATE.get(batches.device.type, 1e13)
