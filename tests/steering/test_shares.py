"""Words found as tokens and counted, and their probability in the next slot, against a Markov chain."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from steerer_cases import WORDS

from mfa_sklearn.steering._shares import count_words, log_prob_of_text, next_slot, read_vocabulary


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


class Scripted:
    """A model whose next-token probabilities depend on the last token alone: a Markov chain over five tokens."""

    #               the   is    river bank  <s>
    chain = np.array(
        [
            [0.10, 0.40, 0.30, 0.15, 0.05],
            [0.50, 0.10, 0.10, 0.20, 0.10],
            [0.20, 0.20, 0.20, 0.20, 0.20],
            [0.20, 0.20, 0.20, 0.20, 0.20],
            [0.20, 0.20, 0.20, 0.20, 0.20],
        ]
    )
    tokenizer = SimpleNamespace(all_special_ids=[4])

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.chain).log()[tokens]


def test_the_next_slot_is_the_first_content_word_along_the_likeliest_other_words(monkeypatch: Any) -> None:
    monkeypatch.setattr("mfa_sklearn.steering._shares._LONGEST_PATH", 3)
    of_token = torch.tensor([[0, 0], [0, 0], [1, 0], [1, 1], [0, 0]], dtype=torch.bool)
    vocabulary: Any = SimpleNamespace(of_token=of_token, is_content=of_token.any(1))
    mass = next_slot(Scripted(), torch.tensor([[0], [1]]), vocabulary, nullcontext())
    # From "the": (river, bank) .30, .15; then "is": .10, .20 after .55; then "the" again: after .55 * .70.
    bank = 0.15 + 0.55 * 0.20 + 0.55 * 0.70 * 0.15
    any_word = 0.45 + 0.55 * 0.30 + 0.55 * 0.70 * 0.45
    # From "is": .10, .20; then "the" after .70; then "is" after .70 * .55.
    bank_2 = 0.20 + 0.70 * 0.15 + 0.70 * 0.55 * 0.20
    any_2 = 0.30 + 0.70 * 0.45 + 0.70 * 0.55 * 0.30
    np.testing.assert_allclose(mass, [[any_word, bank, any_word], [any_2, bank_2, any_2]])


def test_a_cache_changes_nothing(model: Any) -> None:
    vocabulary, tokens = read_vocabulary(model, WORDS), model.to_tokens("It rained")

    class Uncached:
        tokenizer = model.tokenizer

        def __call__(self, ids: torch.Tensor) -> Any:
            return model(ids)

    expected = next_slot(Uncached(), tokens, vocabulary, nullcontext())
    np.testing.assert_allclose(next_slot(model, tokens, vocabulary, nullcontext()), expected, atol=1e-6)


def test_text_is_scored_up_to_its_end() -> None:
    model = Scripted()
    model.tokenizer = SimpleNamespace(eos_token_id=4)
    ids = torch.tensor([[0, 1, 0, 2, 3], [0, 1, 4, 4, 4]])
    log_prob, n_tokens = log_prob_of_text(model, ids, n_prompt=2)
    np.testing.assert_allclose(np.exp(log_prob), [0.50 * 0.30 * 0.20, 0.10], rtol=1e-6)
    assert n_tokens.tolist() == [3, 1]
