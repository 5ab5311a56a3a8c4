"""What steering does to the words a model writes, measured on models whose answer is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from steerer_cases import WORDS

from mfa_sklearn import datasets
from mfa_sklearn.steering import NEUTRAL_PROMPTS, MFASteerer, evaluate_steering, summarize_steering
from mfa_sklearn.steering._shares import read_vocabulary

# Three of one length, so that prompts and targets could be mixed up.
PROMPTS = ["A", "B", "C", "It rained for days"]


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


def test_neutral_prompts_hold_no_word_of_any_concept() -> None:
    content = {word for words in datasets.load_concepts().words.values() for word in words}
    assert not content & {word for prompt in NEUTRAL_PROMPTS for word in prompt.lower().split()}
    assert len(set(NEUTRAL_PROMPTS)) == 20


@pytest.fixture(scope="module")
def table(model: Any) -> Any:
    steerer = MFASteerer(model, make_mixture(model), layer=2)
    components = {"water": 0, "money": 1, "birds": 2}
    return evaluate_steering(
        steerer, components, WORDS, PROMPTS, alphas=[0.0, 0.01, 1.0], max_new_tokens=6, batch_size=4, random_state=1
    )


def test_steering_to_a_concepts_region_gives_its_words(table: Any) -> None:
    steered = table[(table.target == "concept") & (table.alpha == 1) & (table["select"] == "all")]
    assert steered["concept"].tolist() == ["water", "money", "birds"]
    assert (steered["share_next"] > 0.95).all() and (steered["share_generated"] > 0.95).all()
    assert (steered["n_generated"] > 0).all()


def test_words_without_grammar_are_unlikely_text(table: Any) -> None:
    plain = table[table.target == "none"]["log_prob_generated"].median()
    steered = table[(table.target == "concept") & (table.alpha == 1) & (table["select"] == "all")]
    assert (steered["log_prob_generated"] < plain - 1).all()


def test_alpha_zero_is_the_model_as_it_is(table: Any) -> None:
    plain = table[table.target == "none"].set_index("concept")["share_next"]
    for (_, target), rows in table[table.alpha == 0].groupby(["select", "target"]):
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
    row = table[(table.target == "concept") & (table["select"] == "prompt") & (table.alpha == alpha)].iloc[0]
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


REFUSED = [
    ({"prompts": []}, ValueError, "no prompt was given"),
    ({"prompts": ["A", ""]}, ValueError, "prompt 1 is empty"),
    ({"prompts": [[1, 2]]}, TypeError, "prompts must be strings"),
    ({"prompts": ["The cat " * 20]}, ValueError, "context holds 64"),
    ({"max_new_tokens": -1}, ValueError, "max_new_tokens=-1 must be at least 0"),
    ({"max_new_tokens": 64}, ValueError, "and 64 new ones, but the model's context holds 64"),
    ({"alphas": 0.5}, TypeError, r"alphas=0.5 must be a list: pass \[0.5\]"),
    ({"alphas": ["a"]}, ValueError, "alpha='a' must be a finite number"),
    ({"select": "all"}, TypeError, r"select='all' must be a list: pass \['all'\]"),
    ({"select": ["first"]}, ValueError, "select='first' is unknown"),
    ({"method": "jump"}, ValueError, "method='jump' is unknown"),
    ({"batch_size": 0}, ValueError, "batch_size=0"),
    ({"random_state": "a"}, TypeError, "random_state='a'"),
    ({"components": {"water": 9}}, ValueError, "component=9 is out of range"),
]


@pytest.mark.parametrize(("asked", "error", "match"), REFUSED)
def test_everything_is_checked_before_anything_runs(
    model: Any, asked: dict[str, Any], error: type[Exception], match: str
) -> None:
    steerer, ran = MFASteerer(model, make_mixture(model), layer=2), []
    handle = model.original_model.register_forward_pre_hook(lambda *args: ran.append(1))
    given = {"components": {"water": 0}, "words": WORDS, "prompts": PROMPTS, **asked}
    with pytest.raises(error, match=match):
        evaluate_steering(steerer, **given)
    handle.remove()
    assert not ran


@pytest.mark.parametrize("prompts", ["It rained", ("It rained",), np.array(["It rained"])])
def test_prompts_come_as_everywhere(model: Any, prompts: Any) -> None:
    steerer = MFASteerer(model, make_mixture(model), layer=2)
    options: dict[str, Any] = {"alphas": [1.0], "select": ["all"], "max_new_tokens": 0}
    tables = [evaluate_steering(steerer, {"water": 0}, WORDS, given, **options) for given in (prompts, ["It rained"])]
    assert tables[0].equals(tables[1])
