"""Factors of a move from step to step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mfa_sklearn.steering._schedule import check_schedule, scheduled

STEPS = torch.tensor([[0, 0, 1, 2], [0, 1, 2, 7]])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0.5], [[1, 1, 0.5, 0.5], [1, 0.5, 0.5, 0.5]]),
        ((2, 0, -1), [[1, 1, 2, 0], [1, 2, 0, -1]]),
        (np.array([0.25, 3]), [[1, 1, 0.25, 3], [1, 0.25, 3, 3]]),
        (torch.tensor([0.25, 3]), [[1, 1, 0.25, 3], [1, 0.25, 3, 3]]),
        (lambda step: 1 / (1 + step), [[1, 1, 1 / 2, 1 / 3], [1, 1 / 2, 1 / 3, 1 / 8]]),
        (lambda step: torch.tensor(step * 0.5), [[0, 0, 0.5, 1], [0, 0.5, 1, 3.5]]),
    ],
)
def test_factors_follow_the_steps(given: Any, expected: list[list[float]]) -> None:
    schedule = check_schedule(given)
    assert schedule is not None
    np.testing.assert_array_equal(schedule.factors(STEPS), expected)
    assert schedule.factors(STEPS[:, :0]).shape == (2, 0)


def test_a_function_is_asked_once_for_each_step() -> None:
    asked: list[int] = []
    schedule = check_schedule(lambda step: asked.append(step) or 1.0)
    assert schedule is not None
    for last in (1, 3, 2, 3):
        schedule.factors(torch.arange(last + 1))
    assert asked == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ("slow", TypeError, "schedule='slow' must be a list of factors"),
        (0.5, TypeError, "schedule=0.5 must be a list"),
        ({1: 0.5}, TypeError, "must be a list"),
        ([], ValueError, "schedule is empty: give a factor"),
        ([1.0, "a"], TypeError, "schedule holds 'a': factors must be finite numbers"),
        ([True], TypeError, "schedule holds True"),
        ([float("nan")], ValueError, "schedule holds nan"),
        (lambda step: None, TypeError, "schedule gave, for step 0, None: factors"),
        (lambda step: float("inf"), ValueError, "schedule gave, for step 0, inf"),
    ],
)
def test_what_is_no_schedule_is_refused(given: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        check_schedule(given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_whole_and_no_moves_are_so_to_the_bit(dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(0)
    x, moved = (torch.randn(6, 5, generator=rng, dtype=torch.float64).to(dtype) for _ in range(2))
    x[0, 0] = -0.0
    factor = torch.tensor([0.0, 1.0, 0.5, -2.0, 1.0, 0.0], dtype=torch.float64)
    found = scheduled(x, moved, factor)
    assert found.dtype == dtype
    assert torch.equal(found[factor == 1], moved[factor == 1])
    assert torch.equal(found[factor == 0], x[factor == 0]) and bool(found[0, 0].signbit())
    expected = (1 - factor[:, None]) * x.double() + factor[:, None] * moved.double()
    torch.testing.assert_close(found.double(), expected, atol=0.05 if dtype == torch.bfloat16 else 1e-6, rtol=1e-2)
