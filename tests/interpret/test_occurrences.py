"""Several rows of a token, from different texts first."""

from __future__ import annotations

import numpy as np
import pytest
from interpret_fixtures import annotated, mixture, scores_by_loop

from mfa_sklearn.interpret import format_tokens, top_tokens


@pytest.mark.parametrize("aggregate", ["auto", "max", "sum"])
@pytest.mark.parametrize("score", ["posterior", "likelihood"])
def test_further_rows_belong_to_the_component_and_hold_the_token(score: str, aggregate: str) -> None:
    mfa = mixture(1.0)
    X = annotated(mfa, 300)
    assigned = mfa.log_joint(X).argmax(1)
    first = top_tokens(mfa, X, score=score, aggregate=aggregate, n_tokens=4)
    table = top_tokens(mfa, X, score=score, aggregate=aggregate, n_tokens=4, n_contexts=3)
    assert table.drop(columns="other_rows").equals(first)
    for line in table.itertuples():
        rows = [line.row, *line.other_rows]
        own = np.flatnonzero((X.rows["tokens"] == line.token) & (assigned == line.component)).tolist()
        assert len(set(rows)) == len(rows) == min(3, len({line.row, *own}))
        assert set(line.other_rows) <= set(own)
        posterior = scores_by_loop(mfa, X, "posterior")[list(line.other_rows), line.component]
        assert np.all(np.diff(posterior) <= 1e-6)


def with_texts(n: int = 12, n_texts: int = 3) -> tuple:
    mfa = mixture(n_components=1)
    X = annotated(mfa, n)
    length = n // n_texts
    X.rows.update(tokens=np.array(["a"] * n), text_index=np.arange(n) // length, positions=np.arange(n) % length)
    return mfa, X


def test_other_texts_come_first() -> None:
    mfa, X = with_texts()
    table = top_tokens(mfa, X, n_contexts=5)
    (line,) = table.itertuples()
    rows = [line.row, *line.other_rows]
    assert sorted(X.rows["text_index"][rows[:3]]) == [0, 1, 2] and len(set(rows)) == 5
    assert len(line.other_contexts) == 4 and all("«a»" in text for text in line.other_contexts)
    head, *printed = format_tokens(table).splitlines()
    assert len(printed) == 5 and len({text.index("«") for text in printed}) == 1
    assert [text[: head.index("component")].split() for text in printed] == [["1", "0", "12"], *[[]] * 4]


def test_a_token_is_one_line_with_several_contexts_by_default() -> None:
    mfa, X = with_texts()
    (line,) = top_tokens(mfa, X).itertuples()
    assert len(line.other_rows) == len(line.other_contexts) == 2
    assert top_tokens(mfa, X).equals(top_tokens(mfa, X, n_contexts=3))
    alone = top_tokens(mfa, X, n_contexts=1)
    assert list(alone) == ["component", "rank", "token", "score", "count", "row", "context"]
    assert list(top_tokens(mfa, X, context=0)) == list(alone)[:-1]
    assert list(top_tokens(mfa, X, context=0, n_contexts=2)) == [*list(alone)[:-1], "other_rows"]
    single = top_tokens(mfa, X, aggregate="occurrence")
    assert list(single) == list(alone) and len(single) == 10
