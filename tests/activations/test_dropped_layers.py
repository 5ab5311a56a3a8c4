"""Layers behind the last one read are dropped from memory, and rows stay as they are."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_fixtures import SENTENCES, save_tiny_encoder, save_tiny_experts, save_tiny_model
from sklearn.base import clone

from mfa_sklearn import ActivationExtractor, load_model
from mfa_sklearn.activations import SITES
from mfa_sklearn.activations._dropped_layers import drop_behind

BACKENDS = ("transformer_lens", "transformers")
SHORT = [text[:40] for text in SENTENCES]  # which the encoders do not cut
KINDS = ("gpt2", "llama", "qwen3", "bert", "roberta", "mixtral")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    made = {kind: save_tiny_model(root / kind, kind) for kind in ("gpt2", "llama", "qwen3")}
    made |= {kind: save_tiny_encoder(root / kind, kind) for kind in ("bert", "roberta")}
    return made | {"mixtral": save_tiny_experts(root / "mixtral")}


def n_numbers(model: Any) -> int:
    return sum(weight.numel() for weight in {id(w): w for w in model.original_model.parameters()}.values())


def size_of(module: Any) -> int:
    return sum(weight.numel() for weight in module.parameters())


def test_what_is_dropped_is_what_the_layers_hold(folders: dict[str, Path]) -> None:
    """Llama's head is its embedding; BERT's has weights of its own, which go as well."""
    whole = load_model(folders["llama"], "cpu", backend="transformers")
    layers, before = whole.original_model.model.layers, n_numbers(whole)
    expected = size_of(layers[1]) + size_of(layers[2])
    assert drop_behind(whole, 0) == expected and n_numbers(whole) == before - expected
    assert drop_behind(whole, 0) == 0 and whole.original_model.lm_head.weight.numel() > 0
    encoder = load_model(folders["bert"], "cpu", backend="transformers").original_model
    own = size_of(encoder.cls) - encoder.cls.predictions.decoder.weight.numel()
    assert drop_behind(load_model(folders["bert"], "cpu", backend="transformers"), 1) == own > 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_the_whole_model(folders: dict[str, Path], kind: str, backend: str) -> None:
    sites = [site for site in SITES if not (kind == "mixtral" and site == "mlp")]
    for site in sites[:: 2 if backend == "transformer_lens" else 1]:
        few = ActivationExtractor(folders[kind], 0, site=site, backend=backend, device="cpu")
        whole = clone(few)
        n_whole = n_numbers(whole.load())
        np.testing.assert_array_equal(few.transform(SHORT), whole.transform(SHORT))
        assert n_numbers(few._loaded[1]) < n_whole == n_numbers(whole._loaded[1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_falls(folders: dict[str, Path], backend: str) -> None:
    """Of all tensors that are alive, wherever they are referred to from."""
    layer = size_of(load_model(folders["llama"], "cpu", backend="transformers").original_model.model.layers[0])
    before = alive()
    few = ActivationExtractor(folders["llama"], 0, backend=backend, device="cpu")
    few.transform(SENTENCES)
    n_few = alive() - before
    whole = clone(few)
    whole.load()
    n_whole = alive() - before - n_few
    assert 4 * 2 * layer <= n_whole - n_few <= 4 * 2 * layer + 4096  # bytes; the rotations' tables are no weights


def alive() -> int:
    """Bytes of all tensors, each storage once."""
    gc.collect()
    tensors = [tensor for tensor in gc.get_objects() if issubclass(type(tensor), torch.Tensor)]
    found = [tensor.untyped_storage() for tensor in tensors if tensor.layout == torch.strided]
    return sum({storage.data_ptr(): storage.nbytes() for storage in found}.values())


def test_the_model_to_steer_has_all_layers(folders: dict[str, Path]) -> None:
    extractor = ActivationExtractor(folders["llama"], 0, backend="transformers", device="cpu")
    expected = load_model(folders["llama"], "cpu", backend="transformers")("The cat")
    extractor.transform(SENTENCES)
    assert extractor._loaded[2] == 0
    torch.testing.assert_close(extractor.load()("The cat"), expected)
    model = extractor.load()
    extractor.transform(SENTENCES)
    assert extractor.load() is model  # a whole model serves both


def test_other_layers_are_loaded_when_they_are_needed(folders: dict[str, Path]) -> None:
    extractor = ActivationExtractor(folders["llama"], 1, backend="transformers", device="cpu")
    extractor.transform(SENTENCES)
    held = extractor._loaded[1]
    extractor.set_params(layer=0).transform(SENTENCES)
    assert extractor._loaded[1] is held
    found = extractor.set_params(layer=[0, 2]).transform(SENTENCES)
    assert extractor._loaded[1] is not held and extractor._loaded[2] == 2
    np.testing.assert_array_equal(found, clone(extractor).transform(SENTENCES))
