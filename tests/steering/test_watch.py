"""What is known of a forward pass before its hooks fire."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from steerer_cases import Pair

from mfa_sklearn import TokenSelection
from mfa_sklearn.steering._positions import PositionTracker
from mfa_sklearn.steering._watch import read_call, watch

IDS = torch.tensor([[3, 1, 4]])


def test_what_a_pass_is_called_with() -> None:
    mask, cache = torch.ones(1, 5), SimpleNamespace(get_seq_length=lambda: 2)
    for args, kwargs in (((IDS,), {}), ((), {"input_ids": IDS}), ((), {"tokens": IDS}), ((), {"input": IDS})):
        seen = read_call(args, {**kwargs, "attention_mask": mask, "past_key_values": cache})
        assert seen.ids is IDS and seen.mask is mask and seen.start == 2
    assert read_call((IDS.float(),), {"input_ids": "text", "attention_mask": mask[None]}) == (None, None, 0)
    assert read_call((IDS,), {"cache_position": torch.tensor([7, 8, 9]), "past_key_values": cache}).start == 7


def test_caches_are_let_go(llama: Pair) -> None:
    from transformers import DynamicCache

    cache, tracker = DynamicCache(), PositionTracker(TokenSelection())
    with watch(llama.bridge, tracker), watch(llama.bridge, PositionTracker(TokenSelection())):
        llama.bridge.original_model(llama.tokens("The cat"), past_key_values=cache)
        assert "reorder_cache" in vars(cache)
    assert "reorder_cache" not in vars(cache)
