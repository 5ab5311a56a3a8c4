"""A user's function of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mfa_sklearn.steering._custom_move import CustomMove, as_move, in_words, name_of


def twice(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def test_a_function_moves_rows_in_their_precision() -> None:
    x, rows = torch.randn(4, 3), torch.arange(4)
    assert torch.equal(as_move(twice)(x, rows), 2 * x)
    moved = CustomMove(lambda x: x.double() + torch.ones(3, dtype=torch.float64))(x.bfloat16(), rows)
    assert moved.dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = CustomMove(lambda x: x @ torch.eye(3))(x, rows)
    assert torch.equal(product, x)


def test_an_object_with_all_that_is_asked_stays_as_it_is() -> None:
    move = CustomMove(twice)
    assert as_move(move) is move


@pytest.mark.parametrize(
    ("function", "error", "match"),
    [
        (lambda x: x.numpy(), TypeError, "move must give a tensor .* gave a ndarray"),
        (lambda x: x[:1], ValueError, r"move must give rows of shape \(4, 3\), gave \(1, 3\)"),
    ],
)
def test_what_gives_no_rows_is_refused(function: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        CustomMove(function)(torch.zeros(4, 3), torch.arange(4))


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match=r"move=3 must be a function of rows"):
        as_move(3)


def test_moves_of_a_mixture_in_words() -> None:
    assert in_words(2, 0.6, None, "centroid") == "component 2, alpha 0.6"
    assert in_words(None, None, torch.ones(2), "direction") == "all components, direction, z [1.0, 1.0]"
    assert in_words(np.arange(99), 1, None, "transport").startswith("component [0, 1, 2, ")


def test_names() -> None:
    assert [name_of(twice), name_of(lambda x: x), name_of(torch.nn.Identity())] == ["twice", "function", "Identity"]
