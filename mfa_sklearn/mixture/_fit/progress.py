"""How far a fit had come when it ended, so that a warm start on the same rows goes on instead of judging anew.

A fit by warm starts of a few iterations each would otherwise never see enough bounds to know that it is at its end.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np

from ..._base.devices import to_numpy
from .loop import Solver
from .problem import Problem
from .stopping import Monitor

# What moments of the same rows may differ by: weights by a common factor, whose rounding is another one.
_SAME = 1e-9


class Progress(NamedTuple):
    """What the monitor of a fit had seen, of which rows, and in a search for what."""

    monitor: Monitor
    plain: bool  # whether the next step was to be a plain one
    moments: np.ndarray  # (2, D) centers and scales of the columns
    n_rows: int
    asked: tuple[Any, ...]  # settings that another maximum, or another way to it, would come of
    prior: tuple[Any, int]  # of the noise, and after how many steps
    reached: bytes  # digest of the parameters that the fit left

    @classmethod
    def of(cls, estimator: Any, monitor: Monitor, plain: bool, prior: tuple[Any, int], problem: Problem) -> Progress:
        """That of a fit that has just ended, and left this mixture in the estimator."""
        seen = _moments(problem), problem.batches.total_rows
        return cls(monitor, plain, *seen, _asked(estimator, problem), prior, mixture_digest(estimator))

    def hand_on(self, estimator: Any, solver: Solver, monitor: Monitor, problem: Problem) -> None:
        """Let another fit go on from here, if it is the same one and to the same rows, which all count for its bound.

        What the estimator was asked for, or its parameters, may have been changed in between.
        """
        if problem.validation is not None or problem.batches.total_rows != self.n_rows:
            return
        if _asked(estimator, problem) != self.asked or mixture_digest(estimator) != self.reached:
            return
        moments = _moments(problem)
        if moments.shape != self.moments.shape or not np.allclose(moments, self.moments, rtol=_SAME, atol=0):
            return
        monitor.go_on(self.monitor)
        solver.plain = self.plain
        solver.shrinkage.go_on(*self.prior)


def _moments(problem: Problem) -> np.ndarray:
    return np.stack([to_numpy(part) for part in problem.conditioner])


def _asked(estimator: Any, problem: Problem) -> tuple[Any, ...]:
    e = estimator
    return e.solver, e._structure, e.noise_floor, e.noise_prior, e.learning_rate, e.batch_size, problem.batches.dtype


def mixture_digest(estimator: Any) -> bytes:
    """Of the parameters of a fitted estimator."""
    digest = hashlib.sha256()
    for part in estimator._params():
        digest.update(to_numpy(part).tobytes())
    return digest.digest()
