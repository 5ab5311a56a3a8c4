"""When a fit has gone far enough."""

from __future__ import annotations

import math
from typing import Any, Protocol

# What is left to gain, in nats per row, where nothing else is asked for.
DEFAULT_TOL = 1e-4
# Nats per value of a row that a fit must gain where it goes on for a tenth longer, and time that it may take anyway.
_GAIN_BY_A_TENTH = 1e-3
_FREE_SECONDS = 2.0
# What a gain may be, in units of that least one, where it is time to look for others as well,
# after this share of the free time.
_SLOW, _FREE_SHARE = 5.0, 0.5
# Finding a start and annealing come before the first bound, and take about as long as this number of steps.
_STEPS_BEFORE = 5
# Gains that what is still to come is extrapolated from.
_GAINS = 4
# Gains of extrapolated steps that have to be small together: the most that the extrapolation looks back.
_WINDOW = 10
# Steps that anybody might still make: gains that would not add up to the tolerance in so many are none, whether they
# shrink or not.
_HORIZON = 1e4
# What bounds are uncertain by in double precision, as a share of their size: sums over many rows.
LEAST_ROUNDING = 1e-14
# Share of a gain that is too little to be told from rounding.
_NOTHING = 1e-4


class Monitor(Protocol):
    """Says when to stop."""

    final: bool  # whether what is done is so however the bounds were reached
    slow: bool  # whether the last gain was small enough to look for gains elsewhere

    def done(self, bound: float, plain: bool = True) -> bool:
        """Whether the bounds seen so far, this one the last, say that no more is to be had.

        Bounds that are not all of `plain` steps are no series, and can but say that it is time to make such steps.
        """

    def restart(self, bound: float) -> None:
        """Begin another series of bounds with this one."""

    @property
    def doubtful(self) -> bool:
        """Whether the series, as far as it goes, says that more is to be had."""

    def go_on(self, last: object) -> None:
        """Take over what the monitor of an earlier fit has seen, which this fit goes on from."""

    def state(self) -> dict[str, Any]:
        """What it has seen, as plain values."""

    def restore(self, state: dict[str, Any]) -> None:
        """Have seen that."""


class _Seen:
    """What a monitor has seen, by the names of attributes, in and out."""

    _varying: tuple[str, ...] = ()

    def state(self) -> dict[str, Any]:
        """What it has seen, as plain values; lists are replaced and never added to."""
        return {name: getattr(self, name) for name in self._varying}

    def restore(self, state: dict[str, Any]) -> None:
        """Have seen that."""
        for name in self._varying:
            setattr(self, name, state[name])


class Extrapolation(_Seen):
    """Stops when all the gain still to come, extrapolated from the last gains, is below `tol` per row.

    EM's gains shrink geometrically, so a small gain says little: at a rate of 0.99 a hundred times as much is still to
    come (Aitken's extrapolation; Boehning et al., Ann. Inst. Stat. Math. 46, 1994). They are a sum of many such series,
    and a slow one that the others hide at first is most of what remains: two are told apart.

    Parameters
    ----------
    tol : float
        Nats per row.
    rounding : float
        What the bounds are uncertain by, as a share of their size: gains that are no more than that on average say only
        that no more can be seen.
    """

    _varying: tuple[str, ...] = ("final", "slow", "_last", "_gains", "_calm")

    def __init__(self, tol: float, rounding: float = LEAST_ROUNDING) -> None:
        self.tol, self._rounding = tol, rounding
        self.final = self.slow = False
        self._last = math.nan
        self._gains: list[float] = []
        self._calm = 0

    def done(self, bound: float, plain: bool = True) -> bool:
        """Whether at most `tol` nats per row are still to be gained, twice in a row."""
        gain, self._last = bound - self._last, bound
        if math.isnan(gain):
            self._gains = []
            return False
        self._gains = [*self._gains, gain][-_WINDOW:]
        if len(self._gains) < 2:
            return False
        self._calm = self._calm + 1 if self._remaining(bound, plain) <= self.tol else 0
        return self._calm >= 2

    def _remaining(self, bound: float, plain: bool) -> float:
        """Nats per row still to be gained, by the last gains; infinity where they do not tell."""
        recent, size = self._gains[-_GAINS:], max(1.0, abs(bound))
        if recent[-1] <= LEAST_ROUNDING * size or sum(recent) <= len(recent) * self._rounding * size:
            return 0.0
        if not plain:
            return 2 * sum(self._gains) if len(self._gains) == _WINDOW else math.inf
        rest = rest_of_two_series(recent) if len(recent) == _GAINS else math.inf
        return min(rest, _HORIZON * max(self._gains[-2:]))

    def restart(self, bound: float) -> None:
        """Begin another series of bounds with this one."""
        self._last, self._gains, self._calm = bound, [], 0

    @property
    def doubtful(self) -> bool:
        """Whether the series, as far as it goes, says that more than `tol` is to be had."""
        return len(self._gains) >= _GAINS and not self._calm

    def go_on(self, last: object) -> None:
        """Take over the bounds that the monitor of an earlier fit has seen."""
        if isinstance(last, Extrapolation):
            self._last, self._gains = last._last, list(last._gains)
            # What was little enough for a larger tolerance is judged anew.
            self._calm = last._calm if last.tol <= self.tol else 0


def rest_of_two_series(gains: list[float]) -> float:
    """What four positive gains, the last among it, have still to come, if they are a sum of two geometric series.

    The slower series is what the gains tend to in the short run, by Aitken's delta-squared process. Infinity where they
    rise, or where one of the series does not shrink.
    """
    gain, previous = gains[-1], gains[-2]
    lasting, before = _limit(*gains[-3:]), _limit(*gains[-4:-1])
    if not gain < previous or lasting == -math.inf:
        return math.inf
    single = gain / (1 - gain / previous)
    if lasting <= _NOTHING * gain:
        return single
    if not lasting < before:
        return math.inf
    passing, was = gain - lasting, previous - before
    quick = passing / (1 - passing / was) if 0 < passing < was else passing
    # What seems to last may be on its way to less than nothing: then the gains fall ever faster, as one series.
    return max(single, quick + lasting / (1 - lasting / before))


def _limit(first: float, second: float, third: float) -> float:
    """What three falling terms tend to, if their differences shrink geometrically; minus infinity if these grow."""
    fall, later = first - second, second - third
    return third - later * later / (fall - later) if 0 < later < fall else -math.inf


class Patience(_Seen):
    """Stops when the bound has not risen by `tol` over its best for `n_iter_no_change` steps."""

    _varying = ("_best", "_waited")

    def __init__(self, tol: float, n_iter_no_change: int) -> None:
        self.tol, self.n_iter_no_change = tol, n_iter_no_change
        self.final, self.slow, self.doubtful = True, False, False
        self._best, self._waited = -math.inf, 0

    def done(self, bound: float, plain: bool = True) -> bool:
        """Whether patience has run out."""
        self._waited = 0 if bound > self._best + self.tol else self._waited + 1
        self._best = max(self._best, bound)
        return self._waited >= self.n_iter_no_change

    def restart(self, bound: float) -> None:
        """Begin another series of bounds with this one."""
        self._best, self._waited = bound, 0

    def go_on(self, last: object) -> None:
        """Take over the best bound of an earlier fit, and how long it has not been beaten."""
        if isinstance(last, Patience):
            self._best, self._waited = last._best, min(last._waited, self.n_iter_no_change - 1)


class Worthwhile(Extrapolation):
    """Stops as `Extrapolation` does, or where more steps are not worth their time: a tenth more would gain little.

    What is a small gain depends on how many features a row has, and what is a long time on the time taken so far: the
    least gain is per value of a row, and for a tenth of the steps. The first seconds are free. They are nominal
    ones, so that the result does not depend on what else a machine does.

    Parameters
    ----------
    seconds : float
        Nominal time of a step.
    n_features : int
    tol, rounding : float
        As in `Extrapolation`.
    """

    _varying = (*Extrapolation._varying, "_seen", "_poor")

    def __init__(
        self, seconds: float, n_features: int, tol: float = DEFAULT_TOL, rounding: float = LEAST_ROUNDING
    ) -> None:
        super().__init__(tol, rounding)
        self._n_free = _FREE_SECONDS / seconds if seconds > 0 else math.inf
        self._least = _GAIN_BY_A_TENTH * n_features
        self._seen = self._poor = 0

    def done(self, bound: float, plain: bool = True) -> bool:
        """Whether nothing is left to gain, or twice in a row not enough."""
        self._seen += 1
        gained = (bound - self._last) * (self._seen + _STEPS_BEFORE) / 10
        poor = gained < self._least and self._seen > self._n_free
        self.slow = gained < _SLOW * self._least and self._seen > _FREE_SHARE * self._n_free
        self._poor = self._poor + 1 if poor else 0
        self.final = self._poor >= 2
        return super().done(bound, plain) or self.final

    def go_on(self, last: object) -> None:
        """Take over the bounds that the monitor of an earlier fit has seen, and its time."""
        super().go_on(last)
        if isinstance(last, Worthwhile):
            self._seen = last._seen
