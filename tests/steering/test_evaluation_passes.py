"""The next slot and text drawn from a Markov chain, and completions token by token."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from steerer_cases import WORDS

from mfa_sklearn.steering._evaluation.passes import log_prob_of_rest, next_slot, sampled
from mfa_sklearn.steering._evaluation.vocabulary import read_vocabulary


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
    monkeypatch.setattr("mfa_sklearn.steering._evaluation.passes.LONGEST_PATH", 3)
    of_token = torch.tensor([[0, 0], [0, 0], [1, 0], [1, 1], [0, 0]], dtype=torch.bool)
    vocabulary: Any = SimpleNamespace(of_token=of_token, is_content=of_token.any(1))
    slot = next_slot(Scripted(), torch.tensor([[0], [1]]), vocabulary, nullcontext())
    np.testing.assert_allclose(slot.log_prob.exp(), Scripted.chain[:2], rtol=1e-6)
    # From "the": (river, bank) .30, .15; then "is": .10, .20 after .55; then "the" again: after .55 * .70.
    bank = 0.15 + 0.55 * 0.20 + 0.55 * 0.70 * 0.15
    any_word = 0.45 + 0.55 * 0.30 + 0.55 * 0.70 * 0.45
    # From "is": .10, .20; then "the" after .70; then "is" after .70 * .55.
    bank_2 = 0.20 + 0.70 * 0.15 + 0.70 * 0.55 * 0.20
    any_2 = 0.30 + 0.70 * 0.45 + 0.70 * 0.55 * 0.30
    np.testing.assert_allclose(slot.mass, [[any_word, bank, any_word], [any_2, bank_2, any_2]], rtol=1e-6)


def test_what_a_row_finds_does_not_depend_on_the_rest_of_the_batch(monkeypatch: Any) -> None:
    monkeypatch.setattr("mfa_sklearn.steering._evaluation.passes._ENOUGH", 0.3)
    of_token = torch.tensor([[0, 0], [0, 0], [1, 0], [1, 1], [0, 0]], dtype=torch.bool)
    vocabulary: Any = SimpleNamespace(of_token=of_token, is_content=of_token.any(1))
    chain = torch.tensor([[0], [1], [3]])  # whose first content words have .45, .30 and .40
    alone = [next_slot(Scripted(), row[None], vocabulary, nullcontext()).mass[0] for row in chain]
    np.testing.assert_array_equal(next_slot(Scripted(), chain, vocabulary, nullcontext()).mass, alone)


def test_a_cache_changes_nothing(model: Any) -> None:
    vocabulary, tokens = read_vocabulary(model, WORDS), model.to_tokens("It rained")

    class Uncached:
        tokenizer = model.tokenizer

        def __call__(self, ids: torch.Tensor) -> Any:
            return model(ids)

    expected = next_slot(Uncached(), tokens, vocabulary, nullcontext()).mass
    np.testing.assert_allclose(next_slot(model, tokens, vocabulary, nullcontext()).mass, expected, atol=1e-6)


def test_text_is_drawn_with_the_chances_given() -> None:
    """Of "the" the cumulative probabilities are .10, .50, .80, .95, 1; of "is" .50, .60, .70, .90, 1."""
    uniform = torch.tensor([[0.45, 0.55, 0.999], [0.0999, 0.1001, 0.75], [0.0, 0.99, 0.0]])
    drawn = sampled(Scripted(), torch.tensor([[0], [0], [1]]), uniform, nullcontext())
    assert drawn.tolist() == [[1, 1, 4], [0, 1, 3], [0, 4, 0]]


def test_a_number_that_rounds_to_one_draws_no_impossible_token() -> None:
    class Certain:
        def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.5, 0.5, 0.0, 0.0]).log().expand(*tokens.shape, 4)

    almost_one = torch.tensor([[np.nextafter(1.0, 0.0)]])
    assert sampled(Certain(), torch.tensor([[0]]), almost_one, nullcontext()).tolist() == [[1]]


def test_text_has_the_chains_frequencies() -> None:
    uniform = torch.as_tensor(np.random.default_rng(0).random((20_000, 2)))
    drawn = sampled(Scripted(), torch.zeros(20_000, 1, dtype=torch.long), uniform, nullcontext())
    second = np.bincount(drawn[:, 1], minlength=5) / 20_000
    np.testing.assert_allclose(second, (Scripted.chain @ Scripted.chain)[0], atol=0.015)


def test_the_rest_of_a_completion_is_scored_up_to_its_length() -> None:
    completions = torch.tensor([[0, 1, 3], [1, 0, 0]])
    found = log_prob_of_rest(Scripted(), torch.tensor([[2], [2]]), completions, torch.tensor([3, 2]), nullcontext())
    np.testing.assert_allclose(found.exp(), [0.40 * 0.20, 0.50], rtol=1e-6)
    alone = log_prob_of_rest(Scripted(), torch.tensor([[2], [2]]), completions[:, :1], torch.ones(2), nullcontext())
    assert alone.tolist() == [0, 0]


def test_completions_are_scored_as_in_one_pass(model: Any) -> None:
    prompts, completions = model.to_tokens(["It rained", "The boats"]), torch.tensor([[50, 60, 70], [80, 90, 100]])
    found = log_prob_of_rest(model, prompts, completions, torch.tensor([3, 3]), nullcontext())
    with torch.no_grad():
        log_prob = model(torch.cat([prompts, completions], dim=1)).log_softmax(-1)
    steps = [log_prob[row, prompts.shape[1] - 1 + s, completions[row, s]] for row in range(2) for s in (1, 2)]
    np.testing.assert_allclose(found, [float(steps[0] + steps[1]), float(steps[2] + steps[3])], rtol=1e-5)
