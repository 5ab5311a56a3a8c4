"""One line per component agrees with the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
from interpret_fixtures import annotated, mixture

from mfa_sklearn.interpret import describe_components, top_concepts, top_tokens


def test_description_agrees_with_the_tables() -> None:
    mfa = mixture()
    X = annotated(mfa)
    lines = describe_components(mfa, X, n_tokens=2, n_concepts=1)
    top = top_tokens(mfa, X, n_tokens=2)
    concepts = top_concepts(mfa, X, n_concepts=1).set_index("component")
    assert lines["size"].tolist() == np.bincount(mfa.log_joint(X).argmax(1), minlength=4).tolist()
    for component, line in lines.iterrows():
        assert len(line["tokens"].split(" · ")) == (top["component"] == component).sum()
        assert line["concepts"].startswith(concepts["label"].get(component, ""))
    assert "concepts" not in describe_components(mfa, np.asarray(X), tokens=X.rows["tokens"])


def test_a_narrow_print_shows_tokens_and_concepts() -> None:
    mfa = mixture()
    X = annotated(mfa)
    tokens = np.char.add(X.rows["tokens"], " with a long tail")
    with pd.option_context("display.width", 80, "display.max_columns", 0):
        printed = repr(describe_components(mfa, X, tokens))
    assert "long tail" in printed and "%" in printed


def test_tokens_and_labels_may_be_positional() -> None:
    mfa = mixture()
    X = annotated(mfa)
    bare = np.asarray(X)
    named = describe_components(mfa, bare, tokens=X.rows["tokens"], labels=X.rows["labels"])
    assert describe_components(mfa, bare, X.rows["tokens"], X.rows["labels"]).equals(named)
    assert "the" not in "".join(describe_components(mfa, X, stop_tokens=["THE"])["tokens"])


def test_rows_without_any_label_have_no_concepts() -> None:
    mfa = mixture()
    X = annotated(mfa)
    assert "concepts" not in describe_components(mfa, X, labels=[None] * len(X))
    half = [label if i % 2 else "" for i, label in enumerate(X.rows["labels"].tolist())]
    assert "concepts" in describe_components(mfa, X, labels=half)
