"""Texts beside each other in one sequence give the rows that each gives alone, or are refused."""

from __future__ import annotations

import numpy as np
import pytest
from lm_fixtures import ENCODERS, EXPERTS, SENTENCES, save_tiny_encoder, save_tiny_experts, save_tiny_model

from mfa_sklearn import ActivationExtractor
from mfa_sklearn.activations import _forward, _packing
from mfa_sklearn.activations._packing import beside_each_other, pack

BACKENDS = ("transformer_lens", "transformers")


@pytest.fixture(scope="module")
def directories(tmp_path_factory, models):
    folder = tmp_path_factory.mktemp("packed")
    others = {name: save_tiny_encoder(folder / name, name) for name in ENCODERS}
    return {**models, **others, EXPERTS[0]: save_tiny_experts(folder / EXPERTS[0], EXPERTS[0])}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen2", "bert", "roberta", "mixtral"])
def test_packed_rows_are_those_of_texts_alone(directories, name, backend, monkeypatch):
    options = {"device": "cpu", "backend": backend, "max_length": 60}
    extractor = ActivationExtractor(directories[name], 1, **options)
    texts = [text[:20] for text in SENTENCES] if name in ENCODERS else SENTENCES  # whose tokens are bytes
    X = extractor.transform(texts)
    widths = []
    original = _forward._forward
    monkeypatch.setattr(_forward, "_forward", lambda *a: widths.append(a[1].shape) or original(*a))
    packed = ActivationExtractor(directories[name], 1, pack=True, batch_size=2, **options).transform(texts)
    np.testing.assert_allclose(packed, X, atol=2e-5 * np.abs(X).max())
    assert packed.positions.tolist() == X.positions.tolist() and packed.tokens.tolist() == X.tokens.tolist()
    assert sum(n for n, _ in widths[3:]) < len(SENTENCES)  # the first three compare


@pytest.mark.parametrize("pooling", ["first", "last", "mean"])
def test_windows_and_pooling_packed(directories, pooling):
    options = {"device": "cpu", "max_length": 24, "stride": 4, "pooling": pooling}
    texts = [*SENTENCES, " ".join(SENTENCES)]
    plain, packed = (
        ActivationExtractor(directories["llama"], 1, pack=p, **options).transform(texts) for p in (False, True)
    )
    np.testing.assert_allclose(packed, plain, atol=1e-4)


def test_architectures_that_do_not_keep_texts_apart_are_refused(tmp_path, monkeypatch):
    directory = save_tiny_model(tmp_path, "llama")

    def leaking(model, lengths):
        mask, positions = beside_each_other(model, lengths)
        return mask * 0, positions

    monkeypatch.setattr(_forward, "beside_each_other", leaking)
    extractor = ActivationExtractor(directory, 1, pack=True, device="cpu")
    with pytest.raises(
        ValueError, match=r"pack=True is refused: .* does not keep texts in one context apart \(rows differ"
    ):
        extractor.transform(SENTENCES)
    monkeypatch.undo()
    assert len(extractor.transform(SENTENCES))
    extractor._model(1).original_model.config.sliding_window = 4
    with pytest.raises(
        ValueError, match=r"tokens see 4 tokens back at most.*: give max_length=4 at most, or pack=False"
    ):
        extractor.transform(SENTENCES)


def test_contexts_hold_everything_once_and_are_nearly_full():
    lengths = np.random.default_rng(0).integers(1, 60, 500).tolist()
    contexts = pack(lengths, 64)
    assert sorted(n for some in contexts for n in some) == list(range(500))
    totals = [sum(lengths[n] for n in some) for some in contexts]
    assert max(totals) <= 64 and len(contexts) <= 1.05 * sum(lengths) / 64 + 1
    assert _packing.pack([], 8) == []


def test_architectures_that_take_no_mask_of_their_own_are_refused(tmp_path, monkeypatch):
    def refused(model, lengths):
        raise ValueError("too many values to unpack")

    monkeypatch.setattr(_forward, "beside_each_other", refused)
    extractor = ActivationExtractor(save_tiny_model(tmp_path, "llama"), 1, pack=True, device="cpu")
    with pytest.raises(ValueError, match=r"pack=True is refused: .* takes no mask .*too many values.* give pack=False"):
        extractor.transform(SENTENCES)
