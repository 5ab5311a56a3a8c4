"""Activations against `transformers` itself, run on each text alone, and the extractor's manners as an estimator."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
import torch
from activation_cases import LABELS
from lm_fixtures import ARCHITECTURES, SENTENCES, save_tiny_model
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted

from mfa_sklearn import MFA, ActivationExtractor, TokenSelection
from mfa_sklearn.activations import SITES
from mfa_sklearn.activations import _model_reader as extractor_module
from mfa_sklearn.activations._forward import _check_shape, _forward
from mfa_sklearn.activations._language_model import directory_digest, load_tokenizer
from mfa_sklearn.activations._selection_facts import predicate_digest


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
    X = ActivationExtractor(models[architecture], layer=1, select=TokenSelection(special=True), device="cpu").transform(
        SENTENCES[:1]
    )
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
    ({"site": "resid"}, ValueError, r"site='resid' is unknown; choose one of 'residual'"),
    ({"pooling": "max"}, ValueError, r"pooling='max' is unknown; choose one of None, 'last'"),
    ({"processing": "folded"}, ValueError, r"processing='folded' is unknown; choose one of 'raw'"),
    ({"dtype": "int8"}, ValueError, r"dtype='int8' is unknown; choose one of 'float32'"),
    ({"device": "tpu9"}, ValueError, r"device='tpu9' is not a torch device"),
    ({"batch_size": 0}, ValueError, r"batch_size=0 must be at least 1"),
    ({"batch_size": 2.5}, TypeError, r"batch_size=2.5 must be an integer"),
    ({"max_length": 0}, ValueError, r"max_length=0 must be at least 1"),
    ({"max_norm_ratio": 0.5}, ValueError, r"max_norm_ratio must be a number above 1"),
    ({"select": "."}, ValueError, r"select='\.' is unknown; .* One token is \{'\.'\}"),
    ({"select": 3.5}, TypeError, r"select=3\.5 must be one of 'all', "),
    ({"select": "generated"}, ValueError, r"chooses generated tokens, but texts here are read"),
    ({"model": 3}, TypeError, r"model must be a name or a directory, got int"),
    ({"model": "/no/such/dir"}, ValueError, r"there is no model directory '/no/such/dir'"),
]


@pytest.mark.parametrize(("params", "error", "match"), BAD_PARAMETERS)
def test_bad_parameters_are_named_before_weights_are_loaded(models, monkeypatch, params, error, match):
    from mfa_sklearn.activations import _model_reader

    monkeypatch.setattr(_model_reader, "load_model", lambda *a: pytest.fail("loaded the weights first"))
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
    cut = clone(extractor).set_params(max_length=8, select=TokenSelection(special=True))
    with pytest.warns(UserWarning, match="more than 8"):
        rows = cut.transform(SENTENCES[1:2])
    assert rows.tokens[0] == "[CLS]" and rows.tokens[-1] == "[SEP]" and len(rows) == 8


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> ActivationExtractor:
    directory = save_tiny_model(tmp_path_factory.mktemp("model"), "gpt2")
    return ActivationExtractor(directory, layer=1, batch_size=4, device="cpu")


# --- keywords


@pytest.mark.parametrize("unknown", [{"labels": LABELS}, {"sample_weight": [1.0] * 6, "labels": LABELS}])
def test_keywords_that_would_be_dropped_are_refused(extractor: ActivationExtractor, unknown: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=rf"fit_transform takes no {', '.join(sorted(unknown))}: .*labels as y"):
        clone(extractor).fit_transform(SENTENCES, **unknown)
    assert clone(extractor).fit_transform(SENTENCES, y=LABELS).labels is not None


def test_a_pipeline_passes_nothing_on_that_is_not_asked_for(extractor: ActivationExtractor) -> None:
    rows = make_pipeline(clone(extractor), PCA(2)).fit_transform(SENTENCES, LABELS)
    assert rows.shape[1] == 2
    with pytest.raises(TypeError, match="fit_transform takes no labels"):
        Pipeline([("lm", clone(extractor)), ("pca", PCA(2))]).fit(SENTENCES, lm__labels=LABELS)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_routed_metadata_go_past_the_extractor(extractor: ActivationExtractor) -> None:
    n_rows = len(extractor.transform(SENTENCES))
    weights = np.linspace(1, 2, n_rows)
    with sklearn.config_context(enable_metadata_routing=True):
        mfa = MFA(2, 1, max_iter=3, random_state=0).set_fit_request(sample_weight=True)
        routed = make_pipeline(clone(extractor), mfa).fit(SENTENCES, sample_weight=weights)[-1]
    direct = MFA(2, 1, max_iter=3, random_state=0).fit(extractor.transform(SENTENCES), sample_weight=weights)
    np.testing.assert_array_equal(routed.means_, direct.means_)
    assert routed.source_ == extractor.transform(SENTENCES[:1]).source


# --- sites that are not reached


def test_a_site_that_is_not_reached_is_a_mistake_of_the_user() -> None:
    with pytest.raises(ValueError, match=r"never reached \['blocks.1.x'\]: choose another site"):
        _forward(lambda *_, **__: None, None, None, ["blocks.1.x"], {})


def test_a_site_without_a_row_per_token_is_one_too() -> None:
    with pytest.raises(ValueError, match="no row per token in this architecture, choose another"):
        _check_shape(np.zeros((2, 3)), (2, 3), "blocks.1.x")


# --- functions as keep


def starts_with(token: str, start: str) -> bool:
    return token.startswith(start)


class Ending:
    """An object that is called."""

    def __init__(self, end: str) -> None:
        self.end = end

    def __call__(self, token: str) -> bool:
        return token.endswith(self.end)


OTHERS = {
    "lambdas": (lambda token: token == " bank", lambda token: token == "."),
    "partials": (functools.partial(starts_with, start=" b"), functools.partial(starts_with, start=" r")),
    "objects": (Ending("n"), Ending("s")),
    "methods": (" bank.".__contains__, " river".__contains__),
    "one that fails on some": (lambda token: token[1] == "b", lambda token: token[1:2] == "b"),
}


@pytest.mark.parametrize(("first", "second"), OTHERS.values(), ids=OTHERS.keys())
def test_functions_that_keep_other_tokens_are_other_runs(
    extractor: ActivationExtractor, tmp_path: Path, first: Any, second: Any
) -> None:
    tokenizer = load_tokenizer(extractor.model)
    assert predicate_digest(tokenizer, first) != predicate_digest(tokenizer, second)
    keeper = clone(extractor)
    keeper.select = Ending(".") if first is OTHERS["one that fails on some"][0] else first
    keeper.extract_to(tmp_path / "store", SENTENCES, shard_size=3)
    keeper.select = second
    with pytest.raises(ValueError, match="holds activations of other texts, labels or parameters"):
        keeper.extract_to(tmp_path / "store", SENTENCES, shard_size=3)


def test_functions_that_keep_the_same_are_the_same_run(
    extractor: ActivationExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = clone(extractor).set_params(select=lambda token: token[-1:] == ".")
    store = keeper.extract_to(tmp_path / "store", SENTENCES, shard_size=3)
    monkeypatch.setattr(extractor_module, "load_model", lambda *_: pytest.fail("loaded a model"))
    again = clone(extractor).set_params(select=Ending(".")).extract_to(tmp_path / "store", SENTENCES, shard_size=3)
    assert again.n_rows == store.n_rows > 0


def test_the_digest_is_the_same_in_another_process(extractor: ActivationExtractor) -> None:
    code = (
        "from mfa_sklearn.activations._language_model import load_tokenizer\n"
        "from mfa_sklearn.activations._selection_facts import predicate_digest\n"
        f"print(predicate_digest(load_tokenizer({str(extractor.model)!r}), lambda token: token.startswith(' b')))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == predicate_digest(load_tokenizer(extractor.model), functools.partial(starts_with, start=" b"))


def test_a_frame_of_activations_keeps_its_source(llama):
    frame = clone(llama).set_output(transform="pandas").fit_transform(SENTENCES)
    assert frame.columns[0] == "residual1_0" and frame.shape[1] == llama.n_features_out_
    assert MFA(1, 1, tol=0, max_iter=1).fit(frame).source_ == llama.source_


def test_a_model_in_training_mode_is_read_in_evaluation_mode(extractor: ActivationExtractor) -> None:
    X = extractor.transform(SENTENCES)
    try:
        extractor.load().train()
        np.testing.assert_array_equal(extractor.transform(SENTENCES), X)
        assert extractor.load().original_model.training  # left as it was
    finally:
        extractor.load().eval()


def test_weights_that_were_written_anew_are_loaded_anew(tmp_path: Path) -> None:
    extractor = ActivationExtractor(save_tiny_model(tmp_path, "gpt2"), layer=1, device="cpu")
    X, model = extractor.fit_transform(SENTENCES), extractor.load()
    assert extractor.load() is model
    save_tiny_model(tmp_path, "gpt2", seed=1)
    Y = extractor.transform(SENTENCES)
    np.testing.assert_array_equal(Y, clone(extractor).transform(SENTENCES))
    assert not np.allclose(X, Y) and X.source["revision"] != Y.source["revision"]
    assert extractor.load().mfa_source["revision"] == Y.source["revision"]


def test_a_store_is_not_of_two_models(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path / "model", "gpt2")
    asked = []

    def keep(token: str) -> bool:
        asked.append(token)
        if len(asked) == 1000:  # after the vocabulary, while the first part is read
            save_tiny_model(path, "gpt2", seed=1)
        return True

    extractor = ActivationExtractor(path, layer=1, select=keep, device="cpu")
    with pytest.raises(ValueError, match="was written to meanwhile: begin again"):
        extractor.extract_to(tmp_path / "store", SENTENCES * 20, shard_size=6)


@pytest.mark.parametrize("name", ["prepend_bos"])
def test_words_are_no_flags(extractor: ActivationExtractor, name: str) -> None:
    with pytest.raises(TypeError, match=f"{name}='no' must be True or False"):
        clone(extractor).set_params(**{name: "no"}).fit(SENTENCES)


def test_a_model_without_a_tokenizer_is_said_to_have_none(tmp_path: Path) -> None:
    for file in save_tiny_model(tmp_path, "gpt2").glob("token*"):
        file.unlink()
    with pytest.raises(ValueError, match="lacks the tokenizer's files"):
        ActivationExtractor(tmp_path, layer=0, device="cpu").fit_transform(SENTENCES)
