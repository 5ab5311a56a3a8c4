"""Prompts together, padded, are steered as each alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from steerer_cases import ALPHA, PROMPTS, Pair


@pytest.mark.parametrize("use_past_kv_cache", [True, False])
@pytest.mark.parametrize("positions", ["all", "prompt", "last", [-1, 7]])
def test_prompts_generated_together_are_those_generated_alone(
    pair: Pair, positions: Any, use_past_kv_cache: bool
) -> None:
    options = {"max_new_tokens": 5, "do_sample": False, "stop_at_eos": False, "use_past_kv_cache": use_past_kv_cache}
    move = {"alpha": ALPHA, "positions": positions}
    components = [2, 0, 4]
    together = pair.steerer.generate(PROMPTS, component=components, **move, **options)
    alone = [
        pair.steerer.generate(prompt, component=k, **move, **options)
        for prompt, k in zip(PROMPTS, components, strict=True)
    ]
    assert together == alone
    assert together != pair.bridge.generate(PROMPTS, verbose=False, **options)


@pytest.mark.parametrize("positions", ["all", "prompt", "last", -1])
def test_logits_of_padded_prompts_are_those_of_each_alone(pair: Pair, positions: Any) -> None:
    together = pair.steerer.logits(PROMPTS, component=[2, 0, 4], alpha=ALPHA, positions=positions)
    for row, (prompt, k) in enumerate(zip(PROMPTS, [2, 0, 4], strict=True)):
        alone = pair.steerer.logits(prompt, component=k, alpha=ALPHA, positions=positions)
        torch.testing.assert_close(together[row], alone[0], atol=2e-5, rtol=1e-5)


def test_a_text_may_end_in_the_padding_token(llama: Pair) -> None:
    assert llama.bridge.tokenizer.pad_token == "</s>"
    together = llama.steerer.logits([PROMPTS[0], "The</s>"], component=2, alpha=ALPHA)
    alone = llama.steerer.logits("The</s>", component=2, alpha=ALPHA)
    torch.testing.assert_close(together[1], alone[0], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("prompts", ["half \ud83d", ["The cat", "half \ud83d"]])
def test_half_a_surrogate_pair_is_refused_by_number(pair: Pair, prompts: Any) -> None:
    number = len(prompts) - 1 if isinstance(prompts, list) else 0
    with pytest.raises(ValueError, match=rf"prompt {number} holds half of a surrogate pair, '\\ud83d', at character 5"):
        pair.steerer.logits(prompts, component=0, alpha=ALPHA)
