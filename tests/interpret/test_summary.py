"""One line per component agrees with the tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from interpret_fixtures import ExactMixture, annotated, mixture, nothing_is_evaluated, scores_by_loop

from mfa_sklearn import MFA, datasets
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.interpret import describe_components, factor_ends, neighbors, top_concepts, top_tokens

OF_LABELS = {"labeled", "concept", "share", "lift", "q_value", "n_enriched", "purity", "concepts"}
OF_TOKENS = {"tokens", "contexts", "ends"}


def in_texts(spread: float = 2.0, n: int = 200) -> tuple[ExactMixture, AnnotatedArray]:
    mfa = mixture(spread)
    X = annotated(mfa, n)
    return mfa, AnnotatedArray(np.asarray(X), rows={**X.rows, "text_index": np.arange(n) // 4})


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


def test_rows_concepts_and_neighbors_are_those_of_the_other_tables() -> None:
    mfa, X = in_texts()
    table, assigned = describe_components(mfa, X, n_rows=2), mfa.log_joint(X).argmax(1)
    density, posterior = scores_by_loop(mfa, X, "likelihood"), scores_by_loop(mfa, X, "posterior")
    every, beside = top_concepts(mfa, X, n_concepts=None), neighbors(mfa, 1)
    ends = factor_ends(mfa, X, n_tokens=3).set_index(["component", "factor", "end"])["tokens"]
    for k, line in table.iterrows():
        mine = np.flatnonzero(assigned == k)
        own = density[mine, k]
        assert line["sharpness"] == pytest.approx(posterior[mine, k].mean()) and line["weight"] == mfa.weights_[k]
        np.testing.assert_allclose(density[list(line["typical"]), k], np.sort(own)[::-1][:2])
        np.testing.assert_allclose(density[list(line["outlying"]), k], np.sort(own)[:2])
        listed = every[every["component"] == k]
        best = listed[listed["rank"] == 1].iloc[0]
        assert (line["concept"], line["share"], line["lift"]) == (best["label"], best["share"], best["lift"])
        assert line["q_value"] == best["q_value"]
        assert line["n_enriched"] == (listed["q_value"] <= 0.05).sum()
        counts = pd.Series(X.rows["labels"][mine]).value_counts()
        assert line["purity"] == pytest.approx(counts.max() / len(mine))
        assert line["labeled"] == best["size"] == len(mine)
        assert line["ends"] == f"{ends[k, 0, 'low']} ↔ {ends[k, 0, 'high']}"
    assert table["nearest"].tolist() == beside["neighbor"].tolist()
    assert table["nearest_distance"].tolist() == beside["distance"].tolist()


def test_contexts_are_those_of_the_first_tokens() -> None:
    mfa, X = in_texts()
    table, top = describe_components(mfa, X, n_contexts=2, context=9), top_tokens(mfa, X, context=9, n_contexts=1)
    for k, line in table.iterrows():
        assert line["contexts"] == tuple(top[top["component"] == k]["context"][:2])
    assert "contexts" not in describe_components(mfa, X, context=0)
    assert "contexts" not in describe_components(mfa, np.asarray(X), X.rows["tokens"])


def test_a_table_of_numbers_is_described_without_tokens_and_labels() -> None:
    mfa, X = in_texts()
    whole, bare = describe_components(mfa, X), describe_components(mfa, pd.DataFrame(np.asarray(X)))
    assert set(whole) - set(bare) == OF_LABELS | OF_TOKENS and set(bare) - set(whole) == {"columns"}
    assert bare.drop(columns="columns").equals(whole[[name for name in bare if name != "columns"]])
    labeled = describe_components(mfa, np.asarray(X), labels=X.rows["labels"])
    assert set(whole) - set(labeled) == {"tokens", "contexts"}
    # Where no token is known, ends are told by labels.
    names = {name for end in labeled["ends"] for side in end.split(" ↔ ") for name in side.split(" · ")}
    assert names - {""} <= set(X.rows["labels"])


def test_what_labels_say_is_of_labeled_rows() -> None:
    mfa, X = in_texts()
    labels, assigned = (
        [label if i % 3 else None for i, label in enumerate(X.rows["labels"])],
        mfa.log_joint(X).argmax(1),
    )
    table = describe_components(mfa, X, labels=labels)
    known = np.arange(len(X)) % 3 > 0
    assert table["labeled"].tolist() == np.bincount(assigned[known], minlength=4).tolist()
    assert table["size"].tolist() == np.bincount(assigned, minlength=4).tolist()


def test_groups_are_handed_to_the_test() -> None:
    mfa, X = in_texts()
    alone = describe_components(mfa, X, groups=np.arange(len(X)))["q_value"]
    expected = top_concepts(mfa, X, groups=np.arange(len(X)), n_concepts=1)["q_value"]
    assert alone.tolist() == expected.tolist()
    assert alone.tolist() != describe_components(mfa, X)["q_value"].tolist()


def test_one_component_and_empty_ones() -> None:
    one = mixture(n_components=1)
    line = describe_components(one, annotated(one)).loc[0]
    assert "nearest" not in line and line["sharpness"] == 1 and line["n_enriched"] == 0 and line["concept"] is np.nan
    mfa, X = in_texts(30.0)
    mfa.means_[1] = 1e6
    empty = describe_components(mfa, X).loc[1]
    assert empty["size"] == 0 and empty["typical"] == empty["outlying"] == empty["contexts"] == ()
    assert empty["tokens"] == empty["ends"] == empty["concepts"] == ""
    assert np.isnan(empty["sharpness"]) and np.isnan(empty["purity"]) and empty["n_enriched"] == 0


def test_rows_with_missing_values_are_neither_typical_nor_outlying() -> None:
    X, _ = datasets.make_mfa(150, 6, 2, 1, random_state=0)
    X[::4, 3] = np.nan
    X[5] = np.nan
    mfa = MFA(2, 1, random_state=0, tol=0.1).fit(X)
    table = describe_components(mfa, X, labels=np.arange(150) % 2)
    named = np.array([*table["typical"].sum(), *table["outlying"].sum()])
    assert len(named) == 12 and not np.isnan(X[named]).any()
    assert table["size"].sum() == 150


def test_a_mixture_without_factors_has_no_ends() -> None:
    X, _ = datasets.make_mfa(60, 4, 2, 1, random_state=0)
    table = describe_components(MFA(2, 0, random_state=0).fit(X), X, tokens=["a"] * 60)
    assert "ends" not in table and table["factors_90"].tolist() == [0, 0] and (table["dimension"] > 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_rows": 0}, "n_rows=0"),
        ({"n_tokens": 0}, "n_tokens=0"),
        ({"groups": [1]}, "groups must hold one entry per row"),
        ({"n_contexts": 0}, "n_contexts=0"),
        ({"context": -1}, "context=-1"),
        ({"n_concepts": 0}, "n_concepts=0"),
        ({"groups": [1]}, "groups must hold one entry per row"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    mfa, X = in_texts()
    with pytest.raises(ValueError, match=message):
        describe_components(nothing_is_evaluated(mfa), X, **arguments)
