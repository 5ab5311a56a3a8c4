"""One model that is steered by several threads, by several blocks, and under the caller's modes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from steerer_cases import ALPHA, LAYER, PROMPTS, D, Pair, make_mixture

from mfa_sklearn import ActivationExtractor
from mfa_sklearn._base import turns
from mfa_sklearn.steering import Arm, MFASteerer, evaluate_steering


def n_hooks(model: Any) -> int:
    module = model.original_model
    watched = len(module._forward_pre_hooks) + len(module._forward_hooks)
    return watched + sum(len(point.fwd_hooks) for point in model.hook_dict.values())


# --- threads


def asked_of(steerer: MFASteerer, component: int, ask: str) -> Any:
    move = {"component": component, "alpha": 0.8}
    if ask == "logits":
        return steerer.logits(PROMPTS, **move).tolist()
    if ask == "logit_diff":
        return steerer.logit_diff("The cat", **move, top_k=3).to_numpy().tolist()
    if ask == "generate":
        return steerer.generate(PROMPTS, **move, max_new_tokens=4, random_state=component)
    with steerer.steer(**move) as steered, torch.no_grad():
        logits = steerer.model(steerer.model.to_tokens("The cat"))
    return logits.tolist(), steered.mask.tolist()


@pytest.mark.parametrize("ask", ["logits", "logit_diff", "generate", "steer"])
@pytest.mark.parametrize("own_steerers", [False, True])
def test_each_thread_gets_its_own(pair: Pair, ask: str, own_steerers: bool) -> None:
    before = n_hooks(pair.bridge)
    alone = [asked_of(pair.steerer, k, ask) for k in range(4)]
    steerers = [MFASteerer(pair.bridge, make_mixture(), layer=LAYER) if own_steerers else pair.steerer] * 4
    jobs = list(range(4)) * 4
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda k: asked_of(steerers[k], k, ask), jobs))
    assert together == [alone[k] for k in jobs]
    assert n_hooks(pair.bridge) == before


def test_two_wrappers_of_the_same_weights_take_turns(llama: Pair) -> None:
    """Extraction and steering of one loaded model, each from its own thread."""
    extractor = ActivationExtractor(llama.path, layer=LAYER, device="cpu")
    steerer = MFASteerer(extractor.load(), make_mixture(), layer=LAYER)
    rows, logits = extractor.transform(PROMPTS), steerer.logits(PROMPTS, component=2, alpha=1.0)
    with ThreadPoolExecutor(2) as pool:
        extracted = [pool.submit(extractor.transform, PROMPTS) for _ in range(6)]
        steered = [pool.submit(steerer.logits, PROMPTS, 2, 1.0) for _ in range(6)]
    assert all(np.array_equal(job.result(), rows) for job in extracted)
    assert all(torch.equal(job.result(), logits) for job in steered)


def test_a_pass_of_another_thread_is_refused_not_steered(llama: Pair) -> None:
    ids = llama.tokens("The cat")
    with llama.steerer.steer(component=1, alpha=1.0) as steered, ThreadPoolExecutor(1) as pool:
        with pytest.raises(RuntimeError, match="being steered by another thread"):
            pool.submit(llama.bridge, ids).result()
        assert steered.mask.shape == (0, 0)
        inside = llama.bridge(ids)
    with ThreadPoolExecutor(1) as pool:
        outside = pool.submit(llama.bridge, ids).result()
    assert not torch.equal(inside, outside)


def test_a_block_that_waits_for_its_own_threads_ends_in_an_error(llama: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.2)
    before = n_hooks(llama.bridge)
    with llama.steerer.steer(component=1, alpha=1.0), ThreadPoolExecutor(1) as pool:
        job = pool.submit(llama.steerer.logits, "The cat", 2, 1.0)
        with pytest.raises(RuntimeError, match=r"another thread has been steering this model in a `with` block"):
            job.result()
    assert n_hooks(llama.bridge) == before
    llama.steerer.logits("The cat", 2, 1.0)


def test_a_thread_that_fails_gives_the_model_back(llama: Pair) -> None:
    before = n_hooks(llama.bridge)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="place -4, outside a prompt"):
            pool.submit(lambda: llama.steerer.logits("The cat", 1, 1.0, select=-4)).result()
        with pytest.raises(KeyError):
            pool.submit(fail_inside, llama.steerer).result()
    assert n_hooks(llama.bridge) == before
    llama.steerer.logits("The cat", 1, 1.0)


def fail_inside(steerer: MFASteerer) -> None:
    with steerer.steer(component=1, alpha=1.0):
        raise KeyError


def test_an_evaluation_is_not_steered_by_another_thread(llama: Pair) -> None:
    words = {"water": ["river", "boats"], "money": ["bank", "money"]}
    options: dict[str, Any] = {"select": "all", "max_new_tokens": 3}
    arms = {"regions": Arm.regions(llama.steerer, {"water": 0, "money": 1}, [0.5])}
    alone = evaluate_steering(llama.steerer, arms, words, PROMPTS, **options)
    done = threading.Event()

    def steer() -> None:
        while not done.is_set():
            llama.steerer.logits(PROMPTS, component=3, alpha=1.0)

    thread = threading.Thread(target=steer)
    thread.start()
    try:
        together = evaluate_steering(llama.steerer, arms, words, PROMPTS, **options)
    finally:
        done.set()
        thread.join()
    assert together.equals(alone)


# --- blocks in blocks


def test_of_two_blocks_at_one_place_the_outer_moves_first(llama: Pair) -> None:
    other, name = MFASteerer(llama.bridge, make_mixture(), layer=LAYER), llama.steerer.hook_name
    means, ids = make_mixture().means_, llama.tokens("The cat")
    with llama.steerer.steer(component=2, alpha=1.0) as outer, other.steer(component=3, alpha=0.5) as inner:
        _, cache = llama.bridge.run_with_cache(ids, names_filter=name)
    expected = 0.5 * means[2] + 0.5 * means[3]
    np.testing.assert_allclose(cache[name][0, 1:].numpy(), np.tile(expected, (2, 1)), atol=1e-5)
    assert outer.mask.tolist() == inner.mask.tolist() == [[False, True, True]]


def test_methods_inside_a_block_steer_on_top_of_it(llama: Pair) -> None:
    plain = llama.steerer.logits("The cat", component=3, alpha=0.5)
    with llama.steerer.steer(component=2, alpha=1.0):
        on_top = llama.steerer.logits("The cat", component=3, alpha=0.5)
        rows = ActivationExtractor(llama.path, layer=LAYER, device="cpu").transform(["The cat"])
    assert not torch.allclose(plain, on_top)
    assert torch.equal(llama.steerer.logits("The cat", component=3, alpha=0.5), plain)
    assert rows.shape == (2, D)  # of another copy of the model, which is not steered
    own = ActivationExtractor(llama.path, layer=LAYER, device="cpu").transform(["The cat"])
    np.testing.assert_array_equal(rows, own)


def test_rows_of_a_steered_model_are_told(llama: Pair) -> None:
    extractor = ActivationExtractor(llama.path, layer=LAYER, device="cpu")
    steerer, own = MFASteerer(extractor.load(), make_mixture(), layer=LAYER), extractor.transform(["The cat"])
    with steerer.steer(component=2, alpha=1.0), pytest.warns(UserWarning, match="rows are those of the steered model"):
        steered = extractor.transform(["The cat"])
    np.testing.assert_allclose(steered, np.tile(make_mixture().means_[2], (2, 1)), atol=1e-5)
    np.testing.assert_array_equal(extractor.transform(["The cat"]), own)


# --- modes of the caller


def test_a_move_keeps_its_precision_under_autocast(llama: Pair) -> None:
    ids, means = llama.tokens("The cat"), make_mixture().means_
    for move in ({"component": 2, "alpha": 1.0}, {"alpha": 0.7}, {"component": 2, "alpha": 1.0, "method": "transport"}):
        name = llama.steerer.hook_name
        with torch.autocast("cpu", dtype=torch.bfloat16), llama.steerer.steer(**move):
            _, cache = llama.bridge.run_with_cache(ids, names_filter=name)
        moved = cache[name][0, 1:].float().numpy()
        assert np.isfinite(moved).all()
        if move == {"component": 2, "alpha": 1.0}:
            np.testing.assert_allclose(moved, np.tile(means[2], (2, 1)), rtol=1e-6)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_what_is_kept_between_calls_is_fit_for_gradients(llama: Pair, mode: Any) -> None:
    moves: list[dict[str, Any]] = [
        {"component": 2, "alpha": 0.5, "z": {0: 1.0}},
        {"alpha": 0.5},
        {"component": 2, "alpha": 0.5, "method": "transport"},
    ]
    with mode():
        steerer = MFASteerer(llama.bridge, make_mixture(), layer=LAYER)
        for move in moves:
            steerer.logits("The cat", **move)
    embedding = llama.bridge.original_model.get_input_embeddings().weight
    for move in moves:
        with steerer.steer(**move):
            gradient = torch.autograd.grad(llama.bridge(llama.tokens("The cat")).sum(), embedding)[0]
        assert gradient.isfinite().all() and gradient.abs().sum() > 0
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_scores_and_parameters_come_in_any_precision(llama: Pair, dtype: torch.dtype) -> None:
    scores = torch.tensor([1.0, 0.0, -2.0], dtype=dtype, requires_grad=True)
    expected = llama.steerer.logits("The cat", component=1, z=[1.0, 0.0, -2.0])
    torch.testing.assert_close(llama.steerer.logits("The cat", component=1, z=scores), expected)
    mfa = make_mixture()
    mfa.means_ = torch.tensor(mfa.means_, dtype=dtype, requires_grad=True)
    assert MFASteerer(llama.bridge, mfa, layer=LAYER).logits("The cat", component=1, alpha=ALPHA).isfinite().all()
