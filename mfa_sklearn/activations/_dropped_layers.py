"""Weights that rows do not need: those of the layers behind the last one read, and of the head.

A pass that reads rows ends at its last hook point, so what lies behind is never run. Its weights are let go of and its
modules stay, so that names and numbers of layers are those of the whole model.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ._plain_sites import blocks_of


def drop_behind(model: Any, last: int) -> int:
    """Let go of the weights behind a layer that no part before it shares; how many numbers they were.

    Parameters
    ----------
    model : TransformerBridge or PlainModel
        Which can be read up to that layer afterwards, and no further.
    last : int
        The last layer that is needed.
    """
    whole = model.original_model
    blocks = list(model.blocks) if hasattr(model, "blocks") else blocks_of(whole)
    body = whole.base_model
    heads = [module for module in whole.children() if body is not whole and module is not body] if blocks else []
    behind = {part for module in [*blocks[last + 1 :], *heads] for part in module.modules()}
    kept = {id(weight) for part in whole.modules() if part not in behind for weight in _own(part)}
    n_dropped = 0
    for weight in {id(weight): weight for part in behind for weight in _own(part) if id(weight) not in kept}.values():
        n_dropped += weight.numel()
        weight.data = torch.empty(0, dtype=weight.dtype, device=weight.device)
    return n_dropped


def _own(module: Any) -> Iterable[torch.Tensor]:
    """Weights that stand in a module itself."""
    return module.parameters(recurse=False)
