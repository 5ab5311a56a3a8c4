"""Arrays that know facts of their rows: what is kept by which operation."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pytest
from activation_cases import four_rows
from sklearn.decomposition import PCA

from mfa_sklearn._base.annotated import annotate, shared_fact
from mfa_sklearn.activations import ActivationArray


@pytest.fixture(name="X")
def activations():
    return four_rows()


SELECTIONS = [
    slice(1, 3),
    slice(None, None, -1),
    [2, 0],
    np.array([True, False, False, True]),
    (np.array([3, 3]), slice(None)),
    (slice(2), Ellipsis),
    slice(0, 0),
]


@pytest.mark.parametrize("key", SELECTIONS, ids=str)
def test_selected_rows_keep_their_facts(X, key):
    rows = np.arange(4)[key[0] if isinstance(key, tuple) else key]
    picked = X[key]
    assert isinstance(picked, ActivationArray)
    np.testing.assert_array_equal(np.asarray(picked), np.asarray(X)[rows])
    for name in ("token_ids", "tokens", "text_index", "positions", "labels"):
        np.testing.assert_array_equal(getattr(picked, name), getattr(X, name)[rows])
    assert picked.texts == X.texts and picked.source == {"layer": 4}


PLAIN = {
    "arithmetic": lambda X: X * 2,
    "columns": lambda X: X[:, :2],
    "column": lambda X: X[:, 1],
    "row": lambda X: X[1],
    "mean": lambda X: X.mean(axis=0),
    "function": lambda X: np.concatenate([X, X]),
    "transposed": lambda X: np.transpose(X) + 0,
    "fitted": lambda X: PCA(2).fit_transform(X),
}


@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN.keys())
def test_all_else_is_a_plain_array(X, make):
    assert type(make(X)) is np.ndarray


@pytest.mark.parametrize("pass_on", [lambda X, _: pickle.loads(pickle.dumps(X)), lambda X, p: _dumped(X, p)])
def test_facts_survive_storage(X, tmp_path, pass_on):
    again = pass_on(X, tmp_path / "array.joblib")
    assert isinstance(again, ActivationArray)
    assert again.tokens.tolist() == X.tokens.tolist() and again.texts == X.texts
    assert joblib.hash(again) == joblib.hash(X)


def _dumped(X, path):
    joblib.dump(X, path)
    return joblib.load(path)


def test_annotating_keeps_the_kind(X):
    annotated = annotate(X, cluster_centers=np.eye(3))
    assert isinstance(annotated, ActivationArray) and annotated.tokens is not None
    assert shared_fact(annotated[:1], "cluster_centers").shape == (3, 3)


def test_a_fact_has_one_entry_per_row():
    with pytest.raises(ValueError, match=r"row fact 'tokens' has 1 entries for 2 rows"):
        ActivationArray(np.eye(2), rows={"tokens": ["a"]})
