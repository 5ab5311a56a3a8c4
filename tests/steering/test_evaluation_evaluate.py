"""What steering does to the words a model writes, measured on models whose answer is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy
from steerer_cases import WORDS

from mfa_sklearn.steering import Arm, MFASteerer, evaluate_steering, summarize_steering
from mfa_sklearn.steering._evaluation.vocabulary import read_vocabulary

# Three of one length, so that prompts and targets could be mixed up.
PROMPTS = ["A", "B", "C", "It rained for days"]
TARGETS = {"water": 0, "money": 1, "birds": 2}
COMPLETIONS = {"water": [" river", " boats"], "money": [" bank", " money"], "birds": [" birds", " bank"]}


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


def make_steerer(model: Any) -> MFASteerer:
    return MFASteerer(model, make_mixture(model), layer=2)


def make_arms(steerer: MFASteerer) -> dict[str, Arm]:
    return {"regions": Arm.regions(steerer, TARGETS, [0.01, 1.0])}


@pytest.fixture(scope="module")
def tables(model: Any) -> dict[str, Any]:
    """By the tokens moved."""
    steerer = make_steerer(model)
    options: dict[str, Any] = {"max_new_tokens": 6, "batch_size": 4, "random_state": 1, "completions": COMPLETIONS}
    arms = make_arms(steerer)
    return {s: evaluate_steering(steerer, arms, WORDS, PROMPTS, select=s, **options) for s in ("prompt", "all")}


def lines(table: Any, arm: str, strength: float) -> Any:
    return table[(table["arm"] == arm) & (table["strength"] == strength)]


def test_the_table_has_a_line_for_everything(tables: dict[str, Any]) -> None:
    table = tables["prompt"]
    assert table["arm"].drop_duplicates().tolist() == ["none", "regions", "regions (random)", "regions (foreign)"]
    assert len(table) == 2 * 3 * (1 + 3 * 2)
    assert not table.drop(columns="share_generated").isna().any(axis=None)
    assert table["concept"].tolist()[:6] == ["water", "water", "money", "money", "birds", "birds"]
    assert table["half"].tolist()[:2] == ["choose", "judge"]
    assert (table["n_prompts"] == 2).all() and (table["layer"] == 2).all() and set(table["select"]) == {"prompt"}
    halves = table.attrs["halves"]
    assert sorted([*halves["choose"], *halves["judge"]]) == sorted(PROMPTS)


def test_steering_to_a_concepts_region_gives_its_words(tables: dict[str, Any]) -> None:
    steered = lines(tables["all"], "regions", 1.0)
    assert (steered["share_next"] > 0.95).all() and (steered["share_generated"] > 0.95).all()
    assert (steered["log_odds"] > 0).all()
    foreign = lines(tables["all"], "regions (foreign)", 1.0)
    assert (foreign["share_next"] < 0.8).all()


def test_words_without_grammar_are_unlikely_text_and_cost_much(tables: dict[str, Any]) -> None:
    plain = tables["all"][tables["all"]["arm"] == "none"]
    steered = lines(tables["all"], "regions", 1.0)
    assert (steered["log_prob"] < plain["log_prob"].median() - 1).all()
    assert (steered["kl"] > 10 * lines(tables["all"], "regions", 0.01)["kl"].max()).all()
    assert (steered["kl"] >= steered["collateral"] - 1e-9).all()


def test_the_model_as_it_is_costs_nothing(tables: dict[str, Any]) -> None:
    plain = tables["prompt"][tables["prompt"]["arm"] == "none"]
    np.testing.assert_allclose(plain[["kl", "collateral", "log_odds"]], 0, atol=1e-6)
    # A word of two concepts counts for both.
    assert 1 < plain.groupby("half")["share_next"].sum().min() < 1.6


def by_hand(model: Any, prompt: str, strength: float, n_path: int = 10) -> Any:
    """Steered next-token probabilities (float64) after a prompt and along the path, by single calls without a cache."""
    mean = torch.as_tensor(make_mixture(model).means_[0], dtype=torch.float32)
    ids = model.to_tokens(prompt)
    n_prompt, barred = ids.shape[1], read_vocabulary(model, WORDS).is_content
    barred[model.tokenizer.all_special_ids] = True

    def move(x: torch.Tensor, hook: Any) -> torch.Tensor:
        x = x.clone()
        x[:, 1:n_prompt] = (1 - strength) * x[:, 1:n_prompt] + strength * mean
        return x

    for _ in range(n_path):
        with torch.no_grad():
            logits = model.run_with_hooks(ids, fwd_hooks=[("blocks.2.hook_resid_post", move)])[0, -1]
        yield logits.double().softmax(0)
        ids = torch.cat([ids, logits.masked_fill(barred, -torch.inf).argmax()[None, None]], dim=1)


@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_figures_are_those_of_the_steered_logits(model: Any, tables: dict[str, Any], strength: float) -> None:
    """With the prompt alone moved, an oracle by single calls: prompt by prompt, token by token."""
    vocabulary, table = read_vocabulary(model, WORDS), tables["prompt"]
    content = vocabulary.is_content
    for half, prompts in table.attrs["halves"].items():
        own = anything = 0.0
        costs = []
        for prompt in prompts:
            survived, first = 1.0, None
            for p in by_hand(model, prompt, strength):
                first = p if first is None else first
                own += survived * float(p[vocabulary.of_token[:, 0]].sum())
                anything += survived * float(p[content].sum())
                survived *= 1 - float(p[content].sum())
                if survived < 0.02:
                    break
            assert first is not None
            q = next(iter(by_hand(model, prompt, 0.0)))
            merged = [torch.cat([part[~content], part[content].sum()[None]]) for part in (first, q)]
            costs.append([scipy_entropy(first, q), scipy_entropy(*merged), scipy_entropy(first)])
        row = lines(table, "regions", strength)[lambda t, h=half: (t["concept"] == "water") & (t["half"] == h)].iloc[0]
        np.testing.assert_allclose(row["share_next"], own / anything, rtol=1e-4)
        np.testing.assert_allclose(row[["kl", "collateral", "entropy"]].astype(float), np.mean(costs, 0), rtol=1e-3)


def test_batches_change_nothing(model: Any, tables: dict[str, Any]) -> None:
    steerer = make_steerer(model)
    options: dict[str, Any] = {"max_new_tokens": 6, "random_state": 1, "completions": COMPLETIONS}
    whole = evaluate_steering(steerer, make_arms(steerer), WORDS, PROMPTS, **options)
    names = [name for name in whole if whole[name].dtype == float]
    np.testing.assert_allclose(whole[names], tables["prompt"][names], rtol=1e-4, atol=1e-5)


def test_a_seed_decides_controls_and_text(model: Any) -> None:
    steerer = make_steerer(model)
    found = [
        evaluate_steering(
            steerer, make_arms(steerer), WORDS, ["A", "B"], max_new_tokens=2, controls=["random"], random_state=seed
        )
        for seed in (0, 0, 1)
    ]
    assert found[0].equals(found[1])
    random = [lines(table, "regions (random)", 1.0)["kl"].to_numpy() for table in found]
    assert not np.allclose(random[0], random[2])


def test_summaries_are_medians_in_order(tables: dict[str, Any]) -> None:
    summary = summarize_steering(tables["prompt"])
    assert summary[["arm", "strength"]].values.tolist()[:3] == [["none", 0.0], ["regions", 0.01], ["regions", 1.0]]
    rows = lines(tables["prompt"], "regions", 1.0)
    assert summary.loc[2, "kl"] == pytest.approx(np.median(rows["kl"]))


def stay(x: torch.Tensor, strength: float) -> torch.Tensor:
    return x


def elsewhere(x: torch.Tensor, strength: float) -> torch.Tensor:
    return x[:, :3]


def fire(x: torch.Tensor, strength: float) -> torch.Tensor:
    return x * float("nan")


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"prompts": []}, ValueError, "no prompt was given"),
    ({"prompts": ["A", ""]}, ValueError, "prompt 1 is empty"),
    ({"prompts": [[1, 2]]}, TypeError, "prompts must be strings"),
    ({"prompts": ["The cat " * 20]}, ValueError, "context holds 64"),
    ({"max_new_tokens": -1}, ValueError, "max_new_tokens=-1 must be at least 0"),
    ({"max_new_tokens": 64}, ValueError, "and 64 new ones, but the model's context holds 64"),
    ({"arms": {}}, ValueError, "arms is empty"),
    ({"arms": [1]}, TypeError, "arms must be a dict of name to Arm, got list"),
    ({"arms": {"a": 3}}, TypeError, r"arms\['a'\] must be an Arm under a name, got int"),
    ({"arms": {"none": Arm({"water": stay}, [1])}}, ValueError, "an arm is called 'none'"),
    ({"arms": {"a": Arm({"fire": stay}, [1])}, "controls": ()}, ValueError, r"no words: \['fire'\]"),
    ({"arms": {"a": Arm({"water": elsewhere}, [1])}, "controls": ()}, ValueError, r"arms\['a'\] moves rows .* 'water'"),
    ({"arms": {"a": Arm({"water": lambda *_: 3}, [1])}, "controls": ()}, ValueError, "to int for 'water'"),
    ({"select": "first"}, ValueError, "'first' is unknown"),
    ({"controls": ["none"]}, ValueError, "controls='none' is unknown"),
    ({"batch_size": 0}, ValueError, "batch_size=0"),
    ({"random_state": "a"}, TypeError, "random_state='a'"),
    ({"verbose": "no"}, TypeError, "verbose='no' must be True or False"),
    ({"completions": {"water": [" river"]}}, ValueError, r"completions has none for \['money', 'birds'\]"),
]


@pytest.mark.parametrize(("asked", "error", "match"), REFUSED)
def test_everything_is_checked_before_anything_runs(
    model: Any, asked: dict[str, Any], error: type[Exception], match: str
) -> None:
    steerer, ran = make_steerer(model), []
    handle = model.original_model.register_forward_pre_hook(lambda *args: ran.append(1))
    given = {"arms": make_arms(steerer), "words": WORDS, "prompts": PROMPTS, **asked}
    with pytest.raises(error, match=match):
        evaluate_steering(steerer, **given)
    handle.remove()
    assert not ran


def test_moves_beyond_numbers_are_told(model: Any) -> None:
    steerer = make_steerer(model)
    with pytest.raises(ValueError, match=r"the logits hold NaN|were moved beyond"):
        evaluate_steering(steerer, {"a": Arm({"water": fire}, [1])}, WORDS, PROMPTS, controls=())


@pytest.mark.parametrize("prompts", ["It rained", ("It rained",), np.array(["It rained"])])
def test_prompts_come_as_everywhere(model: Any, prompts: Any) -> None:
    steerer = make_steerer(model)
    tables = [
        evaluate_steering(steerer, make_arms(steerer), WORDS, given, select="all", max_new_tokens=0)
        for given in (prompts, ["It rained"])
    ]
    assert tables[0].equals(tables[1])
    assert tables[0]["log_prob"].isna().all() and tables[0]["log_odds"].isna().all()
