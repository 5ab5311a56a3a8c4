"""A move for each row of a batch."""

from __future__ import annotations

import pytest
import torch

from mfa_sklearn.steering._evaluation.steered import RowMoves


def test_each_row_has_its_own_move() -> None:
    moves = RowMoves([lambda x: x + 1, lambda x: 10 * x, lambda x: -x], torch.tensor([2, 0, 0, 1]))
    x = torch.arange(12.0).reshape(6, 2)
    batch_row = torch.tensor([0, 0, 1, 2, 3, 3])
    expected = torch.stack([-x[0], -x[1], x[2] + 1, x[3] + 1, 10 * x[4], 10 * x[5]])
    assert torch.equal(moves(x, batch_row), expected)
    back = batch_row.flip(0)
    assert torch.equal(moves(x.flip(0), back), expected.flip(0))
    assert moves(x[:0], batch_row[:0]).shape == (0, 2)
    moves.check_rows(4)
    with pytest.raises(ValueError, match="4 moves were given for a batch of 3 rows"):
        moves.check_rows(3)
