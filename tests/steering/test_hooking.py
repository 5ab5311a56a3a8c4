"""Moves in a running model: how often hooks fire, which come off, and what becomes of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from steerer_cases import LAYER, PROMPTS, Pair, make_mixture
from torch import Tensor

from mfa_sklearn.steering import MFASteerer, Steering, steer_with
from mfa_sklearn.steering._positions import PositionTracker


def n_hooks(model: Any) -> int:
    """Hooks on every torch module of the bridge and of what it wraps."""
    modules = {id(part): part for top in (model, model.original_model) for part in top.modules()}
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in modules.values())


class Noting:
    """A move that remembers which rows it was asked for."""

    is_nothing = False

    def __init__(self, error: BaseException | None = None) -> None:
        self.error, self.asked, self.batches = error, list[list[int]](), list[int]()

    def check_rows(self, n_rows: int) -> None:
        self.batches.append(n_rows)

    def __call__(self, x: Tensor, batch_row: Tensor) -> Tensor:
        self.asked.append(batch_row.tolist())
        if self.error is not None:
            raise self.error
        return x + 1


@pytest.mark.parametrize("use_past_kv_cache", [True, False])
def test_hooks_fire_once_per_layer_and_token(pair: Pair, use_past_kv_cache: bool) -> None:
    moves = [Noting() for _ in range(3)]
    steering = Steering(pair.bridge)
    for layer, move in enumerate(moves):
        steering = steering.then(steer_with(pair.bridge, move, layer))
    n_prompt, n_new = pair.tokens(PROMPTS[0]).shape[1], 5
    options = {"use_past_kv_cache": use_past_kv_cache, "do_sample": False, "stop_at_eos": False}
    steering.generate(PROMPTS[0], n_new, **options)
    first = n_prompt - int(pair.architecture != "qwen2")  # the beginning-of-text token is left alone
    expected = [first + (0 if use_past_kv_cache else k) if k == 0 or not use_past_kv_cache else 1 for k in range(n_new)]
    for move in moves:
        assert [len(rows) for rows in move.asked] == expected


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
@pytest.mark.parametrize("ask", ["logits", "generate", "logit_diff", "block"])
def test_no_hook_is_left_when_a_move_fails(llama: Pair, error: BaseException, ask: str) -> None:
    llama.bridge(llama.tokens("The"))  # transformers leaves hooks of its own in the first pass
    before, steering = n_hooks(llama.bridge), steer_with(llama.bridge, Noting(error), LAYER)
    steering = llama.steerer.steer(1, 0.5).then(steering)
    with pytest.raises(type(error)):
        if ask == "block":
            with steering:
                assert n_hooks(llama.bridge) > before
                llama.bridge(llama.tokens("The cat"))
        else:
            getattr(steering, ask)("The cat")
    assert n_hooks(llama.bridge) == before
    assert llama.steerer.logits("The cat", component=1, alpha=0.5).isfinite().all()


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_no_hook_is_left_when_the_model_fails(llama: Pair, error: BaseException) -> None:
    def fail(*args: Any) -> None:
        raise error

    llama.bridge(llama.tokens("The"))
    before, steering = n_hooks(llama.bridge), llama.steerer.steer(1, 0.5)
    handle = llama.bridge.original_model.model.layers[2].register_forward_pre_hook(fail)
    for verb in (steering.logits, steering.generate, steering.logit_diff):
        with pytest.raises(type(error)):
            verb("The cat")
    handle.remove()
    assert n_hooks(llama.bridge) == before


def test_moves_of_one_place_come_one_after_the_other(llama: Pair) -> None:
    double, plus = (steer_with(llama.bridge, f, LAYER) for f in (lambda x: 2 * x, lambda x: x + 1))
    ids, name = llama.tokens("The cat"), llama.steerer.hook_name
    _, cache = llama.bridge.run_with_cache(ids, names_filter=name)
    x = cache[name][:, 1:]
    for steering, expected in ((double.then(plus), 2 * x + 1), (plus.then(double), 2 * (x + 1))):
        with steering:
            _, cache = llama.bridge.run_with_cache(ids, names_filter=name)
        assert torch.equal(cache[name][:, 1:], expected)


def test_rows_of_a_beam_search_belong_to_their_prompts(llama: Pair) -> None:
    move = Noting()
    steering = steer_with(beams(llama), move, LAYER)
    steering.generate(["The cat", "Two boats"], 3, num_beams=3, do_sample=False)
    assert set(move.batches) == {2} and move.asked[-1] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("use_cache", [True, False])
def test_each_prompt_of_a_beam_search_has_its_component(llama: Pair, use_cache: bool) -> None:
    steerer = MFASteerer(beams(llama), make_mixture(), layer=LAYER)
    prompts, options = ["The cat", "Two boats, three"], {"num_beams": 3, "do_sample": False, "use_cache": use_cache}
    found = steerer.generate(prompts, component=[2, 3], alpha=0.3, max_new_tokens=4, return_type="tokens", **options)
    for row, (prompt, component) in enumerate(zip(prompts, (2, 3), strict=True)):
        ids = llama.tokens(prompt)
        with llama.by_hand(lambda c: c > 0, component, 0.3) as model:
            alone = model.generate(ids, max_new_tokens=4, num_beams=3, do_sample=False, use_cache=False, pad_token_id=2)
        assert found[row, -4:].tolist() == alone[0, -4:].tolist()
    both = steerer.generate(prompts[0], 2, 0.3, max_new_tokens=4, num_return_sequences=2, **options)
    assert len(both) == 2 and both[0] != both[1]


@pytest.mark.parametrize("use_cache", [True, False])
def test_distances_go_with_the_beams(llama: Pair, use_cache: bool) -> None:
    """What each beam has come to, read again in one pass, is moved as far as it was while it was written."""
    steering = MFASteerer(beams(llama), make_mixture(), layer=LAYER).steer(2, 0.3)
    steering.generate(["The cat", "Two boats, three"], 8, num_beams=4, do_sample=False, use_cache=use_cache)
    written = steering.report_
    assert written is not None and written.token_ids is not None and len(written.token_ids) == 8
    table = written.to_frame()
    for ids, distances, row in zip(written.token_ids, written.distances, range(8), strict=True):
        n_read = int((table["prompt"] == row).sum())  # without padding
        steering.logits(ids[-n_read:])
        np.testing.assert_allclose(distances[-n_read:], steering.report_.distances[0], atol=1e-3)


def beams(pair: Pair) -> Any:
    """The bridge with the `generate` of transformers."""

    class Beams:
        def __init__(self) -> None:
            self.bridge = pair.bridge

        def __getattr__(self, name: str) -> Any:
            return getattr(self.bridge, name)

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return self.bridge(*args, **kwargs)

        def generate(
            self,
            input: Tensor,
            max_new_tokens: int,
            attention_mask: Tensor | None = None,
            num_beams: int = 1,
            num_return_sequences: int = 1,
            do_sample: bool = True,
            use_cache: bool = True,
            return_type: str = "tokens",
        ) -> Tensor:
            given = {"attention_mask": torch.ones_like(input) if attention_mask is None else attention_mask}
            given |= {"num_beams": num_beams, "num_return_sequences": num_return_sequences, "do_sample": do_sample}
            model: Callable[..., Tensor] = self.bridge.original_model.generate
            return model(input, max_new_tokens=max_new_tokens, use_cache=use_cache, pad_token_id=2, **given)

    return Beams()


@pytest.mark.parametrize("select", ["all", "prompt", "generated"])
@pytest.mark.parametrize("schedule", [None, [0.5, 2.0]])
def test_tokens_that_need_not_be_looked_at_are_moved_and_reported_as_others(
    pair: Pair, select: str, schedule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, as all are where the selection depends on the token."""
    steering = pair.steerer.steer(2, 0.3, select=select, schedule=schedule)
    found = []
    for prompts in (PROMPTS, PROMPTS[0]):
        for _ in range(2):
            written = steering.generate(prompts, 5, do_sample=False, stop_at_eos=False, return_type="tokens")
            assert steering.report_ is not None
            table = steering.report_.to_frame()
            found.append((written.tolist(), table.drop(columns="distance"), table["distance"].to_numpy()))
            monkeypatch.setattr(PositionTracker, "choose", PositionTracker.select)
        monkeypatch.undo()
    for quick, slow in (found[:2], found[2:]):
        assert quick[0] == slow[0] and quick[1].equals(slow[1])
        np.testing.assert_allclose(quick[2], slow[2], rtol=1e-6)


def test_a_block_in_which_nothing_was_steered_is_an_error(llama: Pair) -> None:
    steering = llama.steerer.steer(component=1, alpha=1.0, select=4)
    with pytest.raises(ValueError, match=r"select=.* chose no token of the forward pass"), steering:
        llama.bridge(llama.tokens("The cat"))
    with steering:
        pass  # no pass, nothing to say
    with steering:
        llama.bridge(llama.tokens("The cat"))
        llama.bridge(llama.tokens("The cat sat on the bank"))


def test_what_a_schedule_moves_too_far_is_refused(llama: Pair) -> None:
    steering = llama.steerer.steer(component=1, alpha=1.0, schedule=[1e20])
    assert steering.logits("The cat").isfinite().all()
    with pytest.raises(ValueError, match=r"activations were moved beyond the 1e\+15"):
        steering.generate("The cat", 3, stop_at_eos=False)


def test_functions_that_move_too_far_are_refused(llama: Pair) -> None:
    for factor in (1e20, float("nan")):
        with pytest.raises(ValueError, match=r"activations were moved beyond the 1e\+15"):
            steer_with(llama.bridge, lambda x, factor=factor: x * factor, LAYER).logits("The cat")
