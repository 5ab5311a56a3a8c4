"""`top_tokens` against plain loops over rows and components."""

from __future__ import annotations

from typing import Any

import numpy as np
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

from mfa_sklearn.interpret import format_tokens, top_tokens


@pytest.mark.parametrize(("score", "aggregate"), MODES)
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
    table = top_tokens(mfa, X, n_tokens=8)
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


def test_printed_form_is_one_line_per_token() -> None:
    mfa = mixture()
    X = annotated(mfa)
    table = top_tokens(mfa, X)
    text = format_tokens(table)
    assert len(text.splitlines()) == len(table) + 4 + 3
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
