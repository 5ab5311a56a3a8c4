"""`top_tokens` against plain loops over rows and components."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from interpret_fixtures import (
    MODES,
    annotated,
    assert_same_table,
    mixture,
    nothing_is_evaluated,
    scores_by_loop,
    top_tokens_by_loop,
)

from mfa_sklearn.interpret import format_tokens, top_concepts, top_tokens


@pytest.mark.parametrize(("score", "aggregate"), [*MODES, ("posterior", "llr")])
@pytest.mark.parametrize("spread", [0.5, 2.0, 30.0])
@pytest.mark.parametrize("n_tokens", [3, 1000])
def test_equals_loops(score: str, aggregate: str, spread: float, n_tokens: int) -> None:
    mfa = mixture(spread)
    X = annotated(mfa)
    table = top_tokens(mfa, X, score=score, aggregate=aggregate, n_tokens=n_tokens)
    assert_same_table(table, top_tokens_by_loop(mfa, X, score, aggregate, n_tokens))


def test_saturated_posteriors_are_ordered_by_likelihood() -> None:
    mfa = mixture(100.0)
    X = annotated(mfa)
    table = top_tokens(mfa, X, aggregate="occurrence", n_tokens=8)
    assert table["score"].min() == pytest.approx(1, abs=1e-12)
    likelihood = scores_by_loop(mfa, X, "likelihood")
    for component, lines in table.groupby("component"):
        assert np.all(np.diff(likelihood[lines["row"], component]) <= 0)


def test_sum_of_posteriors_adds_up() -> None:
    mfa = mixture(1.0)
    X = annotated(mfa, 300)
    table = top_tokens(mfa, X, aggregate="sum", n_tokens=100)
    assert table["score"].sum() == pytest.approx(len(X), abs=1e-6 * len(X) * 4)
    assert table["count"].sum() == len(X)


def test_dead_and_far_components_have_no_lines() -> None:
    mfa = mixture()
    X = annotated(mfa)
    mfa.weights_ = np.array([0.5, 0.5, 0.0, 1e-300])
    for score in ("posterior", "likelihood"):
        assert 2 not in set(top_tokens(mfa, X, score=score)["component"])
    assert 3 not in set(top_tokens(mfa, X)["component"])
    assert 3 in set(top_tokens(mfa, X, score="likelihood")["component"])


@pytest.mark.parametrize(("score", "aggregate"), MODES)
def test_components(score: str, aggregate: str) -> None:
    mfa = mixture()
    X = annotated(mfa)
    every = top_tokens(mfa, X, score=score, aggregate=aggregate)
    some = top_tokens(mfa, X, score=score, aggregate=aggregate, components=[2, 0, 2])
    assert some.equals(every[every["component"].isin([0, 2])].reset_index(drop=True))
    one = top_tokens(mfa, X, score=score, aggregate=aggregate, components=2)
    assert one.equals(every[every["component"] == 2].reset_index(drop=True))


def test_pool_draws_from_the_best() -> None:
    mfa = mixture()
    X = annotated(mfa)
    best = top_tokens(mfa, X, n_tokens=12, score="likelihood")
    drawn = top_tokens(mfa, X, n_tokens=4, pool=12, random_state=3, score="likelihood")
    again = top_tokens(mfa, X, n_tokens=4, pool=12, random_state=3, score="likelihood")
    other = top_tokens(mfa, X, n_tokens=4, pool=12, random_state=4, score="likelihood")
    assert drawn.equals(again) and not drawn.equals(other)
    assert (drawn.groupby("component").size() == 4).all()
    assert drawn.merge(best).equals(drawn)
    assert not drawn.duplicated(["component", "rank"]).any()
    assert drawn["rank"].max() > 4


def test_tokens_by_id_where_there_are_ids() -> None:
    """Two ids may decode to one string, as the bytes of a rare character do; they stay two tokens."""
    mfa = mixture(30.0, n_components=1)
    X = annotated(mfa, 4)
    X.rows.update(tokens=np.array(["�"] * 4), token_ids=np.array([7, 8, 7, 7]))
    table = top_tokens(mfa, X, aggregate="sum")
    assert list(table["token"]) == ["�", "�"] and list(table["count"]) == [3, 1]
    given = top_tokens(mfa, X, aggregate="sum", tokens=["a", "b", "b", "b"])
    assert list(given["token"]) == ["b", "a"] and list(given["count"]) == [3, 1]


@pytest.mark.parametrize("spread", [0.5, 2.0, 30.0])
@pytest.mark.parametrize("n_tokens", [3, 1000])
def test_the_default_ranks_tokens_as_top_concepts_ranks_labels(spread: float, n_tokens: int) -> None:
    mfa = mixture(spread)
    X = annotated(mfa, 300)
    table = top_tokens(mfa, X, n_tokens=n_tokens)
    # A blank label is none, a blank token is one.
    as_labels = top_concepts(mfa, X, np.char.add("token ", X.rows["tokens"]), n_concepts=None)
    as_labels["label"] = as_labels["label"].str.removeprefix("token ")
    as_labels = as_labels.set_index(["component", "label"])
    assert table.equals(top_tokens(mfa, X, aggregate="llr", n_tokens=n_tokens))
    assert not table.duplicated(["component", "token"]).any()
    posterior = scores_by_loop(mfa, X, "posterior")
    for component, lines in table.groupby("component"):
        expected = as_labels.loc[component]
        assert len(lines) == min(n_tokens, len(expected))
        np.testing.assert_allclose(lines["score"], expected["llr"][: len(lines)], rtol=1e-9)
        np.testing.assert_allclose(lines["score"], expected["llr"][lines["token"]], rtol=1e-9)
        assert lines["count"].tolist() == expected["count"][lines["token"]].tolist()
        for line in lines.itertuples():
            own = np.flatnonzero((X.rows["tokens"] == line.token) & (posterior.argmax(1) == component))
            assert line.row in own and posterior[line.row, component] == pytest.approx(posterior[own, component].max())


def test_what_is_frequent_everywhere_says_nothing() -> None:
    """A full stop in every text comes after the word that only one component's texts hold."""
    mfa = mixture(100.0)
    rng = np.random.default_rng(0)
    X = mfa.sample(400, rng)
    assigned = mfa.log_joint(X).argmax(1)
    tokens = np.where(rng.random(400) < 0.8, ".", np.array(["a", "b", "c", "d"])[assigned])
    first = top_tokens(mfa, X, tokens).groupby("component")["token"].first()
    assert first.tolist() == ["a", "b", "c", "d"]
    assert set(top_tokens(mfa, X, tokens, aggregate="occurrence", n_tokens=3)["token"]) >= {"."}


def test_equal_ratios_are_ordered_by_likelihood() -> None:
    """Words that a component has once each, as most words of a corpus are."""
    mfa = mixture(100.0)
    X = annotated(mfa)
    tokens = np.array([f"w{i}" for i in range(len(X))])
    table = top_tokens(mfa, X, tokens, n_tokens=5)
    likelihood, assigned = scores_by_loop(mfa, X, "likelihood"), mfa.log_joint(X).argmax(1)
    for component, lines in table.groupby("component"):
        assert lines["score"].round(6).nunique() == 1
        own = np.sort(likelihood[assigned == component, component])[::-1]
        np.testing.assert_allclose(likelihood[lines["row"], component], own[: len(lines)])


def test_one_component_lists_its_most_frequent_tokens() -> None:
    mfa = mixture(n_components=1)
    table = top_tokens(mfa, np.zeros((6, 5)), ["a", "b", "b", "c", "c", "c"])
    assert table["token"].tolist() == ["c", "b", "a"] and table["score"].tolist() == [0, 0, 0]


def test_likelihoods_rank_distinct_tokens_by_default() -> None:
    mfa = mixture()
    X = annotated(mfa)
    assert top_tokens(mfa, X, score="likelihood").equals(top_tokens(mfa, X, score="likelihood", aggregate="max"))


@pytest.mark.parametrize("score", ["posterior", "likelihood"])
@pytest.mark.parametrize("aggregate", ["auto", "occurrence", "max", "sum"])
def test_stop_tokens_leave_all_else_as_it_was(score: str, aggregate: str) -> None:
    mfa = mixture()
    X = annotated(mfa)
    every = top_tokens(mfa, X, score=score, aggregate=aggregate, n_tokens=1000)
    some = top_tokens(mfa, X, score=score, aggregate=aggregate, n_tokens=1000, stop_tokens={"CAT", " dog "})
    rest = every[~every["token"].isin([" cat", " dog"])].reset_index(drop=True)
    assert len(rest) < len(every)
    assert some.drop(columns="rank").equals(rest.drop(columns="rank"))
    few = top_tokens(mfa, X, score=score, aggregate=aggregate, n_tokens=2, stop_tokens={"cat", "dog"})
    pd.testing.assert_frame_equal(few, some[some["rank"] <= 2].reset_index(drop=True), rtol=1e-6)


def test_tokens_are_positional_as_labels_are() -> None:
    mfa = mixture()
    X = annotated(mfa)
    assert top_tokens(mfa, np.asarray(X), X.rows["tokens"]).equals(top_tokens(mfa, X))


def test_printed_form_has_heads_and_is_one_line_per_token() -> None:
    mfa = mixture()
    X = annotated(mfa)
    table = top_tokens(mfa, X)
    text = format_tokens(table)
    assert len(text.splitlines()) == len(table) + 4 + 3
    heads = [line.split() for line in text.splitlines() if "component" in line]
    assert heads == [["rank", "score", "rows", "component", str(k)] for k in range(4)]
    assert "'\\n'" in text and "\x00" not in text
    assert format_tokens(table[:0]) == ""


def test_contexts_are_aligned_in_print() -> None:
    X = annotated(mixture(n_components=1), 30)
    X.rows["text_index"] = np.zeros(len(X), dtype=int)
    lines = format_tokens(top_tokens(mixture(n_components=1), X)).splitlines()[1:]
    assert len({line.index("«") for line in lines}) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"score": "loss"}, ValueError, "score='loss'.*'posterior', 'likelihood'"),
        ({"aggregate": "mean"}, ValueError, "aggregate='mean'"),
        ({"n_tokens": 0}, ValueError, "n_tokens=0 must be at least 1"),
        ({"n_tokens": 2.5}, TypeError, "n_tokens=2.5"),
        ({"components": [0, 4]}, ValueError, "component=4 is out of range.*0 to 3"),
        ({"components": -1}, ValueError, "component=-1"),
        ({"components": []}, ValueError, "components is empty"),
        ({"components": 1.0}, TypeError, "component=1.0"),
        ({"context": -1}, ValueError, "context=-1"),
        ({"tokens": ["a"]}, ValueError, r"tokens.*\(1,\) for 150 rows"),
        ({"pool": 5}, ValueError, "pool=5 must be at least 10"),
        ({"n_contexts": 0}, ValueError, "n_contexts=0 must be at least 1"),
        ({"n_contexts": 2, "aggregate": "occurrence"}, ValueError, "n_contexts=2.*aggregate='occurrence'"),
        ({"aggregate": "llr", "score": "likelihood"}, ValueError, "aggregate='llr'.*score='posterior'"),
        ({"stop_tokens": "the"}, TypeError, "stop_tokens='the' is one string.*{'the'}"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    mfa = mixture()
    X = annotated(mfa)
    with pytest.raises(error, match=message):
        top_tokens(nothing_is_evaluated(mfa), X, **arguments)


def test_tokens_with_half_a_surrogate_pair_are_refused() -> None:
    mfa = mixture()
    X = annotated(mfa)
    tokens = [" w", "\ud83d", "x"] * (len(X) // 3)
    with pytest.raises(ValueError, match=r"tokens\[1\] holds half of a surrogate pair"):
        top_tokens(mfa, X, tokens=tokens)


def test_what_is_no_table_is_not_formatted():
    with pytest.raises(TypeError, match=r"must be what top_tokens returns, got ndarray"):
        format_tokens(np.zeros((3, 2)))
