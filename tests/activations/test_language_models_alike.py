"""Rows are transformers' own hidden states, whatever the architecture and its tokenizer's habits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_fixtures import (
    ENCODERS,
    EXPERTS,
    SENTENCES,
    hidden_rows,
    save_tiny_encoder,
    save_tiny_experts,
    save_tiny_model,
    save_tiny_translator,
)
from sklearn.base import clone

from mfa_sklearn import ActivationExtractor, TokenSelection
from mfa_sklearn.activations import load_model
from mfa_sklearn.activations._language_model import load_config, load_tokenizer
from mfa_sklearn.steering import MFASteerer


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {name: save_tiny_encoder(root / name, name) for name in ENCODERS}


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("experts")
    return {name: save_tiny_experts(root / name, name) for name in EXPERTS}


# --- encoders

SPELLED = {"bert": "a [SEP] b [MASK] c [PAD] d", "roberta": "a </s> b <mask> c <pad> d</s>"}


@pytest.mark.parametrize("architecture", ENCODERS)
def test_encoders_keep_the_token_that_closes_a_text(encoders: dict[str, Path], architecture: str) -> None:
    texts = [SENTENCES[0], "Money.", SPELLED[architecture], SENTENCES[4]]
    extractor = ActivationExtractor(encoders[architecture], layer=0, batch_size=3, device="cpu")
    X = extractor.transform(texts)
    whole = clone(extractor).set_params(select=TokenSelection(special=True)).transform(texts)
    for number, text in enumerate(texts):
        states, ids = hidden_rows(encoders[architecture], text, layer=0)
        np.testing.assert_allclose(X[X.text_index == number], states[1:-1], atol=1e-5)
        assert whole[whole.text_index == number].token_ids.tolist() == ids
        np.testing.assert_allclose(whole[whole.text_index == number], states, atol=1e-5)


@pytest.mark.parametrize("architecture", ENCODERS)
def test_an_encoders_long_texts_are_cut_before_what_closes_them(encoders: dict[str, Path], architecture: str) -> None:
    text = "river " * 30
    with pytest.warns(UserWarning, match="more than 64 tokens"):
        X = ActivationExtractor(encoders[architecture], layer=1, device="cpu").transform([text])
    states, _ = hidden_rows(encoders[architecture], text, layer=1, truncation=True, max_length=64)
    np.testing.assert_allclose(X, states[1:-1], atol=1e-5)


@pytest.mark.parametrize("architecture", ENCODERS)
def test_a_text_that_spells_an_encoders_first_token(encoders: dict[str, Path], architecture: str) -> None:
    first = load_tokenizer(encoders[architecture]).cls_token
    extractor = ActivationExtractor(encoders[architecture], layer=0, device="cpu")
    with pytest.warns(UserWarning, match=rf"1 of 2 texts begin with {first.replace('[', '.').replace(']', '.')}"):
        X = extractor.transform([f"{first}The cat", "The cat"])
    states, _ = hidden_rows(encoders[architecture], f"{first}The cat", layer=0)
    np.testing.assert_allclose(X[X.text_index == 0], states[1:-1], atol=1e-5)


@pytest.mark.parametrize("architecture", ENCODERS)
def test_encoders_say_what_they_cannot_do(encoders: dict[str, Path], architecture: str) -> None:
    extractor = ActivationExtractor(encoders[architecture], layer=0, device="cpu")
    model = extractor.load()
    with pytest.warns(UserWarning, match="is an encoder.* cannot generate"):
        steerer = MFASteerer(model, mixture(32), layer=0)
    with pytest.raises(ValueError, match="ForMaskedLM cannot generate: it fills gaps"):
        steerer.generate("The cat", component=0, alpha=0.5)
    moved = steerer.logits("The cat", component=0, alpha=0.5, every_position=True)
    _, ids = hidden_rows(encoders[architecture], "The cat", layer=0)
    assert moved.shape[1] == len(ids)  # the closing token is read as well
    from transformer_lens.model_bridge import TransformerBridge

    foreign = TransformerBridge.boot_transformers(str(encoders[architecture]), device="cpu", dtype=torch.float32)
    with pytest.warns(UserWarning, match="is an encoder"):
        steerer = MFASteerer(foreign.eval(), mixture(32), layer=0)
    torch.testing.assert_close(steerer.logits("The cat", component=0, alpha=0.5, every_position=True), moved)


# --- mixtures of experts


@pytest.mark.parametrize("architecture", EXPERTS)
def test_the_hidden_units_of_experts_are_no_row(experts: dict[str, Path], architecture: str) -> None:
    extractor = ActivationExtractor(experts[architecture], layer=1, site="mlp", device="cpu")
    for ask in (extractor.fit, extractor.transform, lambda texts: extractor.get_feature_names_out()):
        with pytest.raises(ValueError, match=r"site='mlp' is refused for a mixture of experts.*site='mlp_out'"):
            ask(SENTENCES)
    for width in (32, 64):
        with pytest.raises(ValueError, match="site='mlp' is refused for a mixture of experts"):
            MFASteerer(load_model(experts[architecture], "cpu"), mixture(width), layer=1, site="mlp")


@pytest.mark.parametrize("architecture", EXPERTS)
def test_other_sites_of_experts_are_those_of_transformers(experts: dict[str, Path], architecture: str) -> None:
    extractor = ActivationExtractor(experts[architecture], layer=0, device="cpu", batch_size=2)
    X = extractor.transform(SENTENCES[:3])
    bos = "" if architecture == "qwen2_moe" else load_tokenizer(experts[architecture]).bos_token
    for number, text in enumerate(SENTENCES[:3]):
        states, _ = hidden_rows(experts[architecture], bos + text, layer=0)
        np.testing.assert_allclose(X[X.text_index == number], states[bool(bos) :], atol=1e-5)
    out = clone(extractor).set_params(site="mlp_out", layer=1).fit_transform(SENTENCES[:3])
    assert out.shape[1] == 32


def test_a_site_of_another_width_than_told_is_refused(experts: dict[str, Path]) -> None:
    """As where a configuration tells the width of its MLP by a name that is not known."""
    extractor = ActivationExtractor(experts["mixtral"], layer=1, device="cpu")
    source, _ = extractor._describe()
    with pytest.raises(ValueError, match=r"hook_resid_post has 32 numbers per token, where .* tells of 48"):
        extractor._extract((source, 48), ["The cat"])


# --- models with two stacks


def test_sequence_to_sequence_models_are_refused_before_their_weights_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mfa_sklearn.activations import _model_reader

    directory = save_tiny_translator(tmp_path / "t5")
    monkeypatch.setattr(_model_reader, "load_model", lambda *_: pytest.fail("loaded the weights"))
    for method in ("fit", "transform"):
        with pytest.raises(ValueError, match=r"sequence-to-sequence model \(t5\).*Choose a causal"):
            getattr(ActivationExtractor(directory, layer=0), method)(SENTENCES)
    with pytest.raises(ValueError, match="sequence-to-sequence"):
        MFASteerer(load_model(directory, "cpu"), mixture(32), layer=0)


# --- the beginning-of-text token


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("prepend_bos", [None, True, False])
def test_a_text_that_begins_with_the_beginning_token_gets_no_second(
    models: dict[str, Path], architecture: str, prepend_bos: bool | None
) -> None:
    extractor = ActivationExtractor(models[architecture], layer=1, prepend_bos=prepend_bos, device="cpu")
    bos = load_tokenizer(models[architecture]).bos_token
    plain = clone(extractor).set_params(prepend_bos=True).transform(["The cat sat.", "Money."])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = extractor.transform([f"{bos}The cat sat.", f"{bos}Money."])
    assert written.tokens.tolist() == plain.tokens.tolist()
    np.testing.assert_allclose(written, plain, atol=1e-5)
    assert written.positions.tolist() == plain.positions.tolist()
    first = written[0]
    assert written.texts[0][written.starts[0] : written.ends[0]] == "The" and first.shape == (32,)
    special = clone(extractor).set_params(select=TokenSelection(special=True)).transform([f"{bos}The cat sat."])
    assert special.tokens.tolist()[:2] == [bos, "The"]


def test_a_beginning_token_elsewhere_is_a_token_of_the_text(models: dict[str, Path]) -> None:
    for architecture in ("gpt2", "llama"):
        bos = load_tokenizer(models[architecture]).bos_token
        X = ActivationExtractor(models[architecture], layer=1, device="cpu").transform([f"a {bos} b", f"{bos}{bos}c"])
        assert X[X.text_index == 0].tokens.tolist().count(bos) == 1
        assert X[X.text_index == 1].tokens.tolist() == [bos, "c"]
        states, _ = hidden_rows(models[architecture], (bos if architecture == "gpt2" else "") + f"a {bos} b", layer=1)
        np.testing.assert_allclose(X[X.text_index == 0], states[1:], atol=1e-5)


def test_a_model_without_a_beginning_token_has_none_to_find(models: dict[str, Path]) -> None:
    end = load_tokenizer(models["qwen2"]).eos_token
    X = ActivationExtractor(models["qwen2"], layer=1, device="cpu").transform([f"{end}The cat"])
    assert X.tokens.tolist()[0] == end


def test_what_a_causal_tokenizer_puts_around_a_text_stays(tmp_path: Path) -> None:
    """As GLM's prefix, which is no beginning-of-text token; a token behind the text is left off, as nothing sees it."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    directory = save_tiny_model(tmp_path / "prefixed", "qwen2")
    tokenizer = AutoTokenizer.from_pretrained(directory)
    pad, end = ((token, tokenizer.convert_tokens_to_ids(token)) for token in ("<|endoftext|>", "<|im_end|>"))
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{pad[0]} $A {end[0]}", special_tokens=[pad, end]
    )
    tokenizer.save_pretrained(directory)
    states, ids = hidden_rows(directory, SENTENCES[0], layer=1)
    assert (ids[0], ids[-1]) == (pad[1], end[1])
    X = ActivationExtractor(directory, layer=1, device="cpu").transform(SENTENCES[:2])
    np.testing.assert_allclose(X[X.text_index == 0], states[1:-1], atol=1e-5)


def test_a_tokenizer_that_is_put_into_the_model_later_is_used(models: dict[str, Path]) -> None:
    extractor = ActivationExtractor(models["llama"], layer=1, device="cpu")
    extractor.load().tokenizer = load_tokenizer(save_path := models["gpt2"])
    X = extractor.transform(["The cat"])
    assert X.token_ids.tolist() == load_tokenizer(save_path)("The cat")["input_ids"]


def test_a_token_that_the_model_has_no_embedding_for_is_named(models: dict[str, Path]) -> None:
    extractor = ActivationExtractor(models["gpt2"], layer=1, device="cpu")
    extractor.load().tokenizer.add_special_tokens({"additional_special_tokens": ["<|extra|>"]})
    with pytest.raises(ValueError, match=r"texts\[1\] holds token (\d+) \('<\|extra\|>'\).* embeddings for \1"):
        extractor.transform(["The cat", "a <|extra|> b"])


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen2"])
def test_the_side_that_a_tokenizer_pads_on_changes_nothing(models: dict[str, Path], architecture: str) -> None:
    extractor = ActivationExtractor(models[architecture], layer=1, batch_size=6, device="cpu")
    X = extractor.transform(SENTENCES)
    extractor.load().tokenizer.padding_side = "left"
    np.testing.assert_array_equal(extractor.transform(SENTENCES), X)


# --- precision and modes of the caller


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_rows_are_own_writable_arrays_and_the_mode_of_the_caller_stays(models: dict[str, Path], mode: Any) -> None:
    extractor = ActivationExtractor(models["llama"], layer=1, device="cpu", dtype="bfloat16")
    with warnings.catch_warnings(), mode():
        warnings.simplefilter("error")
        before = (torch.is_grad_enabled(), torch.is_inference_mode_enabled())
        X = extractor.transform(SENTENCES)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    assert X.dtype == np.float32 and X.flags.writeable
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("method", ["transform", "extract_to"])
def test_autocast_of_the_caller_does_not_change_rows(models: dict[str, Path], tmp_path: Path, method: str) -> None:
    extractor = ActivationExtractor(models["llama"], layer=1, device="cpu")
    expected = extractor.transform(SENTENCES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        if method == "transform":
            X = extractor.transform(SENTENCES)
        else:
            X = extractor.extract_to(tmp_path / "store", SENTENCES, dtype="float32").load()
    np.testing.assert_array_equal(np.asarray(X), np.asarray(expected))


def mixture(width: int) -> Any:
    from steerer_cases import make_mixture

    return make_mixture(width)


def test_fixtures_are_what_they_claim(encoders: dict[str, Path], experts: dict[str, Path]) -> None:
    assert load_tokenizer(encoders["roberta"]).eos_token == "</s>"
    assert load_tokenizer(encoders["bert"]).eos_token is None
    assert {load_config(path).model_type for path in experts.values()} == set(EXPERTS)
