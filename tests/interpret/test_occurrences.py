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
    assert table.groupby(["component", "rank"], as_index=False).first().equals(first)
    assert table["row"].groupby([table["component"], table["rank"]]).nunique().tolist() == [
        min(3, len({line.row, *own(X, assigned, line)})) for line in first.itertuples()
    ]
    for (component, _), lines in table.groupby(["component", "rank"]):
        assert X.rows["tokens"][lines["row"]].tolist() == lines["token"].tolist()
        assert (assigned[lines["row"][1:]] == component).all()
        posterior = scores_by_loop(mfa, X, "posterior")[lines["row"][1:], component]
        assert np.all(np.diff(posterior) <= 1e-6)


def own(X: np.ndarray, assigned: np.ndarray, line: tuple) -> list[int]:
    return np.flatnonzero((X.rows["tokens"] == line.token) & (assigned == line.component)).tolist()


def test_other_texts_come_first() -> None:
    mfa = mixture(n_components=1)
    X = annotated(mfa, 12)
    X.rows.update(tokens=np.array(["a"] * 12), text_index=np.arange(12) // 4, positions=np.arange(12) % 4)
    table = top_tokens(mfa, X, n_contexts=5)
    texts = X.rows["text_index"][table["row"]]
    assert sorted(texts[:3]) == [0, 1, 2] and len(set(table["row"])) == 5
    printed = format_tokens(table).splitlines()
    assert [line.split("«")[0].strip()[:1] for line in printed[2:]].count("1") == 0  # its rank stands there once
