"""One loop for both solvers: step, monitor, stop, result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from ..._base.group import ALONE, AnyGroup
from .._model.params import MFAParams
from .stopping import Monitor

# What parameters a step found the bound of: where the step before led to, also by extrapolation or by moves of
# components; where an extrapolation was dropped, the best so far.
KINDS = ("plain", "extrapolated", "moved", "dropped")


class Step(NamedTuple):
    """What a solver's step says of itself."""

    bound: float  # mean log-likelihood per row and log prior, which progress is judged by
    comparable: bool  # whether the bound may be compared with the last that could be
    note: str = ""  # for people
    temperature: float = 1.0  # that posteriors were flattened by
    kind: str = "plain"  # what the bound is of: see `KINDS`


class Course(NamedTuple):
    """What a fit has gone through so far."""

    steps: list[Step]
    converged: bool = False


class FitResult(NamedTuple):
    """Parameters in conditioned space and how they were reached."""

    params: MFAParams
    bound: float  # mean log-likelihood per row of exactly these parameters, and log prior
    log_prior: float  # the latter alone
    bounds: list[float]
    n_iter: int
    converged: bool
    reseeded: int
    interrupted: bool
    temperatures: Sequence[float] = ()  # of each step
    kinds: Sequence[str] = ()
    stopped: bool = False  # whether who watched ended the fit

    def better(self, other: FitResult) -> FitResult:
        """The one of higher bound; this one of equals. A bound that is not a number is below all others."""
        return other if math.isnan(self.bound) or other.bound > self.bound else self


class Solver(Protocol):
    """What the loop asks of a solver."""

    reseeded: int
    shrinkage: Any  # what knows the prior of the noise
    plain: bool  # whether a step goes on from where the last one ended; may be set

    @property
    def params(self) -> MFAParams:
        """The best parameters that are known so far, in conditioned space and double precision."""

    def step(self) -> Step:
        """Improve the parameters once."""

    def log_prior(self, params: MFAParams) -> float:
        """Log density of parameters under the prior, per row."""

    def rearrange(self, bound: float) -> bool:
        """Move on from where steps have come to an end, at a bound; false where there is nowhere to go."""

    def finish(self) -> tuple[MFAParams, float]:
        """The parameters reached, in double precision, and their exact mean log-likelihood and log prior per row."""

    def state(self) -> dict[str, Any]:
        """All that the next steps depend on beside the rows: tensors that no step changes, plain values, and both."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on as the solver would have whose state it was, and which was made alike."""


def run(
    solver: Solver,
    monitor: Monitor,
    max_iter: int,
    watch: Callable[[Course], bool] | None = None,
    begun: Course | None = None,
    group: AnyGroup = ALONE,
) -> FitResult:
    """Step until the monitor is satisfied or `max_iter` steps are done; an interrupt keeps what was reached.

    Gains of extrapolated steps are no series that says what is still to come. Where they seem to have ended, plain
    steps are made, and theirs are judged; should these have more to gain, extrapolation goes on.

    Parameters
    ----------
    watch : callable, optional
        Told how the fit went so far, once a step is done and judged; a true answer ends it.
    begun : Course, optional
        What led to where solver and monitor stand.
    group : Alone or Group
        Of the processes that the solver works with; where there are others, which would wait for one that is
        interrupted, an interrupt ends all of them.
    """
    steps, converged = begun or Course([])
    interrupted = stopped = False
    try:
        while len(steps) < max_iter and not (converged or stopped):
            steps.append(solver.step())
            converged = _judged(solver, monitor, steps[-1])
            stopped = watch is not None and watch(Course(steps, converged))
    except KeyboardInterrupt:
        if group.size > 1:
            raise
        interrupted = True
    params, bound = solver.finish()
    log_prior = solver.log_prior(params)
    bounds = [*(step.bound for step in steps), bound]
    went = [step.temperature for step in steps], [step.kind for step in steps]
    ended = converged, solver.reseeded, interrupted
    return FitResult(params, bound, log_prior, bounds, len(steps), *ended, *went, stopped)


def _judged(solver: Solver, monitor: Monitor, step: Step) -> bool:
    """Whether the fit is at its end, now that a step is done; if it is, there may be somewhere else to go on from."""
    if not step.comparable:
        return False
    ended = _ended(solver, monitor, step.bound)
    if (ended or monitor.slow) and solver.rearrange(step.bound):
        monitor.restart(math.nan)
        return False
    return ended


def _ended(solver: Solver, monitor: Monitor, bound: float) -> bool:
    """Whether steps have come to an end, now that one has come to a bound."""
    if not monitor.done(bound, solver.plain):
        if monitor.doubtful:
            solver.plain = False
        return False
    if monitor.final or solver.plain:
        return True
    solver.plain = True
    monitor.restart(bound)
    return False
