"""Detection against scikit-learn's AUROC, column by column and concept by concept."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import roc_auc_score

from mfa_sklearn.evaluation import LabeledRows, as_candidate, concept_detection
from mfa_sklearn.evaluation._candidate import Candidate
from mfa_sklearn.evaluation._detection import aurocs, nearest_concepts, over_concepts, scored, weighted_auroc


def problem(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and concepts of which a text may have several."""
    rng = np.random.default_rng(seed)
    return rng.integers(5, size=(40, 6)).astype(float), rng.random((40, 4)) < 0.3


def test_aurocs_of_all_columns() -> None:
    scores, present = problem()
    expected = [[roc_auc_score(present[:, c], scores[:, j]) for j in range(6)] for c in range(4)]
    np.testing.assert_allclose(aurocs(scores, present), expected)
    present[:, 1], present[:, 2] = True, False
    np.testing.assert_array_equal(aurocs(scores, present)[[1, 2]], 0.5)


def test_weighted_auroc() -> None:
    scores, present = problem()
    weights = np.random.default_rng(1).integers(0, 3, size=(3, 40)).astype(float)
    expected = [roc_auc_score(present[:, 0], scores[:, 0], sample_weight=w) for w in weights]
    np.testing.assert_allclose(weighted_auroc(scores[:, 0], present[:, 0], weights), expected)


def test_no_auroc_without_both_sides() -> None:
    weights = np.array([[1.0, 1.0], [1.0, 0.0]])
    found = weighted_auroc(np.array([0.0, 1.0]), np.array([False, True]), weights)
    assert found[0] == 1 and np.isnan(found[1])
    assert np.isnan(weighted_auroc(np.empty(0), np.empty(0, dtype=bool), np.empty((2, 0)))).all()


def test_infinite_scores_are_ordered_as_well() -> None:
    scores, positive = np.array([-np.inf, -np.inf, 0.0, np.inf]), np.array([False, True, False, True])
    assert weighted_auroc(scores, positive, np.ones((1, 4)))[0] == (0.5 + 0 + 1 + 1) / 4


def test_hard_negatives_are_texts_of_the_nearest_concepts() -> None:
    means = np.array([[0.0], [1.0], [3.0], [3.5]])
    near = nearest_concepts(means, 1)
    assert near.argmax(1).tolist() == [1, 0, 3, 2] and near.sum() == 4
    assert nearest_concepts(means, 9).sum() == 12
    scores, present = problem()
    found = scored(scores[:, :4], present, np.ones((1, 40)), near)[0]
    for c, other in enumerate([1, 0, 3, 2]):
        taken = present[:, c] | present[:, other]
        assert found[c] == pytest.approx(roc_auc_score(present[taken, c], scores[taken, c]))


def test_means_are_over_the_concepts_that_have_a_figure() -> None:
    found = over_concepts(np.array([[1.0, np.nan, 0.5], [np.nan] * 3]))
    assert found[0] == 0.75 and np.isnan(found[1])


class Columns(Candidate):
    """Detectors that are the features."""

    def detectors(self, X):
        return np.asarray(X)


def rows(seed: int) -> LabeledRows:
    """Three concepts; one row in three of a text is shifted along its concept's feature, beside two of noise."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(60), 3)
    concept, X = groups % 3, rng.normal(size=(180, 5))
    shifted = np.arange(180)[::3]
    X[shifted, concept[shifted]] += 2.5
    return LabeledRows(X, np.array(["sea", "land", "air"])[concept], groups)


def test_detection_by_hand() -> None:
    train, test = rows(0), rows(1)
    found = concept_detection(Columns(None), train, test, n_hard=1)
    assert (found.concepts.tolist(), found.columns.tolist()) == (["sea", "land", "air"], [0, 1, 2])
    greatest = np.stack([test.X[test.groups == text].max(0) for text in range(60)])
    means = np.stack([train.X[train.groups % 3 == c].mean(0) for c in range(3)])
    for c in range(3):
        present = np.arange(60) % 3 == c
        assert found.auroc[c] == pytest.approx(roc_auc_score(present, greatest[:, c]))
        distance = np.square(means - means[c]).sum(1)
        distance[c] = np.inf
        taken = present | (np.arange(60) % 3 == distance.argmin())
        assert found.hard_auroc[c] == pytest.approx(roc_auc_score(present[taken], greatest[taken, c]))
    assert (found.auroc > 0.8).all()


def test_columns_that_were_found_in_another_way() -> None:
    train, test = rows(0), rows(1)
    free = concept_detection(Columns(None), train, test)
    found = concept_detection(Columns(None), train, test, columns={"air": 4, "land": 1})
    assert found.columns.tolist() == [free.columns[0], 1, 4]
    greatest = np.array([test.X[test.groups == text, 4].max() for text in range(60)])
    assert found.auroc[2] == pytest.approx(roc_auc_score(np.arange(60) % 3 == 2, greatest))
    assert (found.auroc[:2], found.hard_auroc[:2]) == (
        pytest.approx(free.auroc[:2]),
        pytest.approx(free.hard_auroc[:2]),
    )
    with pytest.raises(ValueError, match="columns names 'fire', but no training row has that label"):
        concept_detection(Columns(None), train, test, columns={"fire": 0})
    with pytest.raises(ValueError, match="columns gives 'sea' the detector 5, but there are 5"):
        concept_detection(Columns(None), train, test, columns={"sea": 5})


def test_held_out_texts_choose_no_column() -> None:
    """With columns of noise the best of many on the training texts is at chance on others."""
    rng = np.random.default_rng(0)
    noise = [LabeledRows(rng.normal(size=(200, 300)), np.arange(200) % 2, np.arange(200)) for _ in range(2)]
    found = concept_detection(Columns(None), *noise)
    assert aurocs(noise[0].X, np.eye(2, dtype=bool)[noise[0].labels]).max() > 0.6
    assert np.abs(found.auroc - 0.5).max() < 0.12  # three standard deviations


def test_a_candidate_without_detectors() -> None:
    assert concept_detection(Candidate(None), rows(0), rows(1)) is None
    one = as_candidate(KMeans(1, n_init=1).fit(rows(0).X))
    assert concept_detection(one, rows(0), rows(1)) is None


def test_refusals() -> None:
    with pytest.raises(ValueError, match="n_hard=0 must be at least 1"):
        concept_detection(Columns(None), rows(0), rows(1), n_hard=0)
