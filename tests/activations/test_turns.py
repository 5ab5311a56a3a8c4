"""One model, several threads: each has its turn, and nobody waits forever."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from lm_fixtures import SENTENCES
from sklearn.base import clone

from mfa_sklearn.activations import ActivationExtractor, _turns
from mfa_sklearn.activations import _extractor as extractor_module
from mfa_sklearn.activations._turns import turn_of


def test_a_turn_is_taken_again_by_its_thread_and_given_back() -> None:
    model = torch.nn.Linear(1, 1)
    turn = turn_of(model)
    assert turn is turn_of(model) and turn is not turn_of(torch.nn.Linear(1, 1))
    with turn.taken(), turn.taken(as_block=True):
        assert turn.is_mine
    assert not turn.is_mine
    with pytest.raises(KeyError), turn.taken():
        raise KeyError
    assert not turn.is_mine


def test_turns_do_not_keep_models_alive() -> None:
    model = torch.nn.Linear(1, 1)
    turn_of(model)
    before = len(_turns._TURNS)
    del model
    gc.collect()
    assert len(_turns._TURNS) < before


def test_others_wait() -> None:
    turn, order = turn_of(torch.nn.Linear(1, 1)), []

    def other() -> None:
        with turn.taken():
            order.append("other")

    thread = threading.Thread(target=other)
    with turn.taken():
        thread.start()
        thread.join(timeout=0.05)
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "other"]


def test_a_block_in_which_nothing_runs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_turns, "PATIENCE", 0.0)
    turn = turn_of(torch.nn.Linear(1, 1))

    def other() -> None:
        with turn.taken():
            pass

    refusal = pytest.raises(RuntimeError, match=r"another thread has been steering this model in a `with` block")
    with ThreadPoolExecutor(1) as pool, turn.taken(as_block=True), refusal:
        pool.submit(other).result()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(other).result()


@pytest.mark.parametrize("pooling", [None, "mean"])
def test_an_extractor_serves_several_threads(models: dict[str, Path], pooling: str | None) -> None:
    extractor = ActivationExtractor(models["llama"], layer=1, pooling=pooling, batch_size=2, device="cpu")
    parts = [SENTENCES, SENTENCES[::-1], SENTENCES[1:3], SENTENCES[3:]] * 3
    alone = [clone(extractor).transform(part) for part in parts[:4]]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(extractor.transform, parts))
    for found, expected in zip(together, alone * 3, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.texts == expected.texts
    assert not any(point.fwd_hooks for point in extractor.load().hook_dict.values())


def test_threads_load_one_model(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    load, loaded = extractor_module.load_model, []

    def counted(*args: object) -> object:
        loaded.append(args)
        return load(*args)

    monkeypatch.setattr(extractor_module, "load_model", counted)
    extractor = ActivationExtractor(models["llama"], layer=1, device="cpu")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: extractor.load(), range(4)))
    assert len(loaded) == 1 and all(model is found[0] for model in found)


def test_a_pass_of_another_thread_is_not_read(models: dict[str, Path]) -> None:
    """As one that a user makes past this library while rows are extracted."""
    extractor = ActivationExtractor(models["llama"], layer=1, device="cpu")
    model, expected = extractor.load(), extractor.transform(SENTENCES)
    logits, done = model("The cat"), threading.Event()

    def run() -> list[bool]:
        same = []
        while not done.is_set():
            same.append(torch.equal(model("The cat"), logits))
        return same

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        for _ in range(5):
            np.testing.assert_array_equal(extractor.transform(SENTENCES), expected)
        done.set()
        assert all(running.result())
