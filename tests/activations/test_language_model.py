"""Loading a model: from a directory without a network, and with an error that says what to do."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sys

import numpy as np
import pytest
from lm_fixtures import SENTENCES, save_tiny_model
from sklearn.base import clone

from mfa_sklearn import MFA, MFASteerer, datasets
from mfa_sklearn._base.portable import portable_source
from mfa_sklearn.activations import ActivationExtractor, load_model
from mfa_sklearn.activations._language_model import describe_model, directory_digest, model_of


def test_revision_tells_weights_apart_but_not_places(models, tmp_path):
    same = save_tiny_model(tmp_path / "same", "llama", n_layers=3)
    other = save_tiny_model(tmp_path / "other", "llama", n_layers=3, seed=1)
    assert directory_digest(same) == directory_digest(models["llama"]) != directory_digest(other)


def folder_of(path, size=5 * 2**20):
    """What stands for a model with weights of some megabytes, in two files."""
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "tokenizer.json").write_text("{}")
    for number in range(2):
        (path / f"model-{number}.safetensors").write_bytes(np.random.default_rng(number).bytes(size))
    return path


@pytest.mark.parametrize("place", [0, 2**20 + 5, 2_500_000, 5 * 2**20 - 2**20 - 1, -1])
@pytest.mark.parametrize("number", [0, 1])
def test_any_byte_of_the_weights_is_another_revision(tmp_path, place, number):
    folder = folder_of(tmp_path / "model")
    before, path = directory_digest(folder), folder / f"model-{number}.safetensors"
    written = path.stat()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns))  # as a tool that keeps times leaves it
    assert directory_digest(folder) != before
    content[place] ^= 1
    path.write_bytes(content)
    assert directory_digest(folder) == before


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "pytorch_model.bin"])
def test_configuration_and_vocabulary_count_and_other_files_do_not(tmp_path, name):
    folder = folder_of(tmp_path / "model", 10)
    before = directory_digest(folder)
    (folder / "README.md").write_text("changed")
    assert directory_digest(folder) == before
    (folder / name).write_text("changed")
    assert directory_digest(folder) != before


def test_weights_are_read_once(tmp_path, monkeypatch):
    folder, read = folder_of(tmp_path / "model", 1000), []
    whole = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: (read.append(file.name), whole(file, kind))[1])
    found = {directory_digest(folder) for _ in range(3)} | {directory_digest(str(folder))}
    assert len(found) == 1 and len(read) == 4


def test_an_edited_model_neither_completes_a_store_nor_is_steered_as_the_same(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_tiny_model(tmp_path / "model", "llama", n_layers=2)
    extractor = ActivationExtractor(folder, layer=1, device="cpu")
    extractor.extract_to(tmp_path / "store", SENTENCES)
    mfa = MFA(1, 1, tol=0, max_iter=1).fit(extractor.fit_transform(SENTENCES))
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "layers.0" in name)
    weights[name] = weights[name] * 1.001
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="holds activations of other texts, labels or parameters"):
        clone(extractor).extract_to(tmp_path / "store", SENTENCES)
    with pytest.raises(ValueError, match="fitted on model revision"):
        MFASteerer(load_model(folder, device="cpu"), mfa)
    with pytest.warns(UserWarning, match="differ in model revision"):
        mfa.predict(clone(extractor).fit_transform(SENTENCES))


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


def test_the_embedded_model_is_loaded_by_its_name():
    extractor = ActivationExtractor("tiny_lm", layer=1, device="cpu")
    X = extractor.fit_transform(SENTENCES[:1])
    by_path = ActivationExtractor(datasets.tiny_lm(), layer=1, device="cpu").fit_transform(SENTENCES[:1])
    np.testing.assert_array_equal(X, by_path)
    assert X.source == by_path.source and X.source["model"] == "tiny_lm"
    assert load_model("tiny_lm", device="cpu").mfa_source["revision"] == X.source["revision"]
    assert model_of(X.source) == str(datasets.tiny_lm())


def test_a_directory_is_found_by_name_and_digest(tmp_path, monkeypatch):
    lm = save_tiny_model(tmp_path / "sent" / "lm", "llama")
    source = portable_source(describe_model(lm))
    assert source["model"] == "lm"
    with pytest.raises(ValueError, match=rf"'lm' .*not found here: .*model=.*--model DIR.*{source['revision']}"):
        model_of(source)
    assert model_of(source, near=[tmp_path, tmp_path / "sent"]) == str(lm)
    assert model_of(source, lm) == str(lm)
    monkeypatch.chdir(tmp_path / "sent")
    assert model_of(source) == "lm"
    save_tiny_model(tmp_path / "mine" / "lm", "llama", seed=1)
    monkeypatch.chdir(tmp_path / "mine")  # of that name, but another
    with pytest.raises(ValueError, match="is not found here"):
        model_of(source)
    assert model_of({"model": "gpt2", "revision": "607a30d"}) == "gpt2"
    with pytest.raises(ValueError, match=r"give model=\.\.\., and layer"):
        model_of({"layer": 3})


def test_an_extractor_that_moved_says_which_weights_it_needs(tmp_path):
    lm = save_tiny_model(tmp_path / "lm", "llama")
    extractor = ActivationExtractor(lm, layer=1, device="cpu").fit(SENTENCES)
    moved = lm.rename(tmp_path / "elsewhere")
    with pytest.raises(
        ValueError, match=rf"no model directory.*{extractor.source_['revision']}.*set_params\(model=DIR"
    ):
        extractor.transform(SENTENCES)
    assert len(extractor.set_params(model=moved).transform(SENTENCES))
    with pytest.raises(ValueError, match=r"no model directory '[^']*': give an existing directory or a model's name$"):
        clone(extractor).set_params(model=lm).fit(SENTENCES)


def test_a_directory_without_weights_is_refused_before_a_model_is_built(models, tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')  # by default of 7 billion parameters
    bridges = sys.modules["transformer_lens.model_bridge"]
    monkeypatch.setattr(bridges, "TransformerBridge", None)
    with pytest.raises(ValueError, match=r"cannot load a model .*holds no weights, no file \*.safetensors or \*.bin"):
        load_model(tmp_path)


def test_too_little_memory_is_no_damaged_model(monkeypatch):
    import transformers

    def load(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", load)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        load_model(datasets.tiny_lm(), backend="transformers")
