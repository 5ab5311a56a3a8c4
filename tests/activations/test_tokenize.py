"""Tokens as the model reads them: special ones known by place, long texts cut."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lm_fixtures import ARCHITECTURES, SENTENCES
from sklearn.base import clone

from mfa_sklearn import MFASteerer, TokenSelection
from mfa_sklearn.activations import ActivationExtractor
from mfa_sklearn.activations._tokenize import _encode, token_strings


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("prepend_bos", [None, True, False])
def test_sequences_are_those_of_the_models_own_to_tokens(models, architecture, prepend_bos):
    extractor = ActivationExtractor(
        models[architecture], layer=0, prepend_bos=prepend_bos, select=TokenSelection(special=True), device="cpu"
    )
    X = extractor.transform(SENTENCES)
    for i, text in enumerate(SENTENCES):
        expected = extractor.load().to_tokens(text, prepend_bos=prepend_bos)[0].tolist()
        assert X[X.text_index == i].token_ids.tolist() == expected


def test_special_tokens_are_known_by_place_not_by_id(models):
    text = "a <|endoftext|> cat"
    X = ActivationExtractor(models["gpt2"], layer=0, device="cpu").transform([text, "The cat sat on the mat."])
    own = X[X.text_index == 0]
    assert "".join(own.tokens) == text  # the one spelt out in the text is a row, the one in front is not
    assert own.positions[0] == 1
    assert (own.token_ids == 0).sum() == 1


def test_special_rows_on_request(models):
    extractor = ActivationExtractor(models["gpt2"], layer=0, select=TokenSelection(special=True), device="cpu")
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


def test_a_text_of_special_tokens_alone(models):
    with pytest.raises(ValueError, match=r"texts\[1\] has no tokens of its own, only special ones"):
        ActivationExtractor(models["gpt2"], layer=0, device="cpu").transform(["a", "<|endoftext|><|endoftext|>"])


@pytest.mark.parametrize(
    ("max_length", "match"), [(65, r"beyond the model's context of 64"), (1, r"leaves no room beside the 1 special")]
)
def test_max_length_that_cannot_be(llama, max_length, match):
    with pytest.raises(ValueError, match=match):
        clone(llama).set_params(max_length=max_length).transform(SENTENCES)


PIECES = ["<unk>", "\u2581cat", "\u2581dog", "s", "\u2581", "\u2581sat", ".", "\u2581the"]


@pytest.fixture(scope="module")
def sentencepiece() -> Any:
    """A tokenizer whose decoder drops the space that a sequence starts with, as Llama's and T5's do."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(PIECES)], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


@pytest.fixture(scope="module")
def steerer() -> MFASteerer:
    from transformer_lens import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    config = TransformerBridgeConfig(
        d_model=8, d_head=4, n_layers=2, n_ctx=16, d_vocab=len(PIECES), n_heads=2, act_fn="gelu", seed=0
    )
    rng = np.random.default_rng(0)
    mfa = SimpleNamespace(
        weights_=np.full(3, 1 / 3),
        means_=rng.normal(size=(3, 8)),
        loadings_=rng.normal(size=(3, 8, 2)),
        noise_variance_=np.ones(8),
    )
    return MFASteerer(TransformerBridge.boot_native(config), mfa, layer=1)


def test_the_decoder_drops_a_space(sentencepiece: Any) -> None:
    assert sentencepiece.decode([1]) == "cat"
    assert token_strings(sentencepiece, [3, 1, 4]).tolist() == ["s", " cat", " "]


def test_logit_diff_names_tokens_as_the_extractor_does(steerer: MFASteerer, sentencepiece: Any) -> None:
    steerer.model.tokenizer = sentencepiece
    table = steerer.logit_diff(np.array([3, 1, 5]), component=1, alpha=0.6, top_k=4)
    assert table["token"].tolist() == token_strings(sentencepiece, table["token_id"]).tolist()
    assert {" cat", " dog", "s"} <= set(table["token"])


def test_steered_tokens_are_named_as_the_extractor_does(steerer: MFASteerer, sentencepiece: Any) -> None:
    steerer.model.tokenizer = sentencepiece
    with steerer.steer(component=1, alpha=0.6) as steered:
        steerer.model(torch.tensor([[7, 1, 5]]))
    assert steered.to_frame()["token"].tolist() == [" the", " cat", " sat"]


def test_a_model_without_tokenizer_has_numbers(steerer: MFASteerer) -> None:
    steerer.model.tokenizer = None
    table = steerer.logit_diff(np.array([3, 1, 5]), component=1, alpha=0.6, top_k=2)
    assert table["token"].tolist() == [str(i) for i in table["token_id"]]


@pytest.mark.parametrize("with_tokenizer", [True, False])
def test_tokens_that_are_not_known(sentencepiece: Any, with_tokenizer: bool) -> None:
    tokenizer = sentencepiece if with_tokenizer else None
    found = token_strings(tokenizer, [-1, 1, -1, 3])
    assert found.tolist() == ["", " cat" if with_tokenizer else "1", "", "s" if with_tokenizer else "3"]
    assert token_strings(tokenizer, []).dtype.kind == "U" and token_strings(tokenizer, [-1]).tolist() == [""]


def test_nothing_is_said_of_texts_that_windows_read_whole() -> None:
    extractor = ActivationExtractor("tiny_lm", 0, stride=0, backend="transformers", device="cpu")
    tokenizer = extractor.load().tokenizer
    extractor.transform([" ".join(SENTENCES * 20)])
    # Where transformers notes that it has warned of "indexing errors".
    assert not tokenizer.deprecation_warnings
