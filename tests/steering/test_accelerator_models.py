"""A language model on an accelerator: read, steered and evaluated there as on the processor."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerator_cases import Place, assert_alike
from lm_fixtures import SENTENCES, save_tiny_model
from steerer_cases import K, Q, make_mixture

from mfa_sklearn import MFA, ActivationExtractor
from mfa_sklearn.activations import load_model
from mfa_sklearn.evaluation import reconstruction_loss
from mfa_sklearn.steering import Gate, MFASteerer, add_direction, steer_with

LAYER, PROMPTS = 1, ["The cat sat on", "The", "Two boats, three birds"]
TOLERANCE = 1e-4  # of single precision, through a few layers
BACKENDS = ["transformers", "transformer_lens"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("accelerated"), "llama")


@cache
def on_the_processor(path: Path, backend: str) -> Any:
    return load_model(path, "cpu", backend=backend)


def compared(path: Path, backend: str, place: Place, compute: Any) -> None:
    """The same comes of a model on the processor and on the device."""
    expected = compute(on_the_processor(path, backend))
    found = compute(load_model(path, place.device, backend=backend))
    assert_alike(found, expected, TOLERANCE)


@pytest.mark.parametrize("pooling", [None, "mean"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_activations(backend: str, pooling: str | None, path: Path, place: Place) -> None:
    arguments: dict[str, Any] = {"backend": backend, "pooling": pooling, "site": "residual", "batch_size": 4}
    expected = ActivationExtractor(path, LAYER, device="cpu", **arguments).fit_transform(SENTENCES)
    found = ActivationExtractor(path, LAYER, device=place.device, **arguments).fit_transform(SENTENCES)
    assert_alike(np.asarray(found), np.asarray(expected), TOLERANCE)


MOVES: dict[str, dict[str, Any]] = {
    "centroid": {"component": 2, "alpha": 0.6, "z": {0: 1.0}},
    "weighted centroid": {"component": None, "alpha": 0.6},
    "a component for each prompt": {"component": [2, 0, 1], "alpha": 0.6},
    "direction into a set": {
        **{"component": {1: 0.6, 3: 0.4}, "alpha": 0.3, "method": "direction", "keep_norm": True},
        **{"z": np.random.default_rng(3).normal(size=(K, Q))},
    },
    "transport": {"component": 1, "alpha": 0.6, "method": "transport", "gate": Gate(1, below=0.5)},
    "the last tokens": {"component": 2, "alpha": 0.6, "select": "last"},
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_steered_logits(backend: str, move: str, path: Path, place: Place) -> None:
    def compute(model: Any) -> Any:
        logits = MFASteerer(model, make_mixture(), layer=LAYER).logits(PROMPTS, **MOVES[move])
        assert logits.device == next(model.original_model.parameters()).device
        return logits.cpu()

    compared(path, backend, place, compute)


@pytest.mark.parametrize("backend", BACKENDS)
def test_steered_texts_and_differences(backend: str, path: Path, place: Place) -> None:
    def compute(model: Any) -> Any:
        steerer = MFASteerer(model, make_mixture(), layer=LAYER)
        written = steerer.generate(PROMPTS, 2, 0.6, max_new_tokens=3, do_sample=False)
        drawn = steerer.generate(PROMPTS[0], 2, 0.6, max_new_tokens=3, random_state=0)
        assert drawn == steerer.generate(PROMPTS[0], 2, 0.6, max_new_tokens=3, random_state=0)
        table = steerer.logit_diff(PROMPTS[0], 2, 0.6)
        added = steer_with(model, lambda x: add_direction(x, make_mixture().means_[0], 0.5), LAYER).logits(PROMPTS)
        return written, table, added.cpu()  # what is drawn differs: generators belong to devices

    compared(path, backend, place, compute)


def test_losses_of_reconstructions(path: Path, place: Place) -> None:
    rows = ActivationExtractor(path, LAYER, device="cpu").fit_transform(SENTENCES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mfa = MFA(2, 2, max_iter=3, random_state=0, device="cpu").fit(rows)

    def compute(model: Any) -> Any:
        device = str(next(model.original_model.parameters()).device)
        found = reconstruction_loss(model, {"mfa": mfa.set_params(device=device)}, SENTENCES[:3])
        return found.cross_entropy, found.kl

    compared(path, "transformers", place, compute)


def test_rows_of_a_model_are_fitted_where_it_is(place: Place) -> None:
    """`device="auto"` takes the accelerator, for rows that lie there and elsewhere."""
    X = np.random.default_rng(0).normal(size=(60, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = MFA(2, 1, max_iter=2, random_state=0).fit(torch.tensor(X, device=place.device)).means_
        expected = MFA(2, 1, max_iter=2, random_state=0, device="cpu").fit(X).means_
    assert_alike(found, expected, place.tolerance)
    if place.machine is not None:
        assert place.machine.calls["aten::mm"] > 0
