"""Columns of rows as columns of texts, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from mfa_sklearn.evaluation import _candidate
from mfa_sklearn.evaluation._labeled_texts import LabeledRows, averages, concept_means, greatest, labeled_texts


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> LabeledRows:
    """Texts whose rows are scattered over pieces; some rows, and all of text 3, without a label."""
    monkeypatch.setattr(_candidate, "_PIECE_BYTES", 8 * 4 * 7)
    rng = np.random.default_rng(0)
    groups = rng.integers(8, size=50)
    labels = np.array(["sea", "land", "air"])[groups % 3].astype(object)
    labels[rng.random(50) < 0.3] = None
    labels[groups == 3] = None
    return LabeledRows(rng.normal(size=(50, 4)), labels, groups)


def test_texts_and_their_concepts(rows: LabeledRows) -> None:
    texts, _, concepts = labeled_texts(rows, rows)
    expected = [g for g in range(8) if any(label is not None for label in rows.labels[rows.groups == g])]
    assert 3 not in expected
    assert texts.numbers.tolist() == expected
    assert concepts.tolist() == list(dict.fromkeys(label for label in rows.labels if label is not None))
    for number, text in enumerate(expected):
        assert (texts.of_rows[rows.groups == text] == number).all()
        assert set(concepts[texts.present[number]]) == set(rows.labels[rows.groups == text]) - {None}
    assert (texts.of_rows[rows.groups == 3] == -1).all()


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
def test_columns_of_texts(rows: LabeledRows, container) -> None:
    texts = labeled_texts(rows, rows)[0]
    columns = lambda part: container(np.hstack([part, part**2 - 1]))  # noqa: E731
    values = np.hstack([rows.X, rows.X**2 - 1])
    of = [values[rows.groups == text] for text in texts.numbers]
    np.testing.assert_array_equal(greatest(columns, rows.X, texts), [part.max(0) for part in of])
    found = averages(columns, rows.X, texts)
    assert sparse.issparse(found) == (container is sparse.csr_matrix)
    np.testing.assert_allclose(found.toarray() if sparse.issparse(found) else found, [part.mean(0) for part in of])


def test_no_columns(rows: LabeledRows) -> None:
    texts = labeled_texts(rows, rows)[0]
    assert greatest(lambda part: None, rows.X, texts) is None
    assert averages(lambda part: None, rows.X, texts) is None


def test_means_of_concepts_count_texts(rows: LabeledRows) -> None:
    texts, _, concepts = labeled_texts(rows, rows)
    for number, concept in enumerate(concepts):
        mine = [g for g in texts.numbers if concept in rows.labels[rows.groups == g]]
        expected = np.mean([rows.X[rows.groups == g].mean(0) for g in mine], axis=0)
        np.testing.assert_allclose(concept_means(rows.X, texts)[number], expected)


def test_a_concept_that_was_not_learned_is_not_tried() -> None:
    train = LabeledRows(np.zeros((4, 1)), ["a", "b", "a", "b"], [0, 1, 2, 3])
    test = LabeledRows(np.zeros((3, 1)), ["b", "c", None], ["x", "y", "z"])
    learned, tried, concepts = labeled_texts(train, test)
    assert concepts.tolist() == ["a", "b"]
    assert tried.numbers.tolist() == [0] and tried.present.tolist() == [[False, True]]
    assert learned.present.tolist() == [[True, False], [False, True]] * 2


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (["a", "a"], ["a", "b"], "training rows have 1 different labels"),
        ([None, None], ["a", "b"], "training rows have 0 different labels"),
        (["a", "b"], ["c", None], "no held-out row has a label that training rows have"),
    ],
)
def test_refusals(train: list, test: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        labeled_texts(*(LabeledRows(np.zeros((2, 1)), labels, [0, 1]) for labels in (train, test)))
