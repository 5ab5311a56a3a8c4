"""Seconds and peak memory of a piece of work."""

from __future__ import annotations

import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


def peak_mib() -> float:
    """Most memory that was resident so far in this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measured(work: Callable[[], Result]) -> tuple[Result, dict[str, Any]]:
    """The result of `work`, and its seconds; peak memory before it (libraries and rows) and after it."""
    before, begun = peak_mib(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a fixed number of iterations has not converged
        result = work()
    seconds = time.perf_counter() - begun
    return result, {"seconds": seconds, "start_mib": before, "peak_mib": peak_mib()}


def nll(model: Any, train: Any, held_out: Any) -> dict[str, float]:
    """Minus the mean log-likelihood per row, of the rows fitted on and of others."""
    return {"train_nll": -float(model.score(train)), "held_out_nll": -float(model.score(held_out))}
