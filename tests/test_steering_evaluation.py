"""What steering does to the words a model writes, measured on models whose answer is known."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lm_fixtures import save_tiny_model

from mfa_sklearn import datasets
from mfa_sklearn.steering import NEUTRAL_PROMPTS, MFASteerer, evaluate_steering, summarize_steering
from mfa_sklearn.steering._shares import count_words, log_prob_of_text, next_slot, read_vocabulary

WORDS = {"water": ["river", "boats"], "money": ["bank", "money"], "birds": ["birds", "bank"]}
# Three of one length, so that prompts and targets could be mixed up.
PROMPTS = ["A", "B", "C", "It rained for days"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformer_lens.model_bridge import TransformerBridge

    path = save_tiny_model(tmp_path_factory.mktemp("evaluated"), "llama")
    return TransformerBridge.boot_transformers(str(path), device="cpu", dtype=torch.float32)


def make_mixture(model: Any) -> SimpleNamespace:
    """Component k stands, in the last layer, where the model says nothing but the words of concept k."""
    vocabulary = read_vocabulary(model, WORDS)
    unembedding = model.W_U.detach().double()
    means = []
    for k in range(3):
        own = vocabulary.of_token[:, k] & (vocabulary.of_token.sum(1) == 1)
        means.append(unembedding[:, own].sum(1) - 0.5 * unembedding.mean(1))
    return SimpleNamespace(
        weights_=np.full(4, 0.25),
        means_=100 * torch.stack([*means, torch.zeros_like(means[0])]).numpy(),
        loadings_=np.zeros((4, len(unembedding), 1)),
        noise_variance_=np.ones(len(unembedding)),
    )


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


def test_neutral_prompts_hold_no_word_of_any_concept() -> None:
    content = {word for words in datasets.load_concepts().words.values() for word in words}
    assert not content & {word for prompt in NEUTRAL_PROMPTS for word in prompt.lower().split()}
    assert len(set(NEUTRAL_PROMPTS)) == 20


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


@pytest.fixture(scope="module")
def table(model: Any) -> Any:
    steerer = MFASteerer(model, make_mixture(model), layer=2)
    components = {"water": 0, "money": 1, "birds": 2}
    return evaluate_steering(
        steerer, components, WORDS, PROMPTS, alphas=[0.0, 0.01, 1.0], max_new_tokens=6, batch_size=4, random_state=1
    )


def test_steering_to_a_concepts_region_gives_its_words(table: Any) -> None:
    steered = table[(table.target == "concept") & (table.alpha == 1) & (table.positions == "all")]
    assert steered["concept"].tolist() == ["water", "money", "birds"]
    assert (steered["share_next"] > 0.95).all() and (steered["share_generated"] > 0.95).all()
    assert (steered["n_generated"] > 0).all()


def test_words_without_grammar_are_unlikely_text(table: Any) -> None:
    plain = table[table.target == "none"]["log_prob_generated"].median()
    steered = table[(table.target == "concept") & (table.alpha == 1) & (table.positions == "all")]
    assert (steered["log_prob_generated"] < plain - 1).all()


def test_alpha_zero_is_the_model_as_it_is(table: Any) -> None:
    plain = table[table.target == "none"].set_index("concept")["share_next"]
    for (_, target), rows in table[table.alpha == 0].groupby(["positions", "target"]):
        np.testing.assert_allclose(rows.set_index("concept")["share_next"], plain, rtol=1e-5, err_msg=target)
    # A word of two concepts counts for both.
    assert 1 < plain.sum() < 1.6


def test_the_random_component_is_another_one(table: Any) -> None:
    drawn = table[table.target == "random"]
    own = table[table.target == "concept"]
    assert (drawn["component"].to_numpy() != own["component"].to_numpy()).all()
    assert len(drawn) == len(own) == 2 * 3 * 3


@pytest.mark.parametrize("alpha", [0.01, 1.0])
def test_shares_are_those_of_the_steered_logits(model: Any, table: Any, alpha: float) -> None:
    """With steering of the prompt alone, an oracle by single calls: prompt by prompt, token by token."""
    vocabulary = read_vocabulary(model, WORDS)
    mixture = make_mixture(model)
    mean = torch.as_tensor(mixture.means_[0], dtype=torch.float32)
    content, member = vocabulary.is_content, vocabulary.of_token.double()
    total = torch.zeros(4, dtype=torch.float64)
    for prompt in PROMPTS:
        ids = model.to_tokens(prompt)
        n_prompt, survived = ids.shape[1], 1.0

        def move(x: torch.Tensor, hook: Any, n_prompt: int = n_prompt) -> torch.Tensor:
            x = x.clone()
            x[:, 1:n_prompt] = (1 - alpha) * x[:, 1:n_prompt] + alpha * mean
            return x

        for _ in range(10):
            with torch.no_grad():
                logits = model.run_with_hooks(ids, fwd_hooks=[("blocks.2.hook_resid_post", move)])[0, -1]
            p = logits.double().softmax(0)
            total += survived * torch.cat([p @ member, p[content].sum()[None]])
            survived *= 1 - float(p[content].sum())
            if survived < 0.02:
                break
            logits[content] = -torch.inf
            logits[model.tokenizer.all_special_ids] = -torch.inf
            ids = torch.cat([ids, logits.argmax()[None, None]], dim=1)
    row = table[(table.target == "concept") & (table.positions == "prompt") & (table.alpha == alpha)].iloc[0]
    np.testing.assert_allclose(row["share_next"], float(total[0] / total[3]), rtol=1e-4)


def test_summaries_are_medians_best_first(table: Any) -> None:
    summary = summarize_steering(table)
    assert summary.loc[0, "target"] == "concept" and summary.loc[0, "alpha"] == 1
    rows = table[(table.target == "none")]
    line = summary[summary.target == "none"].iloc[0]
    assert line["share_next"] == pytest.approx(np.median(rows["share_next"]))
    assert len(summary) == 1 + 2 * 3 * 2


def test_components_of_unknown_concepts_are_refused(model: Any) -> None:
    steerer = MFASteerer(model, make_mixture(model), layer=2)
    with pytest.raises(ValueError, match=r"no words: \['fire'\]"):
        evaluate_steering(steerer, {"fire": 1}, WORDS, PROMPTS)
