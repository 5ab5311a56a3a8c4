"""What is read, predicted and replaced, token by token."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lm_fixtures import make_closing_tokenizer, make_tokenizer

from mfa_sklearn import TokenSelection
from mfa_sklearn.evaluation._readings import Batch, Readings, check_predicts


def model_of(architecture: str, **config: Any) -> Any:
    """A model as far as its tokens go."""
    if architecture == "bert":
        cfg = SimpleNamespace(n_ctx=64, attention_dir="bidirectional", d_vocab=None)
        return SimpleNamespace(tokenizer=make_closing_tokenizer("bert"), cfg=cfg, **config)
    cfg = SimpleNamespace(n_ctx=64, default_prepend_bos=True, d_vocab=None)
    return SimpleNamespace(tokenizer=make_tokenizer(architecture), cfg=cfg)


def shown(batch: Batch) -> list[tuple[int, list[int], list[int], list[tuple[int, int]]]]:
    """Per sequence: its text, its tokens, the places that are rows, and (column, target) of what is predicted."""
    found = []
    for number, text in enumerate(batch.text):
        ids = batch.ids[number][batch.mask[number].bool()].tolist()
        where = batch.replaced[number].nonzero()[:, 0].tolist()
        of_it = batch.row == number
        predicted = list(zip(batch.column[of_it].tolist(), batch.target[of_it].tolist(), strict=True))
        found.append((int(text), ids, where, predicted))
    return found


def test_a_causal_model_predicts_each_token_from_those_before() -> None:
    model = model_of("llama")
    bos, first, second = model.tokenizer("ab")["input_ids"]
    readings = Readings.of(model, ["a", "ab"])
    (batch,) = readings.predicting(8)
    assert readings.n_tokens.tolist() == [1, 2] and readings.n_predicting(8) == 1
    longest = (1, [bos, first, second], [1, 2], [(0, first), (1, second)])
    assert shown(batch) == [longest, (0, [bos, first], [1], [(0, first)])]
    assert batch.ids[1, 2] == 0 and batch.mask[1].tolist() == [1, 1, 0] and not batch.replaced[1, 2]


def test_without_a_beginning_the_first_token_is_predicted_by_nothing() -> None:
    model = model_of("llama")
    readings = Readings.of(model, ["ab"], prepend_bos=False)
    (batch,) = readings.predicting(8)
    first, second = model.tokenizer("ab")["input_ids"][1:]
    assert shown(batch) == [(0, [first, second], [0, 1], [(0, second)])]


@pytest.mark.parametrize("include_special", [False, True])
def test_a_masked_model_predicts_each_token_from_all_others(include_special: bool) -> None:
    model = model_of("bert")
    cls, a, b, sep = model.tokenizer("ab")["input_ids"]
    mask = model.tokenizer.mask_token_id
    readings = Readings.of(model, ["ab", "a"], select=TokenSelection(special=include_special or None))
    batches = list(readings.predicting(2))
    assert readings.n_tokens.tolist() == [2, 1] and readings.n_predicting(2) == len(batches) == 2
    every = [0, 1, 2, 3]
    assert shown(batches[0]) == [
        (0, [cls, mask, b, sep], every if include_special else [2], [(1, a)]),
        (0, [cls, a, mask, sep], every if include_special else [1], [(2, b)]),
    ]
    assert shown(batches[1]) == [(1, [cls, mask, sep], every[:3] if include_special else [], [(1, a)])]
    plain = list(readings.plain(2))
    assert shown(plain[0])[0] == (0, [cls, a, b, sep], every if include_special else [1, 2], [])


def test_only_tokens_that_are_kept_are_rows() -> None:
    readings = Readings.of(model_of("llama"), ["ab", "b"], select={"a"})
    assert [(text, where) for text, _, where, _ in shown(next(readings.predicting(2)))] == [(0, [1]), (1, [])]
    assert [text for batch in readings.plain(2) for text in batch.text] == [0]  # the other has no rows


def test_a_batch_goes_to_a_device_whole() -> None:
    (batch,) = Readings.of(model_of("llama"), ["ab"]).predicting(1)
    there = batch.on(torch.device("meta"))
    assert {part.device.type for part in there[:-1]} == {"meta"}
    assert there.text.tolist() == [0] and there.row.shape == batch.row.shape


def test_nothing_to_predict_is_refused() -> None:
    with pytest.raises(ValueError, match="no text has a token that follows another"):
        Readings.of(model_of("llama"), ["a"], prepend_bos=False)


@pytest.mark.parametrize("saved", [["BertForMaskedLM"], ["BertForPreTraining"], None])
def test_an_encoder_with_a_head_predicts(saved: list[str] | None) -> None:
    model = model_of("bert", original_model=SimpleNamespace(config=SimpleNamespace(architectures=saved)))
    check_predicts(model)
    check_predicts(model_of("llama"))


def test_an_encoder_without_a_head_or_mask_does_not() -> None:
    config = SimpleNamespace(architectures=["BertModel"])
    with pytest.raises(ValueError, match="saved as BertModel"):
        check_predicts(model_of("bert", original_model=SimpleNamespace(config=config)))
    model = model_of("bert")
    model.tokenizer.mask_token = None
    with pytest.raises(ValueError, match="has no mask token"):
        check_predicts(model)


def test_batches_hold_every_prediction_once() -> None:
    readings = Readings.of(model_of("bert"), ["abcd", "ef", "g"])
    found = [(int(batch.text[row]), int(column)) for batch in readings.predicting(3)
             for row, column in zip(batch.row, batch.column, strict=True)]  # fmt: skip
    assert sorted(found) == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 1), (1, 2), (2, 1)]
    assert np.diff([batch.ids.shape[1] for batch in readings.predicting(3)]).max() <= 0
