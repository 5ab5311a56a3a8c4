"""`top_tokens` against plain loops over rows and components."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from interpret_fixtures import ExactMixture, annotated, mixture, scores_by_loop, top_tokens_by_loop
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.interpret import _leaderboard as leaderboard
from mfa_sklearn.interpret import describe_components, format_tokens, top_concepts, top_tokens

MODES = list(itertools.product(("posterior", "likelihood"), ("occurrence", "max", "sum")))


def assert_same_table(table: Any, lines: list[tuple]) -> None:
    assert list(table["component"]) == [line[0] for line in lines]
    assert list(table["rank"]) == [line[1] for line in lines]
    assert list(table["token"]) == [line[2] for line in lines]
    np.testing.assert_allclose(table["score"], [line[3] for line in lines], rtol=1e-6, atol=2e-6)
    assert list(table["count"]) == [line[4] for line in lines]
    assert list(table["row"]) == [line[5] for line in lines]


@pytest.mark.parametrize(("score", "aggregate"), MODES)
@pytest.mark.parametrize("spread", [0.5, 2.0, 30.0])
@pytest.mark.parametrize("n_tokens", [3, 1000])
def test_equals_loops(score: str, aggregate: str, spread: float, n_tokens: int) -> None:
    mfa = mixture(spread)
    X = annotated(mfa)
    table = top_tokens(mfa, X, score=score, aggregate=aggregate, n_tokens=n_tokens)
    assert_same_table(table, top_tokens_by_loop(mfa, X, score, aggregate, n_tokens))


@pytest.mark.parametrize(("score", "aggregate"), MODES)
@pytest.mark.parametrize("buffer", [0, 50, 300])
def test_reducing_the_buffer_on_the_way_changes_nothing(
    score: str, aggregate: str, buffer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mfa = mixture(1.0)
    X = annotated(mfa, 400)
    monkeypatch.setattr(leaderboard, "_BUFFER", buffer)
    table = top_tokens(mfa, X, score=score, aggregate=aggregate, n_tokens=4)
    assert_same_table(table, top_tokens_by_loop(mfa, X, score, aggregate, 4))


@pytest.mark.parametrize(("score", "aggregate"), MODES)
@pytest.mark.parametrize("chunk", [1, 400])
def test_chunks_do_not_matter(score: str, aggregate: str, chunk: int) -> None:
    mfa = mixture(1.0)
    X = annotated(mfa, 400)
    mfa.chunk = chunk
    table = top_tokens(mfa, X, score=score, aggregate=aggregate, n_tokens=4)
    assert_same_table(table, top_tokens_by_loop(mfa, X, score, aggregate, 4))


@pytest.mark.parametrize(("score", "aggregate"), MODES)
def test_float32_densities_of_the_estimator(score: str, aggregate: str) -> None:
    """The estimator's own single-precision densities: same scores, and rows that deserve their place."""
    exact = mixture(3.0)
    X = annotated(exact, 300)
    mfa = MFA(4, 2)
    for name in ("weights_", "means_", "loadings_", "noise_variance_"):
        setattr(mfa, name, getattr(exact, name))
    mfa.n_features_in_ = X.shape[1]
    single = AnnotatedArray(np.asarray(X, dtype=np.float32), rows=X.rows)
    table = top_tokens(mfa, single, score=score, aggregate=aggregate, n_tokens=5)
    lines = top_tokens_by_loop(exact, AnnotatedArray(np.asarray(single, dtype=float), rows=X.rows), score, aggregate, 5)
    assert list(table["component"]) == [line[0] for line in lines]
    np.testing.assert_allclose(table["score"], [line[3] for line in lines], atol=1e-3)


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


def test_plain_arrays_and_lists() -> None:
    mfa = mixture()
    X = annotated(mfa)
    tokens = X.rows["tokens"].tolist()
    expected = top_tokens(mfa, X)
    assert top_tokens(mfa, np.asarray(X), tokens=tokens).equals(expected)
    assert top_tokens(mfa, np.asarray(X).tolist(), tokens=tokens).equals(expected)


def test_context_from_offsets() -> None:
    text = "The quick brown fox jumps over the lazy dog.\nIt then sleeps for a long, long while."
    starts = [text.index(word) for word in ("quick", "lazy", "dog", "It", "while", " jumps")]
    ends = [start + length for start, length in zip(starts, (5, 4, 3, 2, 5, 6), strict=True)]
    shown = contexts({"starts": starts, "ends": ends}, {"texts": ("another text", text)}, 12)
    assert shown == [
        "The «quick» brown fox…",
        "…over the «lazy» dog.\\nIt…",
        "…the lazy «dog».\\nIt then…",
        "…lazy dog.\\n«It» then sleeps…",
        "…long, long «while».",
        "…brown fox «jumps» over the…",
    ]


def contexts(rows: dict[str, Any], shared: dict[str, Any], width: int) -> list[str]:
    """The contexts of rows of text 1, in the order of the rows."""
    n = len(next(iter(rows.values())))
    rows = {"tokens": ["?"] * n, "text_index": np.ones(n, dtype=int), **rows}
    X = AnnotatedArray(np.zeros((n, 5)), rows=rows, shared=shared)
    table = top_tokens(mixture(n_components=1), X, n_tokens=n, context=width)
    return table.sort_values("row")["context"].tolist()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            {"tokens": ["The", " cat", " sat", ".", "A", " dog"], "text_index": [0, 0, 0, 0, 1, 1]},
            ["«The» cat…", "The «cat» sat.", "…cat «sat».", "…sat«.»", "«A» dog", "A «dog»"],
        ),
        (
            # rows out of order: their positions say what is next to what
            {"tokens": [" sat", "The", " cat"], "text_index": [0, 0, 0], "positions": [3, 1, 2]},
            ["…cat «sat»", "«The» cat…", "The «cat» sat"],
        ),
        (
            # a word in between was left out
            {"tokens": ["The", " sat"], "text_index": [0, 0], "positions": [1, 3]},
            ["«The»", "«sat»"],
        ),
        (
            # tokens without blanks of their own
            {"tokens": ["the", "cat", "\t"], "text_index": [0, 0, 0]},
            ["«the» cat…", "the «cat» \\t", "…cat «\\t»"],
        ),
    ],
)
def test_context_from_neighbors(rows: dict[str, Any], expected: list[str]) -> None:
    assert contexts(rows, {}, 5) == expected


def test_context_column_only_where_texts_are_known() -> None:
    mfa = mixture()
    X = annotated(mfa)
    assert "context" not in top_tokens(mfa, X)
    X.rows["text_index"] = np.zeros(len(X), dtype=int)
    assert "context" in top_tokens(mfa, X)
    assert "context" not in top_tokens(mfa, X, context=0)


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


def test_description_agrees_with_the_tables() -> None:
    mfa = mixture()
    X = annotated(mfa)
    lines = describe_components(mfa, X, n_tokens=2, n_concepts=1)
    top = top_tokens(mfa, X, aggregate="sum", n_tokens=2)
    concepts = top_concepts(mfa, X, n_concepts=1).set_index("component")
    assert lines["size"].tolist() == np.bincount(mfa.log_joint(X).argmax(1), minlength=4).tolist()
    for component, line in lines.iterrows():
        assert len(line["tokens"].split(" · ")) == (top["component"] == component).sum()
        assert line["concepts"].startswith(concepts["label"].get(component, ""))
    assert "concepts" not in describe_components(mfa, np.asarray(X), tokens=X.rows["tokens"])


def nothing_is_evaluated(mfa: ExactMixture) -> ExactMixture:
    def refuse(X: Any) -> Any:
        raise AssertionError("work was spent on bad input")

    mfa.iter_log_joint = refuse  # type: ignore[method-assign]
    return mfa


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


def test_bad_input() -> None:
    mfa = nothing_is_evaluated(mixture())
    X = annotated(mfa)
    with pytest.raises(ValueError, match=r"pass tokens=\.\.\., one entry per row"):
        top_tokens(mfa, np.asarray(X))
    with pytest.raises(ValueError, match=r"two-dimensional.*\(5,\)"):
        top_tokens(mfa, np.zeros(5), tokens=["a"] * 5)
    with pytest.raises(NotFittedError):
        top_tokens(MFA(), X)
    with pytest.raises(TypeError, match=r"pipe\[-1\]"):
        top_tokens(make_pipeline(MFA()), X)
    with pytest.raises(TypeError, match="expected a fitted MFA, got str"):
        top_tokens("gpt2", X)
    with pytest.raises(ValueError, match="features"):
        fitted = MFA(2, 1, tol=1).fit(np.asarray(X))
        top_tokens(fitted, np.asarray(X)[:, :3], tokens=X.rows["tokens"])
