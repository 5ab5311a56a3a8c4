"""Which kind of pass over the rows a fit makes: the cheaper one that can."""

from __future__ import annotations

import math

import numpy as np

from .._model.params import MFAParams
from .._rows import Batches
from .exact import ExactPass, Pass
from .neighbors import pays
from .truncated import TruncatedPass

# Share of the starting temperature at which posteriors are sharp enough to be worked on pair by pair.
_SHARP_SHARE = 1 / 32


def best_pass(
    params: MFAParams, batches: Batches, rng: np.random.RandomState, temperature: float, missing: bool
) -> Pass:
    """The cheaper kind of pass for a fit that starts at a temperature, over rows that may miss values."""
    if missing:
        return ExactPass(params, batches, rng, math.inf)
    exact = ExactPass(params, batches, rng, max(1.0, temperature * _SHARP_SHARE))
    return TruncatedPass(exact, params, batches, rng) if pays(len(params.means)) else exact
