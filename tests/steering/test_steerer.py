"""Steering running models, against transformers with a hook written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from steerer_cases import ALPHA, LAYER, PROMPTS, D, K, Pair, Q, make_mixture

from mfa_sklearn.steering import MFASteerer


@pytest.mark.parametrize("move", [{"component": 2, "alpha": 0}, {"component": 1, "z": {}}, {"alpha": 0.0}])
def test_nothing_changes_to_the_bit(pair: Pair, move: dict[str, Any]) -> None:
    ids = pair.tokens(PROMPTS[0])
    with torch.no_grad():
        before = pair.bridge(ids)
    after = pair.steerer.logits(PROMPTS[0], every_position=True, **move)
    assert before.numpy().tobytes() == after.numpy().tobytes()
    options = {"max_new_tokens": 5, "do_sample": False, "stop_at_eos": False, "verbose": False}
    assert pair.steerer.generate(PROMPTS, **move, **options) == pair.bridge.generate(PROMPTS, **options)


MOVES = [{"alpha": 0.7}, {"component": 3, "z": [2.0, 0, -1]}, {"component": 3, "alpha": 0.5, "z": {1: 4}}]


@pytest.mark.parametrize("move", MOVES)
def test_each_move_reaches_the_activation(llama: Pair, move: dict[str, Any]) -> None:
    mixture, ids, name = make_mixture(), llama.tokens(PROMPTS[0]), llama.steerer.hook_name
    _, cache = llama.bridge.run_with_cache(ids, names_filter=name)
    x = cache[name][0, 1:].double().numpy()
    with llama.steerer.steer(**move):
        _, cache = llama.bridge.run_with_cache(ids, names_filter=name)
    k = move.get("component")
    from sklearn.mixture import GaussianMixture

    if k is None:
        oracle = GaussianMixture(K, covariance_type="full").fit(np.random.default_rng(0).normal(size=(50, D)))
        oracle.weights_, oracle.means_ = mixture.weights_, mixture.means_
        cov = mixture.loadings_ @ mixture.loadings_.transpose(0, 2, 1) + np.diag(mixture.noise_variance_)
        oracle.precisions_cholesky_ = np.stack([np.linalg.cholesky(np.linalg.inv(c)) for c in cov])
        target = oracle.predict_proba(x) @ mixture.means_
    else:
        target = mixture.means_[k]
    z = {"z": np.zeros(Q)} | move
    scores = np.array([z["z"].get(f, 0.0) for f in range(Q)]) if isinstance(z["z"], dict) else np.asarray(z["z"])
    expected = x + move.get("alpha", 0.0) * (target - x) + (0 if k is None else mixture.loadings_[k] @ scores)
    np.testing.assert_allclose(cache[name][0, 1:].numpy(), expected, atol=1e-4)


def n_hooks(model: Any) -> int:
    watched = len(model.original_model._forward_pre_hooks)
    return watched + sum(len(point.fwd_hooks) for point in model.hook_dict.values())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_hooks_come_off_however_the_block_is_left(llama: Pair, error: type[BaseException]) -> None:
    before, ids = n_hooks(llama.bridge), llama.tokens("The cat")
    clean = llama.bridge(ids)
    with pytest.raises(error), llama.steerer.steer(component=1, alpha=1.0):
        assert n_hooks(llama.bridge) > before
        llama.bridge(ids)
        raise error
    assert n_hooks(llama.bridge) == before
    assert torch.equal(llama.bridge(ids), clean)


def test_hooks_come_off_when_the_model_fails(llama: Pair) -> None:
    before = n_hooks(llama.bridge)
    with pytest.raises(ValueError, match="2 components were given for a batch of 1"):
        llama.steerer.logits("The cat", component=[1, 2], alpha=1.0)
    with pytest.raises(ValueError, match="position -4 lies before"), llama.steerer.steer(1, 1.0, select=-4):
        llama.bridge(llama.tokens("The cat"))
    assert n_hooks(llama.bridge) == before


def test_hooks_of_others_stay(llama: Pair) -> None:
    seen: list[int] = []
    with llama.bridge.hooks(fwd_hooks=[(llama.steerer.hook_name, lambda x, hook: seen.append(1))]):
        llama.steerer.logits("The cat", component=1, alpha=1.0)
        llama.bridge("The cat")
    assert len(seen) == 2


def test_blocks_nest(llama: Pair) -> None:
    other = MFASteerer(llama.bridge, make_mixture(), layer=2)
    with llama.steerer.steer(component=2, alpha=1.0):
        with other.steer(component=3, alpha=1.0, select="last") as inner:
            both = llama.bridge(llama.tokens("The cat"))
        one = llama.bridge(llama.tokens("The cat"))
    assert inner.mask.tolist() == [[False, False, True]]
    assert torch.equal(both[:, 1], one[:, 1]) and not torch.equal(both[:, 2], one[:, 2])


def test_logit_diff_lists_what_rises_and_falls(pair: Pair) -> None:
    before = pair.bridge(pair.tokens(PROMPTS[0]))[0, -1]
    after = pair.steerer.logits(PROMPTS[0], component=2, alpha=ALPHA)[0]
    change = (after - before).detach().numpy()
    order = np.argsort(-change)
    table = pair.steerer.logit_diff(PROMPTS[0], component=2, alpha=ALPHA, top_k=3)
    assert table["token_id"].tolist() == [*order[:3], *order[-3:]]
    np.testing.assert_allclose(table["change"], change[table["token_id"]], atol=1e-5)
    np.testing.assert_allclose(table["after"] - table["before"], table["change"], atol=1e-5)
    assert table["token"].tolist() == [pair.bridge.tokenizer.decode([i]) for i in table["token_id"]]
    absolute = pair.steerer.logit_diff(PROMPTS[0], component=2, alpha=ALPHA, top_k=4, by="absolute")
    assert absolute["token_id"].tolist() == np.argsort(-np.abs(change))[:4].tolist()


def test_logit_diff_lists_no_token_twice(llama: Pair) -> None:
    n_tokens = llama.bridge.cfg.d_vocab
    for top_k in (n_tokens // 2, n_tokens // 2 + 9, n_tokens, 2 * n_tokens):
        table = llama.steerer.logit_diff(PROMPTS[0], component=1, alpha=0.5, top_k=top_k)
        assert table["token_id"].is_unique and len(table) == min(n_tokens, 2 * top_k)
        assert table["change"].is_monotonic_decreasing


def test_logit_diff_of_several_prompts(llama: Pair) -> None:
    table = llama.steerer.logit_diff(PROMPTS, component=2, alpha=ALPHA, top_k=2)
    assert table["prompt"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    alone = llama.steerer.logit_diff(PROMPTS[1], component=2, alpha=ALPHA, top_k=2)
    np.testing.assert_allclose(table["change"][4:8], alone["change"], atol=1e-5)


def test_sampling_is_reproducible_and_leaves_the_global_generator(llama: Pair) -> None:
    state = torch.random.get_rng_state()
    first, second = (llama.steerer.generate("The cat", 1, 0.2, random_state=3, max_new_tokens=8) for _ in range(2))
    assert first == second and torch.equal(state, torch.random.get_rng_state())


def test_half_precision_models_are_steered_in_their_precision(llama: Pair) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    half = TransformerBridge.boot_transformers(llama.path, device="cpu", dtype=torch.bfloat16)
    logits = MFASteerer(half, make_mixture(), layer=LAYER).logits("The cat", component=2, alpha=ALPHA, z={0: 1.0})
    exact = llama.steerer.logits("The cat", component=2, alpha=ALPHA, z={0: 1.0})
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - exact).abs().max() < 0.1 * exact.abs().max()


def test_aliased_hooks_in_compatibility_mode_steer_once(llama: Pair) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(llama.path, device="cpu", dtype=torch.float32)
    bridge.enable_compatibility_mode(disable_warnings=True)
    steerer = MFASteerer(bridge, make_mixture(), layer=LAYER)
    _, cache = bridge.run_with_cache(llama.tokens("The cat"), names_filter=steerer.hook_name)
    x = cache[steerer.hook_name]
    with steerer.steer(component=1, alpha=0.5):
        _, cache = bridge.run_with_cache(llama.tokens("The cat"), names_filter=steerer.hook_name)
    expected = 0.5 * x[0, 1].numpy() + 0.5 * make_mixture().means_[1]
    np.testing.assert_allclose(cache[steerer.hook_name][0, 1].numpy(), expected, atol=1e-5)


BAD_CALLS = [
    ({"select": "first"}, ValueError, "select='first' is unknown"),
    ({"select": 1.5}, TypeError, "select=1.5"),
    ({"select": []}, ValueError, "select is empty"),
    ({"select": [True]}, TypeError, "select="),
    ({"select": 3}, ValueError, "select names place 3, outside a prompt of 3 tokens: give places from -3 to 2"),
    ({"prompts": ["The cat", "The"], "select": -3}, ValueError, "place -3, outside a prompt of 2"),
    ({"prompts": []}, (TypeError, ValueError), "no prompt was given"),
    ({"prompts": torch.zeros(1, 0, dtype=torch.long)}, ValueError, "prompt 0 is empty"),
    ({"prompts": "The cat " * 60}, ValueError, "the model's context holds 64"),
    ({"prompts": 1.5}, TypeError, "prompts must be"),
    ({"by": "size"}, ValueError, "by='size'"),
    ({"top_k": 0}, ValueError, "top_k=0"),
]


@pytest.mark.parametrize(("asked", "error", "match"), BAD_CALLS)
def test_bad_calls_are_refused_before_the_model_runs(
    llama: Pair, asked: dict[str, Any], error: type[Exception], match: str
) -> None:
    given = {"prompts": "The cat", "component": 1, "alpha": 0.5, **asked}
    ran: list[int] = []
    handle = llama.bridge.original_model.register_forward_pre_hook(lambda *args: ran.append(1))
    with pytest.raises(error, match=match):
        llama.steerer.logit_diff(**given)
    handle.remove()
    assert not ran


def test_bad_moves_are_refused_when_the_block_is_made(llama: Pair) -> None:
    with pytest.raises(ValueError, match="component=99"):
        llama.steerer.steer(component=99, alpha=1.0)


def test_a_model_in_training_mode_is_asked_in_evaluation_mode(tmp_path: Any) -> None:
    trained = Pair(tmp_path, "gpt2")  # whose dropout is 0.1
    bridge, move = trained.bridge, {"component": 1, "alpha": 0.5}
    before = trained.steerer.logits(PROMPTS, **move)
    options = {"do_sample": False, "stop_at_eos": False}
    written = trained.steerer.generate(PROMPTS, **move, **options)
    modes = {id(part): index % 3 > 0 for index, part in enumerate(bridge.modules())}
    for part in bridge.modules():
        part.training = modes[id(part)]
    assert torch.equal(trained.steerer.logits(PROMPTS, **move), before)
    assert trained.steerer.generate(PROMPTS, **move, **options) == written
    assert not trained.steerer.logit_diff(PROMPTS[0], component=1, alpha=0)["change"].any()
    with pytest.raises(ValueError, match="is empty"):
        trained.steerer.logits("", **move)
    assert {id(part): part.training for part in bridge.modules()} == modes  # and left as it was
