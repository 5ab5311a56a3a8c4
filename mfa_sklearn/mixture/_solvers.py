"""From what an estimator asks for to where a fit starts, the solver that takes it on, and when that may stop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ._em.annealing import starting_temperature
from ._em.moves import Moves
from ._em.passes import best_pass
from ._em.shrinkage import FixedPrior, LearnedPrior
from ._em.solver import EMSolver
from ._fit.loop import Solver
from ._fit.problem import Problem
from ._fit.stopping import DEFAULT_TOL, LEAST_ROUNDING, Extrapolation, Monitor, Patience, Worthwhile
from ._gradient.solver import GradientSolver
from ._model.params import MFAParams, tie
from ._model.prior import has_wider_pool

# Rows per component and column of its loadings and mean below which annealing brings no more on new rows than moves do.
_ROWS_PER_COLUMN = 10
# Rows that the annealing schedule is read off.
_SCHEDULE_ROWS = 1000


def starting_params(estimator: Any, problem: Problem, attempt: int) -> MFAParams:
    """Where the `attempt`-th start begins, in conditioned space."""
    start = problem.start
    if problem.labels is not None:
        params = start.from_labels(problem.labels)
    elif problem.centers is not None:
        params = start.from_centers(problem.centers)
        if estimator.max_iter == 0:
            # The means of the rows next to given centers are a step from these, and none is to be made.
            params = params._replace(means=problem.conditioner.inward_points(problem.centers).to(params.means))
    else:
        return start.draw("kmeans" if estimator.init == "auto" else estimator.init)
    return start.redraw_loadings(params) if attempt else params


def previous_params(estimator: Any, problem: Problem) -> MFAParams:
    """Where the last fit ended, in conditioned space, with the ties of the structure asked for now.

    Raises
    ------
    ValueError
        If the last fit was of another shape.
    """
    e = estimator
    K, D, q = e.loadings_.shape
    asked = (e.n_components or K, int(np.max(e.n_factors)), problem.batches.n_features)
    if asked != (K, q, D):
        raise ValueError(
            f"warm_start: the last fit had n_components={K}, n_factors={q} and {D} features, but now n_components="
            f"{e.n_components}, n_factors={e.n_factors} and {problem.batches.n_features} features are asked for; set "
            "warm_start=False to start anew."
        )
    params = tie(e._params(problem.batches.device), e._structure)
    # A component without any weight has one of rounding, whose logarithm is a number.
    least = torch.finfo(torch.float64).tiny
    return problem.conditioner.inward(params._replace(log_weights=params.log_weights.clamp(min=math.log(least))))


def solver_from(estimator: Any, params: MFAParams, problem: Problem, fresh: bool) -> tuple[Solver, Monitor]:
    """The solver, and what says when it has gone far enough; `fresh` parameters are a start, not the last fit's."""
    solver, monitor = (_gradient if estimator.solver == "gradient" else _em)(estimator, params, problem, fresh)
    if not fresh:
        # What was learned is the same on all processes of a group, but this may not have been kept on all.
        progress = problem.group.tell(estimator._progress)
        if progress is not None:
            progress.hand_on(estimator, solver, monitor, problem)
    return solver, monitor


def _gradient(e: Any, params: MFAParams, problem: Problem, fresh: bool) -> tuple[Solver, Monitor]:
    solver = GradientSolver(
        params,
        problem.batches,
        e._structure,
        e.noise_floor,
        e.learning_rate,
        e.batch_size,
        problem.rng,
        problem.validation,
        _shrinkage(e, params, problem),
    )
    return solver, Patience(DEFAULT_TOL if e.tol == "auto" else e.tol, e.n_iter_no_change)


def _em(e: Any, params: MFAParams, problem: Problem, fresh: bool) -> tuple[Solver, Monitor]:
    temperature = _temperature(e, params, problem) if fresh else 1.0
    rows = best_pass(params, problem.batches, problem.rng, temperature, problem.missing)
    solver = EMSolver(
        params,
        rows,
        e._structure,
        e.noise_floor,
        temperature,
        acceleration=e.acceleration,
        row_weight=problem.batches.mean_weight,
        shrinkage=_shrinkage(e, params, problem),
        moves=_moves(e, len(params.means), problem) if fresh else None,
        group=problem.group,
    )
    # Rounding of many rows' densities cancels for the most part.
    rounding = max(LEAST_ROUNDING, torch.finfo(problem.batches.dtype).eps / 4)
    if e.tol == "auto":
        return solver, Worthwhile(rows.seconds, problem.batches.n_features, rounding=rounding)
    return solver, Extrapolation(e.tol, rounding)


def _shrinkage(e: Any, params: MFAParams, problem: Problem) -> FixedPrior:
    n_components, _, n_factors = params.loadings.shape
    if not e.noise_prior or not has_wider_pool(e._structure, n_components):
        return FixedPrior()
    return LearnedPrior(e.noise_prior, problem.batches, e._structure, e.noise_floor, problem.rng, n_factors)


def _moves(e: Any, n_components: int, problem: Problem) -> Moves | None:
    asked = e.annealing == "auto" and not problem.stated if e.split_merge == "auto" else e.split_merge
    unfit = problem.missing or e._structure.common_loadings or np.ndim(e.n_factors)
    if not asked or unfit or n_components == 1:
        return None
    return Moves(problem.batches, e._structure, e.noise_floor, problem.rng)


def _temperature(e: Any, params: MFAParams, problem: Problem) -> float:
    if e.annealing != "auto":
        return float(e.annealing)
    n_components, _, n_factors = params.loadings.shape
    if problem.stated or problem.batches.total_rows < _ROWS_PER_COLUMN * n_components * (n_factors + 1):
        return 1.0
    size = _SCHEDULE_ROWS * problem.batches.n_features * problem.batches.dtype.itemsize
    X, weights = problem.batches.sampled(problem.batches.draw(problem.rng, size))
    start = problem.group.decided(lambda: starting_temperature(params, X, weights))
    # Halved at each step, it has to be down at one by the middle of the iterations.
    return min(start, 2.0 ** min(e.max_iter // 2, 64))
