"""Words found as tokens and counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from steerer_cases import WORDS

from mfa_sklearn.steering._evaluation.vocabulary import count_words, read_vocabulary


def test_words_are_found_as_tokens_in_every_form(model: Any) -> None:
    vocabulary = read_vocabulary(model, WORDS)
    decoded = {model.tokenizer.decode([i]): row.tolist() for i, row in enumerate(vocabulary.of_token) if row.any()}
    assert decoded[" river"] == [True, False, False] and decoded[" bank"] == [False, True, True]
    assert decoded["Money"] == [False, True, False]
    assert vocabulary.of_word["bank"] == [1, 2]
    with pytest.raises(ValueError, match="'x' has no word that is a single token"):
        read_vocabulary(model, {"x": ["unpronounceable"]})
    with pytest.raises(ValueError, match="'x' has no word"):
        read_vocabulary(model, {"x": []})


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"x": "river"}, r"words\['x'\] must be a list of strings, got 'river': pass \['river'\]"),
        ({"x": 3}, "must be a list of strings, got 3"),
        ({"x": ["river", None]}, "holds None, which is no word"),
        ({"x": ["river", " "]}, "holds ' ', which is no word"),
        ([["river"]], "words must be a dict of concept to a list of its words, got list"),
    ],
)
def test_what_are_no_words_is_refused(model: Any, words: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        read_vocabulary(model, words)


def test_the_token_for_unknown_words_is_no_word() -> None:
    ids = {"river": 1, " river": 2}

    def tokenizer(forms: list[str], add_special_tokens: bool) -> dict[str, list[list[int]]]:
        return {"input_ids": [[ids.get(form, 0)] for form in forms]}

    tokenizer.all_special_ids = [0]  # type: ignore[attr-defined]
    model = SimpleNamespace(tokenizer=tokenizer, cfg=SimpleNamespace(d_vocab=3))
    assert read_vocabulary(model, {"x": ["river", "heron"]}).of_token[:, 0].tolist() == [False, True, True]
    with pytest.raises(ValueError, match="'x' has no word that is a single token"):
        read_vocabulary(model, {"x": ["heron"]})


def test_words_are_counted_whole_and_for_each_of_their_concepts(model: Any) -> None:
    vocabulary = read_vocabulary(model, WORDS)
    texts = ["The River-bank; a riverside.", "birds, BIRDS and money", ""]
    assert count_words(texts, vocabulary).tolist() == [[1, 1, 1, 2], [0, 1, 2, 3], [0, 0, 0, 0]]
