"""Rows that a model cannot go on computing with."""

from __future__ import annotations

import pytest
import torch

from mfa_sklearn.steering._range import check_range


@pytest.mark.parametrize(("dtype", "largest"), [(torch.float32, 1e15), (torch.float16, 6e4), (torch.bfloat16, 9e14)])
def test_rows_up_to_the_largest_pass(dtype: torch.dtype, largest: float) -> None:
    x = torch.zeros(2, 3, dtype=dtype)
    moved = torch.full((2, 3), largest, dtype=dtype)
    assert check_range(moved, x) is moved and check_range(-moved, x).shape == (2, 3)
    assert check_range(moved[:0], x[:0]).shape == (0, 3)


@pytest.mark.parametrize("value", [2e15, -2e15, float("inf"), float("nan")])
def test_rows_beyond_are_refused(value: float) -> None:
    x, moved = torch.zeros(2, 3), torch.tensor([[0, 0, 0], [0, value, 0]])
    with pytest.raises(ValueError, match=r"activations were moved beyond the 1e\+15 .* smaller alpha or z"):
        check_range(moved, x)
    x[0, 0] = torch.inf
    with pytest.raises(ValueError, match="activations are not finite where they are to be moved"):
        check_range(moved, x)
