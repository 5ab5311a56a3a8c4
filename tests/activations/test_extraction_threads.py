"""One extractor, several threads: each gets its own rows, of one model."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from lm_fixtures import SENTENCES
from sklearn.base import clone

from mfa_sklearn.activations import ActivationExtractor
from mfa_sklearn.activations import _model_reader as extractor_module


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
