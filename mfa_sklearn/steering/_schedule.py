"""How strong a steering is from token to token while a model writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor


class Schedule:
    """Factors of a move: 1 for the prompt's tokens, then one for each generated token.

    Parameters
    ----------
    factor : callable
        From the step, 0 for the prompt and 1, 2, ... for generated tokens, to the factor.
    """

    def __init__(self, factor: Callable[[int], Any]) -> None:
        self._factor = factor
        self._known: list[float] = []
        self.factors(torch.zeros(1, dtype=torch.long))

    def factors(self, steps: Tensor) -> Tensor:
        """Factors in double precision, of steps in a tensor of any shape.

        Raises
        ------
        TypeError, ValueError
            If the schedule gives something else than a finite number.
        """
        last = int(steps.max()) if steps.numel() else 0
        for step in range(len(self._known), last + 1):
            self._known.append(_number(f"schedule gave, for step {step},", self._factor(step)))
        return torch.tensor(self._known, dtype=torch.float64, device=steps.device)[steps]


def check_schedule(schedule: Any) -> Schedule | None:
    """The schedule a user means.

    Parameters
    ----------
    schedule : sequence of float, callable, or None for the same strength at all tokens
        The factors of the first, second, ... generated token, of which the last one goes on; or a function of the step.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, holds no factor, or one that is not a finite number.
    """
    if schedule is None:
        return None
    if callable(schedule):
        return Schedule(schedule)
    if isinstance(schedule, str | bytes | Mapping) or not isinstance(schedule, Iterable):
        raise TypeError(
            f"schedule={schedule!r} must be a list of factors, one for each generated token, or a function of the step"
        )
    factors = [1.0, *(_number("schedule holds", factor) for factor in _as_list(schedule))]
    if len(factors) == 1:
        raise ValueError("schedule is empty: give a factor for each generated token, or None for the same at all")
    return Schedule(lambda step: factors[min(step, len(factors) - 1)])


def scheduled(x: Tensor, moved: Tensor, factor: Tensor) -> Tensor:
    """Rows `x + f (moved - x)`, (n, D): with f = 1 the moved row and with f = 0 the row itself, to the bit.

    Parameters
    ----------
    x, moved : Tensor (n, D)
    factor : Tensor (n,)
    """
    factor = factor.to(x)[:, None]
    return torch.where(factor == 1, moved, torch.where(factor == 0, x, x + factor * (moved - x)))


def _as_list(values: Any) -> list[Any]:
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _number(what: str, value: Any) -> float:
    value = value.item() if isinstance(value, Tensor) and value.ndim == 0 else value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{what} {value!r}: factors must be finite numbers")
    if not math.isfinite(value):
        raise ValueError(f"{what} {value!r}: factors must be finite numbers")
    return float(value)
