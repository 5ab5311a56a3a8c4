"""Which positions are steered: in prompts and generated tokens, with and without a cache, padded or read in parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from steerer_cases import ALPHA, CHOICES, LAYER, PROMPTS, D, Pair, bos, make_mixture

from mfa_sklearn.steering import MFASteerer


@pytest.mark.parametrize("choice", ["all", "prompt", "last", "first", "from the end"])
def test_logits_are_those_of_the_formula_at_the_chosen_positions(pair: Pair, choice: str) -> None:
    positions, place = CHOICES[choice]
    ids = pair.tokens(PROMPTS[0])
    with pair.by_hand(lambda c: place(c, ids.shape[1], bos(pair))) as model, torch.no_grad():
        expected = model(ids).logits
    got = pair.steerer.logits(PROMPTS[0], component=2, alpha=ALPHA, select=positions, every_position=True)
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-5)
    unsteered = pair.bridge(ids)
    assert (got - unsteered).abs().max() > 0.01


@pytest.mark.parametrize("use_past_kv_cache", [True, False])
@pytest.mark.parametrize("choice", list(CHOICES))
def test_generation_is_steered_at_every_token_with_and_without_cache(
    pair: Pair, choice: str, use_past_kv_cache: bool
) -> None:
    positions, place = CHOICES[choice]
    n_new, b = 8, bos(pair)
    expected = pair.greedy_by_hand(PROMPTS[0], lambda c, n: place(c, n, b), n_new)
    tokens = pair.steerer.generate(
        pair.tokens(PROMPTS[0]),
        component=2,
        alpha=ALPHA,
        select=positions,
        max_new_tokens=n_new,
        do_sample=False,
        stop_at_eos=False,
        use_past_kv_cache=use_past_kv_cache,
    )
    assert tokens[0].tolist() == expected
    n_prompt = len(expected) - n_new
    # The last token generated is never read.
    read = [place(c, n_prompt, b) for c in range(len(expected) - 1)]
    assert pair.steerer.steered_ is not None and pair.steerer.steered_.mask.tolist() == [read]


@pytest.mark.parametrize("positions", ["all", "last"])
def test_texts_given_to_the_model_itself_are_padded_without_a_mask(pair: Pair, positions: Any) -> None:
    """In a `with` block the model pads on its own: padding must neither count nor be taken for text."""
    with pair.steerer.steer(component=2, alpha=ALPHA, select=positions) as steered:
        logits = pair.bridge(PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        n = pair.tokens(prompt).shape[1]
        alone = pair.steerer.logits(prompt, component=2, alpha=ALPHA, select=positions)
        torch.testing.assert_close(logits[row, n - 1], alone[0], atol=2e-5, rtol=1e-5)
        first = n - 1 if positions == "last" else bos(pair)
        assert steered.mask[row].nonzero()[0].tolist() == list(range(first, n))


def test_a_new_prompt_in_the_same_block_is_all_prompt(llama: Pair) -> None:
    first, second = llama.tokens("The cat"), llama.tokens("Two boats, three")
    with llama.steerer.steer(component=2, alpha=ALPHA, select="prompt") as steered:
        llama.bridge.generate(first, max_new_tokens=4, stop_at_eos=False, do_sample=False, verbose=False)
        assert steered.mask.sum() == first.shape[1] - 1
        llama.bridge(second)
        assert steered.mask.tolist() == [[False] + [True] * (second.shape[1] - 1)]
        llama.bridge(second[:, :1])
        llama.bridge(second[:, :1])
        assert steered.mask.tolist() == [[False]]
        llama.bridge(second[:, :3])
        # One token longer, but not the same beginning.
        llama.bridge(torch.cat([second[:, :2], second[:, 1:3]], dim=1))
        assert steered.mask.tolist() == [[False, True, True, True]]


def test_a_first_token_that_is_the_padding_token_is_real(tmp_path: Any) -> None:
    pair = Pair(tmp_path, "gpt2")
    assert pair.bridge.tokenizer.pad_token_id == pair.bridge.tokenizer.bos_token_id
    steerer = MFASteerer(pair.bridge, make_mixture(), layer=LAYER, special_tokens=True)
    with steerer.steer(component=2, alpha=ALPHA) as steered:
        pair.bridge(["The cat", ""])
    assert steered.mask.tolist() == [[True, True, True], [True, False, False]]


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("choice", ["all", "prompt"])
def test_transformers_own_generation_is_steered_too(pair: Pair, choice: str, use_cache: bool) -> None:
    positions, place = CHOICES[choice]
    expected = pair.greedy_by_hand(PROMPTS[0], lambda c, n: place(c, n, bos(pair)), 6)
    with pair.steerer.steer(component=2, alpha=ALPHA, select=positions):
        tokens = pair.bridge.hf_generate(
            pair.tokens(PROMPTS[0]), max_new_tokens=6, do_sample=False, stop_at_eos=False, use_cache=use_cache
        )
    assert tokens[0].tolist() == expected


def test_a_prompt_read_in_parts_keeps_its_places(llama: Pair) -> None:
    ids = llama.tokens(PROMPTS[0])
    whole = llama.steerer.logits(ids, component=2, alpha=ALPHA, select=3)
    _, cache = llama.bridge(ids[:, :2], return_type="logits_and_cache", use_past_kv_cache=True)
    with llama.steerer.steer(component=2, alpha=ALPHA, select=3) as steered:
        logits = llama.bridge(ids[:, 2:], past_key_values=cache)
    torch.testing.assert_close(logits[:, -1], whole, atol=2e-5, rtol=1e-5)
    assert steered.mask.tolist() == [[False, False, False, True] + [False] * (ids.shape[1] - 4)]


def test_beginning_of_text_is_left_alone_unless_asked_for(llama: Pair) -> None:
    greedy = MFASteerer(llama.bridge, make_mixture(), layer=LAYER, special_tokens=True)
    for steerer, first in [(llama.steerer, False), (greedy, True)]:
        steerer.logits("The cat", component=1, alpha=1.0)
        assert steerer.steered_ is not None and steerer.steered_.mask.tolist() == [[first, True, True]]
    bare = MFASteerer(llama.bridge, make_mixture(), layer=LAYER, prepend_bos=False)
    bare.logits("The cat", component=1, alpha=1.0)
    assert bare.steered_ is not None and bare.steered_.mask.tolist() == [[True, True]]
    bare.generate("The cat", component=1, alpha=1.0, max_new_tokens=1, stop_at_eos=False)
    assert bare.steered_.mask.tolist() == [[True, True]]


def make_older() -> Any:
    """A model with the verbs alone, entered past its torch hooks: nothing but shapes tell what it reads."""
    from transformer_lens.hook_points import HookPoint
    from transformer_lens.HookedRootModule import HookedRootModule

    class Toy(HookedRootModule):
        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(10, D)
            self.blocks = torch.nn.ModuleList([torch.nn.Module()])
            self.blocks[0].hook_resid_post = HookPoint()
            self.setup()

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.blocks[0].hook_resid_post(self.embed(tokens))

    return Toy()


def test_models_that_cannot_be_watched_are_followed_by_shape() -> None:
    model = make_older()
    steerer, tokens = MFASteerer(model, make_mixture(), layer=0), torch.tensor([[1, 2, 3]])

    def run(ids: torch.Tensor) -> torch.Tensor:
        with model.hooks(fwd_hooks=[(steerer.hook_name, lambda x, hook: None)]):
            return model.run_with_hooks(ids)

    moved = torch.as_tensor(make_mixture().means_[1], dtype=torch.float32)
    with steerer.steer(component=1, alpha=1.0, select="prompt") as steered:
        assert torch.equal(run(tokens), moved.expand(1, 3, D))
        assert torch.equal(run(torch.tensor([[4]])), model.embed(torch.tensor([[4]])))
        assert torch.equal(run(torch.tensor([[5]])), model.embed(torch.tensor([[5]])))
        assert steered.mask.tolist() == [[True, True, True, False, False]]
        grown = torch.tensor([[1, 2, 3, 4, 5, 6]])
        assert torch.equal(run(grown)[0, 3:], model.embed(grown)[0, 3:])
        assert steered.token_ids is None and steered.to_frame()["steered"].sum() == 3
    with steerer.steer(component=1, alpha=1.0, select=[1, 4]) as steered:
        run(tokens)
        run(torch.tensor([[4]]))
        run(torch.tensor([[5]]))
        assert steered.mask.tolist() == [[False, True, False, False, True]]
