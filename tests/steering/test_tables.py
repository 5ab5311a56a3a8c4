"""Which tokens were steered, as a table."""

from __future__ import annotations

from steerer_cases import Pair


def test_which_tokens_were_steered_as_a_table(llama: Pair) -> None:
    llama.steerer.logits(["The cat", "The"], component=1, alpha=1.0)
    assert llama.steerer.steered_ is not None
    table = llama.steerer.steered_.to_frame()
    assert table.to_dict("list") == {
        "prompt": [0, 0, 0, 1, 1],
        "position": [0, 1, 2, 0, 1],
        "token": ["<s>", "The", " cat", "<s>", "The"],
        "steered": [False, True, True, False, True],
    }
