"""When a fit has gone far enough."""

from __future__ import annotations

import math
from typing import Protocol

# What is left to gain, in nats per row, where nothing else is asked for.
DEFAULT_TOL = 1e-4
# Nats per value of a row that a fit must gain where it goes on for a tenth longer, and time that it may take anyway.
_GAIN_BY_A_TENTH = 1e-3
_FREE_SECONDS = 2.0
# Finding a start and annealing come before the first bound, and take about as long as this number of steps.
_STEPS_BEFORE = 5


class Monitor(Protocol):
    """Says when to stop."""

    def done(self, bound: float) -> bool:
        """Whether the bounds seen so far, this one the last, say that no more is to be had."""


class Extrapolation:
    """Stops when all the gain still to come, extrapolated from the last gains, is below `tol` per row.

    EM's gains shrink geometrically, so a small gain says little: at a rate of 0.99 a hundred times as much is still to
    come (Aitken's extrapolation; Boehning et al., Ann. Inst. Stat. Math. 46, 1994).
    """

    def __init__(self, tol: float) -> None:
        self.tol = tol
        self._last = self._gain = math.nan
        self._calm = 0

    def done(self, bound: float) -> bool:
        """Whether at most `tol` nats per row are still to be gained, twice in a row."""
        gain, self._last, previous = bound - self._last, bound, self._gain
        self._gain = gain
        if math.isnan(gain) or math.isnan(previous):
            return False
        rounding = 1e-14 * max(1.0, abs(bound))
        if gain <= rounding:
            remaining = 0.0
        else:
            rate = min(gain / previous, 1 - 1e-6) if previous > 0 else 1 - 1e-6
            remaining = gain / (1 - rate)
        self._calm = self._calm + 1 if remaining <= self.tol else 0
        return self._calm >= 2


class Patience:
    """Stops when the bound has not risen by `tol` over its best for `n_iter_no_change` steps."""

    def __init__(self, tol: float, n_iter_no_change: int) -> None:
        self.tol, self.n_iter_no_change = tol, n_iter_no_change
        self._best, self._waited = -math.inf, 0

    def done(self, bound: float) -> bool:
        """Whether patience has run out."""
        self._waited = 0 if bound > self._best + self.tol else self._waited + 1
        self._best = max(self._best, bound)
        return self._waited >= self.n_iter_no_change


class Worthwhile(Extrapolation):
    """Stops as `Extrapolation` does, or where going on no longer pays: a fit longer by a tenth would hardly be better.

    What is a small gain depends on how many features a row has, and what is a long time on the time taken so far: the
    least gain is per value of a row, and for a tenth of the steps. The first seconds are free. They are nominal
    ones, so that the result does not depend on what else a machine does.

    Parameters
    ----------
    seconds : float
        Nominal time of a step.
    n_features : int
    """

    def __init__(self, seconds: float, n_features: int, tol: float = DEFAULT_TOL) -> None:
        super().__init__(tol)
        self._n_free = _FREE_SECONDS / seconds if seconds > 0 else math.inf
        self._least = _GAIN_BY_A_TENTH * n_features
        self._seen = self._poor = 0

    def done(self, bound: float) -> bool:
        """Whether nothing is left to gain, or twice in a row not enough."""
        self._seen += 1
        gained = (bound - self._last) * (self._seen + _STEPS_BEFORE) / 10
        poor = gained < self._least and self._seen > self._n_free
        self._poor = self._poor + 1 if poor else 0
        return super().done(bound) or self._poor >= 2
