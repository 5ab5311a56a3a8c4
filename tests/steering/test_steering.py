"""A steering used again, nested, composed, and with strengths that change, against hooks written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from steerer_cases import ALPHA, LAYER, PROMPTS, D, Pair, bos, make_mixture

from mfa_sklearn.steering import Gate, MFASteerer, Steering, steer_with

GREEDY: dict[str, Any] = {"do_sample": False, "stop_at_eos": False}


# --- verbs and blocks


def test_verbs_are_those_of_the_steerer(pair: Pair) -> None:
    move = {"component": 2, "alpha": ALPHA, "select": "prompt"}
    steering = pair.steerer.steer(**move)
    for _ in range(2):
        assert torch.equal(steering.logits(PROMPTS), pair.steerer.logits(PROMPTS, **move))
        every = steering.logits(PROMPTS[0], every_position=True)
        assert torch.equal(every, pair.steerer.logits(PROMPTS[0], **move, every_position=True))
        sampled = steering.generate(PROMPTS, 6, 3, temperature=0.5)
        assert sampled == pair.steerer.generate(PROMPTS, **move, max_new_tokens=6, random_state=3, temperature=0.5)
        table = steering.logit_diff(PROMPTS, top_k=2, by="absolute")
        assert table.equals(pair.steerer.logit_diff(PROMPTS, **move, top_k=2, by="absolute"))


def test_each_block_begins_anew(llama: Pair) -> None:
    steering, ids = llama.steerer.steer(component=2, alpha=ALPHA, select="prompt"), llama.tokens("The cat")
    longer = torch.cat([ids, ids[:, 1:2]], dim=1)
    reports = []
    for tokens in (ids, longer):  # in one block the second would be the first with one token generated
        with steering as steered:
            llama.bridge(tokens)
        reports.append(steered.mask.tolist())
        assert steering.report_ is steered and llama.steerer.steered_ is steered
    assert reports == [[[False, True, True]], [[False, True, True, True]]]


def test_a_steering_nests_in_itself(llama: Pair) -> None:
    plus, ids, name = steer_with(llama.bridge, lambda x: x + 1, LAYER), llama.tokens("The cat"), llama.steerer.hook_name

    def read() -> torch.Tensor:
        _, cache = llama.bridge.run_with_cache(ids, names_filter=name)
        return cache[name][:, 1:]

    x = read()
    with plus as outer:
        with plus as inner:
            assert torch.equal(read(), x + 1 + 1)
            assert plus.report_ is inner and inner is not outer
        assert torch.equal(read(), x + 1)
        on_top = plus.logits("The cat")
    assert torch.equal(read(), x) and not torch.equal(on_top, plus.logits("The cat"))


# --- functions


@pytest.mark.parametrize("select", ["all", "prompt", "last"])
def test_a_function_that_is_a_move_of_the_mixture_does_the_same(pair: Pair, select: str) -> None:
    mean = torch.as_tensor(make_mixture().means_[2], dtype=torch.float32)
    function = steer_with(pair.bridge, lambda x: x + ALPHA * (mean - x), LAYER, select=select)
    own = pair.steerer.steer(component=2, alpha=ALPHA, select=select)
    torch.testing.assert_close(function.logits(PROMPTS), own.logits(PROMPTS), atol=2e-5, rtol=1e-5)
    assert function.generate(PROMPTS, 5, **GREEDY) == own.generate(PROMPTS, 5, **GREEDY)


def test_other_places_are_steered(llama: Pair) -> None:
    ids = llama.tokens("The cat")
    for site, name in (("mlp_out", "blocks.2.hook_mlp_out"), ("residual_pre", "blocks.2.hook_resid_pre")):
        steering = steer_with(llama.bridge, torch.zeros_like, 2, site, select=[0, 1, 2])
        with llama.bridge.hooks(fwd_hooks=[(name, lambda x, hook: torch.zeros_like(x))]):
            expected = llama.bridge(ids)
        assert torch.equal(steering.logits(ids, every_position=True), expected)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"move": 3}, TypeError, "move=3 must be a function of rows"),
        ({"layer": 7}, ValueError, "7"),
        ({"site": "heads"}, ValueError, "site='heads'"),
        ({"model": "gpt2"}, TypeError, "load it first, with mfa_sklearn.activations.load_model"),
        ({"select": 1.5}, TypeError, "1.5"),
        ({"schedule": []}, ValueError, "schedule is empty"),
    ],
)
def test_bad_functions_and_places_are_refused(
    llama: Pair, given: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        steer_with(**{"model": llama.bridge, "move": torch.zeros_like, "layer": 1, **given})


# --- one after the other


def test_of_two_layers_both_are_hooked(pair: Pair) -> None:
    late = MFASteerer(pair.bridge, make_mixture(), layer=2)
    first, second = pair.steerer.steer(2, ALPHA), late.steer(3, 0.5, select="last")
    expected = None
    with first, second:
        expected = pair.bridge(pair.tokens(PROMPTS[0]))
    for both in (first.then(second), second.then(first)):  # the model's own order decides
        assert torch.equal(both.logits(PROMPTS[0], every_position=True), expected)
        tokens = both.generate(PROMPTS[0], 5, **GREEDY)
        with first, second:
            assert pair.bridge.generate(PROMPTS[0], max_new_tokens=5, verbose=False, **GREEDY) == tokens


def test_a_composition_leaves_its_parts(llama: Pair) -> None:
    first, second = llama.steerer.steer(2, ALPHA), llama.steerer.steer(3, 0.5)
    alone = first.logits("The cat")
    both = first.then(second).then(first)
    assert repr(both) == "Steering(component 2, alpha 0.6, then component 3, alpha 0.5, then component 2, alpha 0.6)"
    both.logits("The cat")
    assert len(both.report_.parts) == 3 and len(first.report_.parts) == 1
    assert torch.equal(first.logits("The cat"), alone)
    nothing = Steering(llama.bridge)
    assert torch.equal(nothing.then(first).logits("The cat"), alone)
    assert torch.equal(nothing.logits("The cat"), llama.bridge(llama.tokens("The cat"))[:, -1])


def test_what_cannot_be_composed_is_refused(llama: Pair, tmp_path: Any) -> None:
    steering, other = llama.steerer.steer(2, ALPHA), Pair(tmp_path, "llama").steerer.steer(2, ALPHA)
    with pytest.raises(TypeError, match=r"then takes a Steering, such as steerer.steer\(...\), got function"):
        steering.then(lambda x: x)
    with pytest.raises(ValueError, match="the two steerings are of different models"):
        steering.then(other)
    bare, begun = (MFASteerer(llama.bridge, make_mixture(), LAYER, prepend_bos=b).steer(1, 0.5) for b in (False, True))
    with pytest.raises(ValueError, match=r"beginning-of-text token .* same prepend_bos="):
        bare.then(begun)
    assert steering.then(bare)._prepend_bos is False


def test_components_of_each_part_must_fit_the_prompts(llama: Pair) -> None:
    both = llama.steerer.steer([1, 2], 0.5).then(llama.steerer.steer(3, 0.5))
    assert both.logits(["The cat", "The"]).shape[0] == 2
    with pytest.raises(ValueError, match="2 components were given for a batch of 3"):
        both.logits(PROMPTS)


def test_gates_and_norms_reach_the_move(llama: Pair) -> None:
    """A gate that no activation passes leaves all; what keeps its norm has it."""
    closed = llama.steerer.steer(2, 1.0, gate=Gate([0, 1, 2, 3, 4], below=0.5))
    assert torch.equal(closed.logits("The cat"), llama.bridge(llama.tokens("The cat"))[:, -1])
    assert closed.report_.mask.any() and not closed.report_.distances.any()
    name, seen = llama.steerer.hook_name, []
    look = [llama.bridge.hooks(fwd_hooks=[(name, lambda x, hook: seen.append(x.norm(dim=-1)))]) for _ in range(2)]
    with look[0], llama.steerer.steer({1: 0.5, 2: 0.5}, 0.8, method="direction", keep_norm=True) as steered, look[1]:
        llama.bridge(llama.tokens("The cat"))
    torch.testing.assert_close(*seen, atol=1e-4, rtol=1e-5)
    assert (steered.distances[0, 1:] > 0.1).all()


# --- strengths that change


@pytest.mark.parametrize("use_past_kv_cache", [True, False])
@pytest.mark.parametrize(
    "schedule", [[0.5, 0.0, 2.0], lambda step: 1.0 if step == 0 else [0.5, 0.0, 2.0][min(step, 3) - 1]]
)
def test_a_schedule_is_that_of_the_formula(pair: Pair, schedule: Any, use_past_kv_cache: bool) -> None:
    n_new, mean = 6, torch.as_tensor(make_mixture().means_[2], dtype=torch.float32)
    ids = pair.tokens(PROMPTS[0])
    n_prompt, b = ids.shape[1], bos(pair)
    factors = torch.tensor([0.0] * b + [1.0] * (n_prompt - b) + [0.5, 0.0] + [2.0] * n_new)[:, None]
    inner = pair.plain.transformer.h if pair.architecture == "gpt2" else pair.plain.model.layers

    def by_hand(module: Any, args: Any, output: Any) -> Any:
        x = output[0] if isinstance(output, tuple) else output
        moved = x + factors[: x.shape[1]] * ALPHA * (mean - x)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    handle = inner[LAYER].register_forward_hook(by_hand)
    with torch.no_grad():
        for _ in range(n_new):
            ids = torch.cat([ids, pair.plain(ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    handle.remove()
    steering = pair.steerer.steer(2, ALPHA, schedule=schedule)
    found = steering.generate(pair.tokens(PROMPTS[0]), n_new, use_past_kv_cache=use_past_kv_cache, **GREEDY)
    assert found.tolist() == ids.tolist()


def test_prompts_of_different_lengths_have_one_schedule(pair: Pair) -> None:
    steering = pair.steerer.steer(2, ALPHA, schedule=[1.0, 0.5, 0.0])
    alone = [steering.generate(prompt, 6, **GREEDY) for prompt in PROMPTS]
    assert steering.generate(PROMPTS, 6, **GREEDY) == alone
    distances = steering.report_.distances
    assert (distances[:, -3:] == 0).all() and (distances[:, -5:-3] > 0).all()


def test_a_schedule_of_ones_changes_no_bit(pair: Pair) -> None:
    plain, ones = (pair.steerer.steer(2, ALPHA, schedule=given) for given in (None, [1.0]))
    assert torch.equal(plain.logits(PROMPTS), ones.logits(PROMPTS))
    rows = []
    for steering in (plain, ones):
        seen: list[torch.Tensor] = []
        with (
            steering,
            pair.bridge.hooks(fwd_hooks=[(pair.steerer.hook_name, lambda x, hook, s=seen: s.append(x.clone()))]),
        ):
            pair.bridge.generate(pair.tokens(PROMPTS[0]), max_new_tokens=4, verbose=False, **GREEDY)
        rows.append(torch.cat(seen, dim=1))
    assert torch.equal(*rows)


def test_a_schedule_of_nothing_is_a_move_of_the_prompt_alone(pair: Pair) -> None:
    none, prompt = pair.steerer.steer(2, ALPHA, schedule=[0.0]), pair.steerer.steer(2, ALPHA, select="prompt")
    assert none.generate(PROMPTS, 6, **GREEDY) == prompt.generate(PROMPTS, 6, **GREEDY)
    off = pair.steerer.steer(2, ALPHA, schedule=lambda step: 0.0)
    assert torch.equal(off.logits(PROMPTS[0]), pair.bridge(pair.tokens(PROMPTS[0]))[:, -1])
    assert off.report_.mask.any() and not off.report_.distances.any()


def test_gradients_pass_a_steered_model(llama: Pair) -> None:
    direction = torch.ones(D, requires_grad=True)
    with steer_with(llama.bridge, lambda x: x + direction, LAYER, schedule=[1.0]):
        logits = llama.bridge(llama.tokens("The cat"))
    gradient = torch.autograd.grad(logits[0, -1, 5], direction)[0]
    step = 1e-2
    ends = [
        steer_with(llama.bridge, lambda x, s=s: x + 1 + s * gradient, LAYER).logits("The cat")[0, 5]
        for s in (-step, step)
    ]
    np.testing.assert_allclose(float(ends[1] - ends[0]) / (2 * step), float(gradient.square().sum()), rtol=2e-2)
