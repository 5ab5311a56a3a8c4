"""A cache of TransformerLens as rows: those of the extractor, without padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from foreign_cases import Tokenizer

from mfa_sklearn import ActivationArray, ActivationExtractor, from_cache, load_model

VALUES = torch.arange(24.0).reshape(2, 3, 4)
CACHE = {
    "hook_embed": VALUES,
    "blocks.0.hook_resid_post": VALUES,
    "blocks.10.hook_resid_post": -VALUES,
    "blocks.10.hook_mlp_out": VALUES + 0.5,
    "blocks.10.attn.hook_z": VALUES[..., None],
}
TOKENS, MASK = torch.tensor([[5, 6, 7], [8, 9, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]])


def test_rows_are_the_tokens_that_the_mask_leaves():
    X = from_cache(
        CACHE, 10, tokens=TOKENS, mask=MASK, texts=["a b c", "d e"], labels=["x", None], tokenizer=Tokenizer()
    )
    assert isinstance(X, ActivationArray)
    np.testing.assert_array_equal(np.asarray(X), -VALUES.numpy()[MASK.bool().numpy()])
    assert X.token_ids.tolist() == [5, 6, 7, 8, 9] and X.tokens.tolist()[3] == " t8"
    assert X.text_index.tolist() == [0, 0, 0, 1, 1] and X.positions.tolist() == [0, 1, 2, 0, 1]
    assert X.labels.tolist() == ["x", "x", "x", None, None] and X.texts == ("a b c", "d e")
    assert X.source == {"layer": 10, "site": "residual", "hooks": ["blocks.10.hook_resid_post"]}


def test_layers_and_sites_are_found_by_the_names_of_hooks():
    assert list(from_cache(CACHE)) == [0, 10]
    assert list(from_cache(CACHE, [10])) == [10]
    X = from_cache(CACHE, site="mlp_out", source={"model": "gpt2"})
    assert X.source == {"model": "gpt2", "layer": 10, "site": "mlp_out", "hooks": ["blocks.10.hook_mlp_out"]}
    assert X.shape == (6, 4) and X.token_ids is None


def test_one_sequence_without_a_batch():
    X = from_cache({"blocks.0.hook_resid_post": VALUES[0].to(torch.bfloat16)}, tokens=TOKENS[0])
    np.testing.assert_array_equal(np.asarray(X), VALUES[0].numpy())
    assert X.dtype == np.float32 and X.token_ids.tolist() == [5, 6, 7]


def test_the_cache_of_a_model_gives_the_rows_of_the_extractor(extractor):
    lens = pytest.importorskip("transformer_lens")
    model = load_model(extractor.model)
    texts = ["A bank.", "The river was wide and slow."]
    expected = ActivationExtractor(extractor.model, 1, device="cpu").fit_transform(texts)
    assert expected.source["site"] == "residual"
    encoded = model.tokenizer(texts, padding=True, return_tensors="pt", return_special_tokens_mask=True)
    _, cache = model.run_with_cache(encoded["input_ids"], attention_mask=encoded["attention_mask"])
    assert isinstance(cache, lens.ActivationCache)
    kept = encoded["attention_mask"].bool() & ~encoded["special_tokens_mask"].bool()
    X = from_cache(cache, 1, tokens=encoded["input_ids"], mask=kept, tokenizer=model.tokenizer)
    np.testing.assert_allclose(np.asarray(X), np.asarray(expected), atol=1e-4)
    assert X.tokens.tolist() == expected.tokens.tolist()
    assert X.text_index.tolist() == expected.text_index.tolist()


WRONG = [
    ({"layer": 3}, ValueError, r"has no 'blocks.3.hook_resid_post'; of site 'residual' it has the layers \[0, 10\]"),
    ({"site": "attn_out"}, ValueError, "no activations of site 'attn_out': there are"),
    ({"site": "nowhere"}, ValueError, "site='nowhere' is unknown"),
    ({"tokens": TOKENS[:1]}, ValueError, r"tokens have shape \(1, 3\), and the activations \(B, T\) \(2, 3\)"),
    ({"tokens": TOKENS + 0.5}, TypeError, "tokens must be token ids, got float32"),
    ({"mask": MASK[:, :2]}, ValueError, r"mask have shape \(2, 2\)"),
    ({"mask": MASK * 3}, ValueError, r"mask must be True or False, or 1 or 0, got \[0, 3\]"),
    ({"mask": MASK * 0}, ValueError, "mask leaves no token"),
    ({"texts": ["a"]}, ValueError, "there are 1 texts for 2 sequences"),
    ({"labels": ["a"]}, ValueError, r"labels have shape \(1,\) for 2 sequences"),
    ({"tokenizer": Tokenizer()}, ValueError, "there is a tokenizer and no tokens"),
]


@pytest.mark.parametrize(("given", "kind", "match"), WRONG)
def test_what_does_not_fit_the_cache(given, kind, match):
    with pytest.raises(kind, match=match):
        from_cache(CACHE, **given)


def test_what_is_no_cache():
    with pytest.raises(TypeError, match="cache must be an ActivationCache or a dict, got Tensor"):
        from_cache(VALUES)
    with pytest.raises(ValueError, match=r"has shape \(2, 3, 4, 1\): activations are of shape \(B, T, d\)"):
        from_cache({"blocks.0.hook_resid_post": VALUES[..., None]})
    with pytest.raises(ValueError, match=r"no activations of site 'residual': there are \[0\]"):
        from_cache({0: VALUES})
    with pytest.raises(ValueError, match=r"layer 1 has \(B, T\) \(1, 3\), and layer 0 \(2, 3\)"):
        from_cache({"blocks.0.hook_resid_post": VALUES, "blocks.1.hook_resid_post": VALUES[:1]})
