"""One token has one name, in tables of activations and in tables of steering."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mfa_sklearn import MFASteerer
from mfa_sklearn.activations._tokenize import token_strings

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
