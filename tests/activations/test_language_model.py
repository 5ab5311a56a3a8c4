"""Loading a model: from a directory without a network, and with an error that says what to do."""

from __future__ import annotations

import shutil
import socket
import sys

import numpy as np
import pytest
from lm_fixtures import ARCHITECTURES, SENTENCES, save_tiny_model
from sklearn.base import clone

from mfa_sklearn.activations import ActivationExtractor, load_model
from mfa_sklearn.activations._language_model import directory_digest, site_width


def test_revision_tells_weights_apart_but_not_places(models, tmp_path):
    same = save_tiny_model(tmp_path / "same", "llama", n_layers=3)
    other = save_tiny_model(tmp_path / "other", "llama", n_layers=3, seed=1)
    assert directory_digest(same) == directory_digest(models["llama"]) != directory_digest(other)


def test_compatibility_processing_centers_the_residual_stream(models):
    raw = ActivationExtractor(models["gpt2"], layer=1, device="cpu")
    centered = clone(raw).set_params(processing="compatibility")
    X, Y = np.asarray(raw.transform(SENTENCES)), centered.transform(SENTENCES)
    np.testing.assert_allclose(Y, X - X.mean(1, keepdims=True), atol=1e-4)
    assert Y.source["processing"] == "compatibility"


def test_a_directory_needs_no_network(models, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("network was asked for")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    ActivationExtractor(models["gpt2"], layer=0, device="cpu").fit_transform(SENTENCES[:1])
    load_model(models["llama"], device="cpu", processing="compatibility")


def test_loaded_model_generates_and_says_what_it_is(models):
    model = load_model(models["llama"], device="cpu")
    assert model.mfa_source["d_model"] == 32 and model.mfa_source["n_layers"] == 3
    assert isinstance(model.generate("The cat", max_new_tokens=2, verbose=False), str)


@pytest.mark.parametrize("name", ["no-such-model", "nobody/no-such-model"])
def test_unknown_name_without_network(monkeypatch, name):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=rf"cannot load model '{name}' .*directory.*hf download {name}"):
        ActivationExtractor(name, layer=0).fit(SENTENCES)


def test_directories_that_hold_no_model(tmp_path):
    with pytest.raises(ValueError, match=r"holds no model: it has no config.json"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "no-such-type"}')
    with pytest.raises(ValueError, match=rf"cannot load a model from directory '{tmp_path}'.*no-such-type"):
        load_model(tmp_path)


def garbled(name, content):
    return lambda path: (path / name).write_bytes(content)


DAMAGES = {
    "nested config": garbled("config.json", b"[" * 100_000),
    "a config of another type": garbled("config.json", b"[]"),
    "empty weights": garbled("model.safetensors", b""),
    "weights of noise": garbled("model.safetensors", bytes(range(256)) * 4),
    "no weights": lambda path: (path / "model.safetensors").unlink(),
    "a tokenizer of another type": garbled("tokenizer_config.json", b"[]"),
    "a tokenizer of noise": garbled("tokenizer.json", b"\xff\xfe"),
    "a width of text": lambda path: replace_in(path / "config.json", '"n_embd": 32', '"n_embd": "32"'),
    "weights of another width": lambda path: replace_in(path / "config.json", '"n_embd": 32', '"n_embd": 64'),
}


def replace_in(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_refused_by_name(models, tmp_path, damage):
    path = tmp_path / "model"
    shutil.copytree(models["gpt2"], path)
    DAMAGES[damage](path)
    with pytest.raises(ValueError, match=rf"cannot load a model from directory '{path}' \(.+\): it must hold"):
        load_model(path)


def test_what_to_install_is_said(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'mfa-sklearn\[lm\]'"):
        ActivationExtractor(models["llama"], layer=0).fit(SENTENCES)
    monkeypatch.setitem(sys.modules, "transformer_lens.model_bridge", None)
    with pytest.raises(ImportError, match=r"pip install 'mfa-sklearn\[lm\]'"):
        load_model(models["llama"])


def test_width_of_the_mlp(models):
    from mfa_sklearn.activations._language_model import load_config

    for name in ARCHITECTURES:
        assert site_width(load_config(models[name]), "mlp") == 128
        assert site_width(load_config(models[name]), "attn_out") == 32
