"""Sparse probing against scikit-learn's F statistic and its logistic regression on columns chosen by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from mfa_sklearn.evaluation import LabeledRows, sparse_probing
from mfa_sklearn.evaluation._candidate import Candidate
from mfa_sklearn.evaluation._probing import correlated_columns


class Codes(Candidate):
    """Codes that are the features, dense or sparse."""

    def codes(self, X):
        return (self.estimator or np.asarray)(np.asarray(X))


def rows(seed: int) -> LabeledRows:
    """Codes of two rows per text; concepts show in features of different scales, some of them by their absence."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(90), 2)
    concept = groups % 3
    X = np.maximum(rng.normal(size=(180, 8)), 0)
    X[:, 0] += 0.8 * (concept == 0)
    X[:, 1] *= 50 * (1 - 0.7 * (concept == 1))
    X[:, 2] += 0.6 * (concept == 2)
    X[:, 3] += 0.4 * (concept == 2)
    return LabeledRows(X, concept, groups)


@pytest.mark.parametrize("container", [None, sparse.csr_matrix])
def test_probing_by_hand(container) -> None:
    train, test = rows(0), rows(1)
    found = sparse_probing(Codes(container), train, test, n_columns=(2, 1, 20))
    assert found.columns.shape == (3, 8) and list(found.auroc) == [1, 2, 20]
    pooled = [np.stack([part.X[part.groups == text].mean(0) for text in range(90)]) for part in (train, test)]
    scaler = StandardScaler().fit(pooled[0])
    learned, asked = (scaler.transform(part) for part in pooled)
    for c in range(3):
        present = np.arange(90) % 3 == c
        order = np.argsort(-f_classif(learned, present)[0])
        assert found.columns[c].tolist() == order.tolist()
        for count in (1, 2, 20):
            probe = LogisticRegression(class_weight="balanced").fit(learned[:, order[:count]], present)
            expected = roc_auc_score(present, probe.decision_function(asked[:, order[:count]]))
            assert found.auroc[count][c] == pytest.approx(expected)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
def test_constant_columns_come_last(container) -> None:
    rng = np.random.default_rng(0)
    codes = np.hstack([np.full((30, 1), 1e6) + 0.1, np.zeros((30, 1)), rng.normal(size=(30, 2))])
    found = correlated_columns(container(codes), (np.arange(30) % 2 == 0)[:, None], 4)
    assert set(found[0, :2]) == {2, 3}


def test_a_concept_of_all_training_texts_is_not_probed() -> None:
    """Where texts have several concepts, one may be in all of them."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    labels = np.tile(["everywhere", "odd", "everywhere", "even"], 10)
    part = LabeledRows(X, labels, np.arange(40) // 2)
    found = sparse_probing(Codes(None), part, part, n_columns=[1])
    assert np.isnan(found.auroc[1][found.concepts == "everywhere"]).all()
    assert np.isfinite(found.auroc[1][found.concepts != "everywhere"]).all()


def test_a_candidate_without_codes() -> None:
    assert sparse_probing(Candidate(None), rows(0), rows(1)) is None


def test_refusals() -> None:
    with pytest.raises(ValueError, match="n_columns=0 must be at least 1"):
        sparse_probing(Codes(None), rows(0), rows(1), n_columns=[1, 0])
    with pytest.raises(ValueError, match=r"n_columns=\[\] names no number"):
        sparse_probing(Codes(None), rows(0), rows(1), n_columns=[])
