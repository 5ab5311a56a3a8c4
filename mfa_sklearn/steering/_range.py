"""Which activations a model can go on computing with."""

from __future__ import annotations

import torch
from torch import Tensor

from ._move_arguments import largest


def check_range(moved: Tensor, x: Tensor) -> Tensor:
    """`moved`, the rows `x` after a move, if the model can go on computing with them.

    Raises
    ------
    ValueError
        If one is too large or not a number; the message tells a move that went too far from rows that were so before.
    """
    limit = largest(x.dtype)
    seen = moved.detach() if moved.requires_grad else moved
    if moved.numel() and not float(torch.linalg.vector_norm(seen, torch.inf)) <= limit:
        whose = f"were moved beyond the {limit:.2g} that it can compute with: give a smaller alpha or z"
        if not bool(x.detach().isfinite().all()):
            whose = "are not finite where they are to be moved: load it in float32 or bfloat16"
        raise ValueError(f"the model's activations {whose}")
    return moved
