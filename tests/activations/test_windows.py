"""Long texts in windows: every token is a row once, read as transformers' tokenizers window texts."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from activation_cases import LABELS
from chat_cases import CHATS, chatty
from lm_fixtures import SENTENCES, save_tiny_encoder
from sklearn.base import clone

from mfa_sklearn import ActivationExtractor, TokenSelection
from mfa_sklearn.activations import load_model
from mfa_sklearn.activations._tokenize import read_texts
from mfa_sklearn.activations._windows import Contexts, Window, pieces_of, split
from mfa_sklearn.datasets import load_concepts

TEXT = " ".join(SENTENCES)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_tiny_encoder(tmp_path_factory.mktemp("bert"), "bert")


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2", "bert"])
@pytest.mark.parametrize(("limit", "overlap"), [(16, 0), (16, 5), (10, 7)])
def test_windows_are_those_of_the_tokenizer(models, encoder, kind, limit, overlap):
    model = load_model(encoder if kind == "bert" else models[kind], backend="transformers")
    (sequence,) = read_texts(model, [TEXT])
    windows = list(split(model, sequence, limit, overlap))
    led = kind == "gpt2"  # whose tokenizer puts no token there by itself
    theirs = model.tokenizer(
        TEXT, truncation=True, max_length=limit - led, stride=overlap, return_overflowing_tokens=True
    )["input_ids"]
    assert [sequence.ids[w.seen].tolist() for w in windows] == [
        [model.tokenizer.bos_token_id] * led + list(ids) for ids in theirs
    ]
    owned = list(chain.from_iterable(range(w.start, w.stop) for w in windows))
    assert owned == list(range(len(sequence)))
    for window in windows:
        assert set(range(window.start, window.stop)) <= set(window.seen.tolist())


def test_windows_of_the_least_and_of_no_room(models, encoder):
    model = load_model(encoder, backend="transformers")
    (sequence,) = read_texts(model, ["abcdefgh"])
    assert [len(w.seen) for w in split(model, sequence, 3, 0)] == [3] * 8
    assert len(list(split(model, sequence, len(sequence), 0))) == 1
    with pytest.raises(
        ValueError, match=r"stride=4 leaves no room .* max_length=6, of which 2 are special: lower it be"
    ):
        list(split(model, sequence, 6, 4))
    with pytest.raises(ValueError, match="stride=3 leaves no room"):
        ActivationExtractor(encoder, 1, max_length=5, stride=3).transform(SENTENCES)


def windowed(extractor, text, limit, overlap):
    """Rows of a text by hand: its token ids in windows, through transformers alone."""
    model = extractor.load().original_model
    (sequence,) = read_texts(extractor.load(), [text])
    ids, rows = sequence.ids.tolist(), []
    bos, own = ids[0], ids[1:]
    for begin in range(0, len(own), limit - 1 - overlap):
        part = own[begin : begin + limit - 1]
        with torch.no_grad():
            states = model(torch.tensor([[bos, *part]]), output_hidden_states=True).hidden_states[2][0, 1:]
        rows.append(states[overlap if begin else 0 :].numpy())
        if begin + limit - 1 >= len(own):
            break
    return np.concatenate(rows)


@pytest.mark.parametrize("overlap", [0, 5])
@pytest.mark.parametrize("batch_size", [1, 32])
def test_rows_are_those_of_the_windows(models, overlap, batch_size):
    options = {"max_length": 16, "backend": "transformers", "device": "cpu", "batch_size": batch_size}
    extractor = ActivationExtractor(models["llama"], layer=1, stride=overlap, **options)
    X = extractor.fit_transform([SENTENCES[0], TEXT, SENTENCES[2]], LABELS[:3])
    whole = ActivationExtractor(models["llama"], layer=1, backend="transformers", device="cpu", max_length=64)
    np.testing.assert_allclose(X[X.text_index == 1], windowed(extractor, TEXT, 16, overlap), atol=1e-5)
    for text in (0, 2):
        (sentence,) = [SENTENCES[text]]
        np.testing.assert_allclose(X[X.text_index == text], whole.transform([sentence]), atol=1e-5)
    rows = X[X.text_index == 1]
    assert rows.positions.tolist() == list(range(1, len(rows) + 1)) and set(rows.labels) == {LABELS[1]}
    assert [TEXT[a:b] for a, b in zip(rows.starts, rows.ends, strict=True)] == rows.tokens.tolist()
    assert "".join(rows.tokens) == TEXT


@pytest.mark.parametrize("pack", [False, True])
def test_rows_of_a_trained_encoder_are_those_of_its_windows(minilm, pack):
    """Also where windows share a batch or a sequence, and without the layers behind the one that is read."""
    from transformers import AutoModel, AutoTokenizer

    texts = [" ".join(load_concepts().texts[:30]), *SENTENCES, " ".join(load_concepts().texts[30:50])]
    options = {"max_length": 64, "stride": 16, "batch_tokens": 300, "device": "cpu"}
    X = ActivationExtractor(minilm, 3, pack=pack, **options).transform(texts)
    tokenizer, model = AutoTokenizer.from_pretrained(minilm), AutoModel.from_pretrained(minilm).eval()
    expected, numbers = [], []
    for number, text in enumerate(texts):
        windows = tokenizer(text, truncation=True, max_length=64, stride=16, return_overflowing_tokens=True)
        for place, ids in enumerate(windows["input_ids"]):
            with torch.no_grad():
                states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[4][0, 1:-1]
            expected.append(states[16 if place else 0 :].numpy())
            numbers += [number] * len(expected[-1])
    np.testing.assert_allclose(X, np.concatenate(expected), atol=1e-5)
    assert X.text_index.tolist() == numbers and len(set(numbers)) < len(expected)


@pytest.mark.parametrize("ratio", [None, 1e6])
def test_pooling_is_over_all_windows(models, ratio):
    options = {"max_length": 16, "stride": 4, "device": "cpu", "max_norm_ratio": ratio}
    extractor = ActivationExtractor(models["llama"], layer=1, **options)
    texts = [TEXT, SENTENCES[0], TEXT[40:]]
    X = extractor.transform(texts)
    for pooling, pool in {"last": lambda r: r[-1], "first": lambda r: r[0], "mean": lambda r: r.mean(0)}.items():
        expected = np.stack([pool(np.asarray(X[X.text_index == i])) for i in range(3)])
        pooled = clone(extractor).set_params(pooling=pooling).transform(texts)
        np.testing.assert_allclose(pooled, expected, atol=1e-5)
        assert pooled.text_index.tolist() == [0, 1, 2]


def test_selections_are_of_texts_not_of_windows(models):
    extractor = ActivationExtractor(models["llama"], layer=1, max_length=16, stride=4, device="cpu")
    X = extractor.transform([TEXT])
    for select in (TokenSelection(first=20), [-1], TokenSelection(last=3), {"."}):
        chosen = clone(extractor).set_params(select=select).transform([TEXT])
        np.testing.assert_allclose(chosen, X[chosen.positions - 1], atol=1e-5)
    special = clone(extractor).set_params(select=TokenSelection(special=True)).transform([TEXT])
    assert special.positions.tolist() == list(range(len(X) + 1))  # the beginning of later windows is no row


def test_without_a_stride_texts_are_cut_and_it_says_what_to_do(models):
    extractor = ActivationExtractor(models["llama"], layer=1, max_length=16, device="cpu")
    with pytest.warns(
        UserWarning, match=r"tokens \(.*%\) are lost; split long texts \(stride=0 reads them in windows\)"
    ):
        assert len(extractor.transform([TEXT])) == 15


@pytest.mark.parametrize(("name", "value"), [("stride", -1), ("stride", 2.5), ("pack", "yes"), ("batch_tokens", 0)])
def test_values_that_are_refused(models, name, value):
    with pytest.raises((ValueError, TypeError), match=f"^{name}={value!r} must be"):
        ActivationExtractor(models["llama"], layer=1, **{name: value}).fit(SENTENCES)


def test_pieces_with_rows_and_where_they_stand(models):
    model = load_model(models["llama"], backend="transformers")
    sequences = read_texts(model, SENTENCES[:2])
    windows = [
        [Window(np.arange(5), 0, 3), Window(np.array([0, 3, 4, 5]), 3, len(sequences[0]))],
        [Window(np.arange(4), 0, 4)],
    ]
    pieces = pieces_of(sequences, windows, [np.array([2, 3, 5]), np.array([], dtype=int)])
    assert [(p.places.tolist(), p.text, p.row) for p in pieces] == [([2], 0, 0), ([1, 3], 0, 1)]
    contexts = Contexts(pieces, [[1, 0]])
    assert contexts.lengths == [[4, 5]] and len(contexts.ids[0]) == 9
    places, order = contexts.taken([0, 0], 9)
    assert places.tolist() == [1, 3, 6, 10, 12, 15] and [p.row for p in order] == [1, 0, 1, 0]


def test_chats_in_windows_keep_their_roles(tmp_path):
    extractor = ActivationExtractor(chatty(tmp_path, "llama"), layer=1, device="cpu", backend="transformers")
    whole = extractor.transform(CHATS)
    parts = clone(extractor).set_params(max_length=12, stride=3).transform(CHATS)
    for name in ("roles", "positions", "text_index", "tokens"):
        assert parts.rows[name].tolist() == whole.rows[name].tolist()
    user = clone(extractor).set_params(select=TokenSelection(roles="user")).transform(CHATS)
    assert set(user.roles) == {"user"} and len(user) == (whole.roles == "user").sum()


def test_windows_that_hold_special_tokens_alone(tmp_path):
    extractor = ActivationExtractor(save_tiny_encoder(tmp_path, "bert"), 1, max_length=2, stride=0, device="cpu")
    with pytest.raises(ValueError, match="max_length=2 leaves no room beside 2 special tokens: raise it"):
        extractor.transform(SENTENCES)
