"""A fit from rows to what it leaves: starts one after another, watched, and kept in a checkpoint as they go on."""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

from .._base.devices import to_numpy, to_tensor
from .._base.group import AnyGroup
from .._base.progress import progress
from .._base.words import plural
from ._callbacks import Tasks
from ._checkpoint.checkpoint import Checkpoint, checkpoint_of
from ._checkpoint.randomness import generator_for, set_state, state_of
from ._checkpoint.state import Tried, packed, packed_course, unpacked, unpacked_course
from ._fit.loop import Course, FitResult, run
from ._fit.problem import Known, Problem, pose
from ._fit.progress import Progress, mixture_digest
from ._model.params import MFAParams
from ._shares import check_shares, group_for, least_rows, shared_source, told_random_state
from ._shortcomings import warn_of
from ._solvers import previous_params, solver_from, starting_params
from ._start.start import Draws
from ._tokens import over_represented_tokens
from ._validation import check_rows


def fit_mixture(
    mfa: Any, X: Any, sample_weight: Any = None, draws: Draws | None = None, y: Any = None, stream: bool = False
) -> None:
    """Fit an estimator, whose parameters are checked, to rows.

    Parameters
    ----------
    mfa : MFA
    X : array-like of shape (n, D)
    sample_weight : array-like (n,), optional
    draws : Draws, optional
        Those of other fits to the same rows.
    y : object
        For callbacks.
    stream : bool, default=False
        Whether the rows are the first of a stream: all of them are fitted on, and no checkpoint is kept.

    Raises
    ------
    KeyboardInterrupt
        If there was one; what the fit came to is then the estimator's.
    """
    group = group_for(mfa)
    with group.failing_together():
        _fit_in(group, mfa, X, sample_weight, draws, y, stream)


def _fit_in(group: AnyGroup, mfa: Any, X: Any, sample_weight: Any, draws: Draws | None, y: Any, stream: bool) -> None:
    rows = check_rows(mfa, X, reset=True, least_rows=least_rows(group))
    check_shares(mfa, rows, sample_weight, group, goes_on(mfa))
    source = shared_source(X, group)
    start, shown = mixture_digest(mfa).hex() if goes_on(mfa) else None, bool(mfa.verbose) and group.first
    with checkpoint_of(mfa, X, rows, sample_weight, start, group, asked=not stream) as checkpoint:
        known = _known(mfa, checkpoint, group)
        at_first = {"rng_at_first": state_of(known.rng)}
        with progress(rows.shape[0], "MFA, moments of the columns", "row", shown=shown) as bar:
            problem = pose(mfa, X, rows, sample_weight, known, draws, bar.update, stream, group)
        checkpoint.check_rows(problem.moments)
        tasks = Tasks(mfa, X, y, sample_weight, 1 if goes_on(mfa) else mfa.n_init, mfa.max_iter)
        fitting = Fitting(mfa, source, problem, checkpoint, tasks, at_first)
        best = fitting.best()
        best = best._replace(result=group.tell(best.result))
        mfa._keep(best, problem, fitting.source)
        mfa._progress = fitting.progress(best)
        checkpoint.ended(mixture_digest(mfa).hex())
    if fitting.interrupted:
        raise KeyboardInterrupt(_what_is_kept(mfa, checkpoint))
    found = X if hasattr(X, "shape") else rows
    mfa.component_tokens_ = over_represented_tokens(mfa, found, problem.weights.places, group)
    tasks.end()
    warn_of(mfa, best.result)


def goes_on(mfa: Any) -> bool:
    """Whether a fit starts from the last one's parameters."""
    return mfa.warm_start and hasattr(mfa, "weights_")


def _known(mfa: Any, checkpoint: Checkpoint, group: AnyGroup) -> Known:
    begun = checkpoint.begun
    if begun is None:
        return Known(told_random_state(mfa, group))
    centers = begun["centers"]
    return Known(generator_for(mfa.random_state, begun["rng_at_first"]), None if centers is None else to_numpy(centers))


def _what_is_kept(mfa: Any, checkpoint: Checkpoint) -> str:
    after = f"the fit as it was after {plural(mfa.n_iter_, 'iteration')} is kept in the estimator"
    return f"{after}, and in {str(mfa.checkpoint)!r} for the same fit to go on" if checkpoint.kept else after


class Fitting:
    """The starts of a fit and the best of them; of each iteration all are told who want to know.

    Parameters
    ----------
    mfa : MFA
    source : dict or None
        What the rows were.
    problem : Problem
    checkpoint : Checkpoint
    tasks : Tasks
    at_first : dict
        What a checkpoint says of the time before the problem was posed.
    """

    def __init__(
        self, mfa: Any, source: Any, problem: Problem, checkpoint: Checkpoint, tasks: Tasks, at_first: dict[str, Any]
    ) -> None:
        self._mfa, self._problem, self._checkpoint, self._tasks = mfa, problem, checkpoint, tasks
        self.source, self._fresh = source, not goes_on(mfa)
        centers = problem.centers
        self._fixed = at_first | {"centers": None if centers is None else to_tensor(centers)}
        self._best: Tried | None = None
        self.interrupted = False

    def best(self) -> Tried:
        """Make the starts that are left to make; the one with the highest bound of all."""
        begun, n_starts = self._checkpoint.begun, self._mfa.n_init if self._fresh else 1
        self._best = None if begun is None else unpacked(begun["best"])
        for attempt in range(0 if begun is None else begun["attempt"], n_starts):
            tried = self._try(attempt, begun)
            begun = None
            if self._best is None or self._best.result.better(tried.result) is tried.result:
                self._best = tried
            self.interrupted = tried.result.interrupted
            if self.interrupted or self._problem.group.any(self._tasks.end_start(partial(self._learned, tried))):
                break
        assert self._best is not None
        return self._best

    def progress(self, best: Tried) -> Progress:
        """What a warm start goes on with."""
        monitor = copy.copy(self._monitor)
        monitor.restore(best.monitor)
        return Progress.of(self._mfa, monitor, best.plain, (best.prior, best.shrinkage[1]), self._problem)

    def _try(self, attempt: int, begun: dict[str, Any] | None) -> Tried:
        """Make a start, or go on with one that was begun."""
        self._tasks.start()
        course = self._begin(attempt) if begun is None else self._resume(begun)
        name = f"MFA, start {attempt + 1} of {self._mfa.n_init}" if self._fresh and self._mfa.n_init > 1 else "MFA"
        most, done, shown = self._mfa.max_iter, len(course.steps), bool(self._mfa.verbose) and self._problem.group.first
        with (
            progress(most, name, "iteration", shown=shown, initial=done, at_most=True) as self._bar,
            self._checkpoint.kept_at_last(),
        ):
            if begun is None:
                self._checkpoint.keep(partial(self._state, course), done, now=True)
            if done < most and not course.converged:
                self._tasks.iteration(partial(self._learned_after, course))
            result = run(self._solver, self._monitor, most, self._watch, course, self._problem.group)
        solver = self._solver
        return Tried(result, self._monitor.state(), solver.plain, solver.shrinkage.state(), self._held_out)

    def _begin(self, attempt: int) -> Course:
        """Find a start, and make what goes on from there."""
        mfa, problem = self._mfa, self._problem
        params = starting_params(mfa, problem, attempt) if self._fresh else previous_params(mfa, problem)
        self._start = {"attempt": attempt, "start": tuple(params), "rng_at_start": state_of(problem.rng)}
        self._solver, self._monitor = solver_from(mfa, params, problem, self._fresh)
        self._held_out: list[float] = []
        return Course([])

    def _resume(self, begun: dict[str, Any]) -> Course:
        """The same of a start that was found, and what it went through since."""
        mfa, problem = self._mfa, self._problem
        self._start = {name: begun[name] for name in ("attempt", "start", "rng_at_start")}
        problem.start.n_drawn = begun["attempt"] + 1
        # What the solver draws when it is made is drawn again.
        set_state(problem.rng, begun["rng_at_start"])
        self._solver, self._monitor = solver_from(mfa, MFAParams(*begun["start"]), problem, self._fresh)
        self._solver.restore(begun["solver"])
        self._monitor.restore(begun["monitor"])
        set_state(problem.rng, begun["rng"])
        self._held_out = list(begun["held_out"])
        return unpacked_course(begun["course"])

    def _watch(self, course: Course) -> bool:
        """What happens after each iteration; whether a callback says that it is the last."""
        step, figures, learned = course.steps[-1], {}, partial(self._learned_after, course)
        if self._problem.held_out is not None:
            self._held_out.append(self._problem.held_out.log_likelihood(self._solver.params))
            figures["held_out"] = self._held_out[-1]
        shown = {"lower_bound": step.bound - self._problem.log_scale, "note": step.note or None}
        self._bar.update(1, **shown | figures)
        ended = course.converged or len(course.steps) >= self._mfa.max_iter
        self._checkpoint.keep(partial(self._state, course), len(course.steps), now=ended)
        if self._problem.group.any(self._tasks.end_iteration(learned)):
            return True
        if not ended:
            self._tasks.iteration(learned)
        return False

    def _state(self, course: Course) -> dict[str, Any]:
        """Where the fit stands: tensors that later steps leave alone, and plain values."""
        now = {
            "best": packed(self._best),
            "solver": self._solver.state(),
            "monitor": self._monitor.state(),
            "rng": state_of(self._problem.rng),
            "held_out": list(self._held_out),
            "course": packed_course(course),
        }
        return self._fixed | self._start | now

    def _learned_after(self, course: Course) -> dict[str, Any]:
        """The attributes of an estimator whose fit would end here; its bounds are those of the iterations made."""
        solver, steps = self._solver, course.steps
        bounds, params = [step.bound for step in steps], solver.params
        went = [step.temperature for step in steps], [step.kind for step in steps]
        ended = course.converged, solver.reseeded, False
        bound = bounds[-1] if bounds else math.nan
        result = FitResult(params, bound, solver.log_prior(params), bounds, len(steps), *ended, *went)
        return self._learned(Tried(result, {}, False, solver.shrinkage.state(), self._held_out))

    def _learned(self, tried: Tried) -> dict[str, Any]:
        shadow, before = copy.copy(self._mfa), vars(self._mfa)
        shadow._keep(tried, self._problem, self.source)
        return {name: value for name, value in vars(shadow).items() if value is not before.get(name, self)}
