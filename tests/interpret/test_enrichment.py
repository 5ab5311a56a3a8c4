"""The table of enrichment for regions of any kind, and that it is the one of a mixture's components."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from interpret_fixtures import annotated, mixture

from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.interpret import concept_components, concept_enrichment, top_concepts

COLUMNS = ["label", "count", "size", "share", "base_rate", "lift", "llr", "groups", "reached", "p_value", "q_value"]


def in_texts(n: int = 300) -> tuple[Any, AnnotatedArray]:
    mfa = mixture(3.0)
    X = annotated(mfa, n)
    texts = np.arange(n) // 4
    labels = np.where(texts % 5, X.rows["labels"][texts * 4 % n], None)
    return mfa, AnnotatedArray(np.asarray(X), rows={**X.rows, "text_index": texts, "labels": labels})


def test_it_is_the_table_of_a_mixtures_components() -> None:
    mfa, X = in_texts()
    assigned = mfa.log_joint(X).argmax(1)
    table = concept_enrichment(assigned, X.rows["labels"], X.rows["text_index"])
    assert list(table) == ["region", *COLUMNS]
    expected = table[table["llr"] > 0].rename(columns={"region": "component"})
    found = top_concepts(mfa, X, n_concepts=None)
    both = [
        t.sort_values(["component", "label"], ignore_index=True)[["component", *COLUMNS]] for t in (found, expected)
    ]
    pd.testing.assert_frame_equal(*both, check_dtype=False)
    best = concept_components(mfa, X)
    for label, line in best.iterrows():
        own = table[(table["label"] == label) & (table["region"] == line["component"])].iloc[0]
        assert line["q_value"] == own["q_value"] and line["groups"] == own["groups"]


def test_groups_given_come_before_texts() -> None:
    mfa, X = in_texts()
    alone = top_concepts(mfa, X, groups=np.arange(len(X)), n_concepts=None)
    assert (alone["groups"] == alone["count"]).all() and (alone["reached"] == alone["size"]).all()
    assert alone.equals(top_concepts(mfa, np.asarray(X), X.rows["labels"], n_concepts=None))
    named = [f"text {text}" for text in X.rows["text_index"]]
    assert top_concepts(mfa, np.asarray(X), X.rows["labels"], groups=named).equals(top_concepts(mfa, X))
    assert (top_concepts(mfa, X, n_concepts=None)["reached"] < alone["reached"]).any()


def test_q_values_do_not_depend_on_what_is_listed() -> None:
    mfa, X = in_texts()
    every = top_concepts(mfa, X, n_concepts=None)
    few = top_concepts(mfa, X, n_concepts=1, components=2)
    whole = every[(every["component"] == 2) & (every["rank"] == 1)]
    assert few["q_value"].tolist() == whole["q_value"].tolist()
    soft = top_concepts(mfa, X, n_concepts=None, counts="soft").merge(every, on=["component", "label"])
    assert (soft["q_value_x"] == soft["q_value_y"]).all()


def test_names_of_regions_order_and_missing_labels() -> None:
    regions = ["b", "a", "b", "a", "c"]
    table = concept_enrichment(regions, ["x", "y", "x", "y", None])
    assert table["region"].tolist() == ["a", "a", "b", "b"] and table["label"].tolist() == ["y", "x", "x", "y"]
    assert table["p_value"].tolist() == pytest.approx([1 / 6, 1, 1 / 6, 1])


def test_every_region_is_listed_also_where_no_row_of_it_speaks() -> None:
    table = concept_enrichment(np.arange(8), ["x", "y"] * 4, groups=np.zeros(8, dtype=int))
    assert len(table) == 16 and (table["reached"].sum(), table["groups"].sum()) == (2, 1)
    assert (table["p_value"] == 1).all() and (table["q_value"] == 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], ["a"]), r"labels must hold one entry per row"),
        (([0, 1], ["a", "b"], [1]), r"groups must hold one entry per row: got shape \(1,\)"),
        (([0, 1], ["a", "b"], ["t", None]), r"groups\[1\] is missing"),
        (([0, None], ["a", "b"]), r"regions\[1\] is missing"),
        (([0, 1], [None, None]), "all 2 entries are missing"),
        (([[0, 1]], ["a"]), "regions must hold one entry per row"),
    ],
)
def test_bad_arguments(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        concept_enrichment(*arguments)
    mfa, X = in_texts(8)
    mfa.iter_log_joint = None
    with pytest.raises(ValueError, match=r"groups must hold one entry per row"):
        top_concepts(mfa, X, groups=[1])
