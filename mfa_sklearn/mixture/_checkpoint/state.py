"""What a fit has gone through, as plain tuples of tensors and plain values, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._fit.loop import Course, FitResult, Step
from .._model.params import MFAParams
from .._model.prior import NoisePrior


class Tried(NamedTuple):
    """What a start came to, and what a warm start would go on with."""

    result: FitResult
    monitor: dict[str, Any]  # what it had seen
    plain: bool  # whether the next step was to be a plain one
    shrinkage: tuple[Any, ...]  # as its `state` has it
    held_out: Sequence[float] = ()  # mean log-likelihoods of the rows held out, after each step

    @property
    def prior(self) -> NoisePrior | None:
        """Of the noise."""
        return None if self.shrinkage[0] is None else NoisePrior(*self.shrinkage[0])


def packed(tried: Tried | None) -> tuple[Any, ...] | None:
    """A `Tried` as a plain tuple."""
    if tried is None:
        return None
    result = tuple(tried.result._replace(params=tuple(tried.result.params)))  # type: ignore[arg-type]
    return (result, *tried[1:-1], list(tried.held_out))


def unpacked(state: tuple[Any, ...] | None) -> Tried | None:
    """A `Tried` from such a tuple."""
    if state is None:
        return None
    params, *rest = state[0]
    return Tried(FitResult(MFAParams(*params), *rest), *state[1:])


def packed_course(course: Course) -> tuple[Any, ...]:
    """A `Course` as a plain tuple, which later steps do not change."""
    return [tuple(step) for step in course.steps], course.converged


def unpacked_course(state: tuple[Any, ...]) -> Course:
    """A `Course` from such a tuple."""
    return Course([Step(*step) for step in state[0]], state[1])
