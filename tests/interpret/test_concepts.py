"""`top_concepts` and `concept_components` against plain loops and scipy's contingency tables."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
import pytest
from interpret_fixtures import LABELS, ExactMixture, annotated, mixture, scores_by_loop
from scipy.stats import chi2_contingency

from mfa_sklearn._base.annotated import AnnotatedArray, row_fact
from mfa_sklearn.interpret import concept_components, top_concepts


def counts_by_loop(mfa: ExactMixture, X: np.ndarray, labels: Any, counts: str) -> tuple[np.ndarray, list]:
    """How many rows of each label each component has, and the labels in order."""
    posterior = scores_by_loop(mfa, X, "posterior")
    names = sorted({label for label in labels if label is not None})
    table = np.zeros((posterior.shape[1], len(names)))
    for i, label in enumerate(labels):
        for k in range(posterior.shape[1]):
            share = posterior[i, k] if counts == "soft" else float(posterior[i].argmax() == k)
            if label is not None and share >= 1e-6:
                table[k, names.index(label)] += share
    return table, names


def signed_llr(table: np.ndarray, k: int, j: int) -> float:
    """Scipy's G statistic of component k against label j, negative where the label is rarer than expected."""
    count, size, frequency, n = table[k, j], table[k].sum(), table[:, j].sum(), table.sum()
    cells = np.array([[count, size - count], [frequency - count, n - size - frequency + count]])
    if 0 in (size, frequency, n - size, n - frequency):
        return 0.0
    g = chi2_contingency(cells, correction=False, lambda_="log-likelihood").statistic
    return float(np.sign(count - size * frequency / n) * g)


@pytest.mark.parametrize("counts", ["hard", "soft"])
@pytest.mark.parametrize("spread", [0.5, 3.0, 30.0])
@pytest.mark.parametrize("missing", [False, True])
def test_equals_loops(counts: str, spread: float, missing: bool) -> None:
    mfa = mixture(spread)
    X = annotated(mfa, 300)
    labels = X.rows["labels"].astype(object)
    if missing:
        labels[::7] = None
    table = top_concepts(mfa, X, labels, n_concepts=None, counts=counts)
    expected, names = counts_by_loop(mfa, X, labels, counts)
    llr = np.array([[signed_llr(expected, k, j) for j in range(len(names))] for k in range(len(expected))])
    assert len(table) == (llr > 0).sum()
    for line in table.itertuples():
        k, j = line.component, names.index(line.label)
        size, frequency = expected[k].sum(), expected[:, j].sum()
        assert line.count == pytest.approx(expected[k, j])
        assert line.size == pytest.approx(size)
        assert line.share == pytest.approx(expected[k, j] / size)
        assert line.base_rate == pytest.approx(frequency / expected.sum())
        assert line.lift == pytest.approx(expected[k, j] / size / frequency * expected.sum())
        assert line.llr == pytest.approx(llr[k, j], rel=1e-6, abs=1e-6)
        assert line.rank == 1 + (llr[k] > llr[k, j]).sum()
    best = concept_components(mfa, X, labels, counts=counts)
    assert best.index.tolist() == [name for j, name in enumerate(names) if llr[:, j].max() > 0]
    assert best["component"].tolist() == [llr[:, names.index(name)].argmax() for name in best.index]


def test_hard_counts_are_integers_and_partition_the_rows() -> None:
    mfa = mixture()
    X = annotated(mfa, 300)
    table = top_concepts(mfa, X, np.arange(300))
    assert table["count"].dtype == table["size"].dtype == int
    assert table.groupby("component")["size"].first().sum() == 300


def test_n_concepts_and_components() -> None:
    mfa = mixture(1.0)
    X = annotated(mfa, 300)
    every = top_concepts(mfa, X, n_concepts=None)
    first = top_concepts(mfa, X, n_concepts=1)
    assert first.equals(every[every["rank"] == 1].reset_index(drop=True))
    some = top_concepts(mfa, X, n_concepts=None, components=[3, 1])
    assert some.equals(every[every["component"].isin([1, 3])].reset_index(drop=True))


@pytest.mark.parametrize(
    "labels", [[2, 0, 1] * 50, [True, False, True] * 50, [1.5, np.nan, 0.5] * 50, ["b", None, "a"] * 50]
)
def test_labels_of_any_type(labels: list) -> None:
    mfa = mixture()
    table = top_concepts(mfa, np.asarray(annotated(mfa)), labels, n_concepts=None)
    known = [label for label in labels if label is not None and label == label]
    assert set(table["label"]) <= set(known)
    assert table.groupby("component")["size"].first().sum() <= len(known)


def test_a_concept_goes_to_the_component_that_holds_it_not_to_one_stray_row() -> None:
    """Component 0 has 60 of 80 rows of "river", component 1 a single row, also of "river": its lift is larger."""
    mfa = mixture(n_components=2)
    mfa.log_joint = lambda X: -np.square(np.arange(2) - np.asarray(X)[:, :1])  # type: ignore[method-assign]
    component = np.array([0] * 80 + [1])
    X = AnnotatedArray(
        np.repeat(component[:, None], 5, axis=1), rows={"labels": ["river"] * 60 + ["money"] * 20 + ["river"]}
    )
    mfa3 = mixture(n_components=3)
    mfa3.log_joint = lambda X: -np.square(np.arange(3) - np.asarray(X)[:, :1])  # type: ignore[method-assign]
    more = np.concatenate([X, np.full((100, 5), 2)])
    labels = [*X.rows["labels"], *["music"] * 100]
    table = top_concepts(mfa3, more, labels, n_concepts=None).set_index(["component", "label"])
    assert table.loc[(1, "river"), "lift"] > table.loc[(0, "river"), "lift"]
    best = concept_components(mfa3, more, labels)
    assert best["component"].to_dict() == {"money": 0, "music": 2, "river": 0}


def test_one_component_over_represents_nothing() -> None:
    mfa = mixture(n_components=1)
    X = annotated(mfa)
    assert len(top_concepts(mfa, X)) == 0
    assert len(concept_components(mfa, X)) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": ["a"]}, r"labels.*\(1,\) for 150 rows"),
        ({"labels": [None] * 150}, "all 150 entries are missing"),
        ({"n_concepts": 0}, "n_concepts=0"),
        ({"counts": "fuzzy"}, "counts='fuzzy'"),
        ({"components": 9}, "component=9 is out of range"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    mfa = mixture()
    X = annotated(mfa)
    assert set(X.rows["labels"]) == set(LABELS)
    mfa.iter_log_joint = None  # type: ignore[assignment, method-assign]
    with pytest.raises(ValueError, match=message):
        top_concepts(mfa, X, **arguments)


def test_no_labels() -> None:
    mfa = mixture()
    with pytest.raises(ValueError, match=r"needs labels.*labeled texts"):
        top_concepts(mfa, np.zeros((3, 5)))


FORMS = {
    "None": None,
    "NaN": float("nan"),
    "pandas.NA": pd.NA,
    "NaT": np.datetime64("NaT"),
    "empty": "",
    "blank": " ",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_label_of_any_form_is_no_concept(form: str) -> None:
    mfa = mixture(9.0)
    X = annotated(mfa)
    given = X.rows["labels"].tolist()
    given[::3] = [FORMS[form]] * len(given[::3])
    none = [None if i % 3 == 0 else label for i, label in enumerate(X.rows["labels"].tolist())]
    carried = AnnotatedArray(np.asarray(X), rows={"labels": given})
    for table in (top_concepts, concept_components):
        expected = table(mfa, X, none)
        assert table(mfa, X, given).equals(expected) and table(mfa, carried).equals(expected)
        assert table(mfa, X, pd.Series(given, index=range(len(given), 0, -1))).equals(expected)
    assert set(top_concepts(mfa, X, given)["label"]) <= set(LABELS)


def test_masked_labels_are_missing() -> None:
    mfa = mixture(9.0)
    X = annotated(mfa)
    mask = np.arange(len(X)) % 3 == 0
    expected = top_concepts(mfa, X, np.where(mask, None, X.rows["labels"].astype(object)))
    assert top_concepts(mfa, X, np.ma.array(X.rows["labels"], mask=mask)).equals(expected)


def test_labels_of_two_dimensions_are_refused() -> None:
    mfa = mixture()
    X = annotated(mfa)
    for labels in (np.eye(len(X)), [["a"]] * len(X)):
        with pytest.raises(ValueError, match=r"labels have shape \(150, "):
            top_concepts(mfa, X, labels)
    with pytest.raises(ValueError, match=r"labels must hold one entry per row: got shape \(150, 150\)"):
        top_concepts(mfa, AnnotatedArray(np.asarray(X), rows={"labels": np.eye(len(X))}))


def test_labels_with_half_a_surrogate_pair_are_refused() -> None:
    mfa = mixture(9.0)
    X = annotated(mfa)
    for labels in (["a", None, "b\ud83d"] * 50, np.array(["a", "c", "b\ud83d"] * 50)):
        for given in ((X, labels), (AnnotatedArray(np.asarray(X), rows={"labels": np.array(labels)}),)):
            with pytest.raises(
                ValueError, match=r"labels\[2\] holds half of a surrogate pair, '\\ud83d', at character 1"
            ):
                top_concepts(mfa, *given)


def test_labels_without_an_order_and_in_half_precision() -> None:
    mfa = mixture()
    X = annotated(mfa)
    names = [str(label) for label in row_fact(X, "labels")]
    members = Enum("members", {name: i for i, name in enumerate(sorted(set(names)))})
    expected = concept_components(mfa, X, names)
    found = concept_components(mfa, X, [members[name] for name in names])
    assert [label.name for label in found.index] == expected.index.tolist()
    assert found["component"].tolist() == expected["component"].tolist()
    halves = np.array([members[name].value for name in names], dtype=np.float16)
    assert concept_components(mfa, X, halves)["component"].tolist() == expected["component"].tolist()
