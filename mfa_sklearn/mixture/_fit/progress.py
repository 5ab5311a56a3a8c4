"""How far a fit had come when it ended, so that a warm start on the same rows goes on instead of judging anew.

A fit by warm starts of a few iterations each would otherwise never see enough bounds to know that it is at its end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..._base.devices import to_numpy
from .loop import Solver
from .problem import Problem
from .stopping import Monitor

# What moments of the same rows may differ by: weights by a common factor, whose rounding is another one.
_SAME = 1e-9


class Progress(NamedTuple):
    """What the monitor of a fit had seen, and of which rows."""

    monitor: Monitor
    plain: bool  # whether the next step was to be a plain one
    moments: np.ndarray  # (2, D) centers and scales of the columns
    n_rows: int

    @classmethod
    def of(cls, solver: Solver, monitor: Monitor, problem: Problem) -> Progress:
        """That of a fit that has just ended."""
        return cls(monitor, solver.plain, _moments(problem), problem.batches.n_rows)

    def hand_on(self, solver: Solver, monitor: Monitor, problem: Problem) -> None:
        """Let another fit go on from here, if it is one to the same rows, all of which count for its bound."""
        if problem.validation is not None or problem.batches.n_rows != self.n_rows:
            return
        moments = _moments(problem)
        if moments.shape != self.moments.shape or not np.allclose(moments, self.moments, rtol=_SAME, atol=0):
            return
        monitor.go_on(self.monitor)
        solver.plain = self.plain


def _moments(problem: Problem) -> np.ndarray:
    return np.stack([to_numpy(part) for part in problem.conditioner])
