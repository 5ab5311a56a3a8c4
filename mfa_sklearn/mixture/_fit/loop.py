"""One loop for both solvers: step, monitor, stop, result."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from .._model.params import MFAParams
from .stopping import Monitor


class Step(NamedTuple):
    """What a solver's step says of itself."""

    bound: float  # mean log-likelihood per row that progress is judged by
    comparable: bool  # whether the bound may be compared with the last that could be
    note: str = ""  # for people


class FitResult(NamedTuple):
    """Parameters in conditioned space and how they were reached."""

    params: MFAParams
    bound: float  # mean log-likelihood per row of exactly these parameters
    bounds: list[float]
    n_iter: int
    converged: bool
    reseeded: int
    interrupted: bool

    def better(self, other: FitResult) -> FitResult:
        """The one of higher bound; this one of equals. A bound that is not a number is below all others."""
        return other if math.isnan(self.bound) or other.bound > self.bound else self


class Solver(Protocol):
    """What the loop asks of a solver."""

    reseeded: int

    def step(self) -> Step:
        """Improve the parameters once."""

    def finish(self) -> tuple[MFAParams, float]:
        """The parameters reached, in double precision, and their exact mean log-likelihood per row."""


def run(solver: Solver, monitor: Monitor, max_iter: int, report: Callable[[int, Step], Any] | None = None) -> FitResult:
    """Step until the monitor is satisfied or `max_iter` steps are done; an interrupt keeps what was reached."""
    bounds: list[float] = []
    converged, interrupted = False, False
    try:
        for n_iter in range(1, max_iter + 1):
            step = solver.step()
            bounds.append(step.bound)
            if report is not None:
                report(n_iter, step)
            if step.comparable and monitor.done(step.bound):
                converged = True
                break
    except KeyboardInterrupt:
        interrupted = True
    params, bound = solver.finish()
    return FitResult(params, bound, [*bounds, bound], len(bounds), converged, solver.reseeded, interrupted)
