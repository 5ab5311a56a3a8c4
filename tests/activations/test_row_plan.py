"""Which tokens become rows, what they know, and how they are pooled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from activation_cases import LABELS
from lm_fixtures import SENTENCES, save_tiny_model
from sklearn.base import clone

from mfa_sklearn.activations import ActivationExtractor


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
def test_a_selection_chooses_tokens(llama, keep):
    X = llama.transform(SENTENCES)
    kept = clone(llama).set_params(select=keep).transform(SENTENCES)
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


def test_a_selection_of_nothing(llama):
    with pytest.raises(ValueError, match=r"chooses no token of the 6 texts: choose more"):
        clone(llama).set_params(select={"zebra"}).transform(SENTENCES)
    with pytest.raises(ValueError, match=r"chooses no token of texts\[4\] to pool"):
        clone(llama).set_params(select={"."}, pooling="last").transform(SENTENCES)


def test_activations_that_are_not_finite(tmp_path):
    directory = save_tiny_model(tmp_path / "model", "llama")
    extractor = ActivationExtractor(directory, layer=1, device="cpu")
    with torch.no_grad():
        extractor.load().original_model.model.layers[1].mlp.down_proj.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="are not finite: use dtype='bfloat16'"):
        extractor.transform(SENTENCES)
