"""ActivationArray: what is kept by which operation, and the way to pandas."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pytest
from sklearn.decomposition import PCA

from mfa_sklearn._base.annotated import annotate, shared_fact
from mfa_sklearn.activations import ActivationArray


@pytest.fixture(name="X")
def activations():
    return ActivationArray(
        np.arange(12, dtype=np.float32).reshape(4, 3),
        rows={
            "token_ids": np.array([5, 6, 5, 7]),
            "tokens": np.array(["The", " cat", "The", " dog"]),
            "text_index": np.array([0, 0, 1, 1]),
            "positions": np.array([1, 2, 1, 2]),
            "labels": np.array(["pets", "pets", "dogs", "dogs"]),
        },
        shared={"texts": ("The cat", "The dog"), "source": {"layer": 4}},
    )


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


def test_facts_that_are_not_there_are_none():
    X = ActivationArray(np.eye(2))
    names = ("token_ids", "tokens", "text_index", "positions", "labels", "starts", "ends", "texts", "source")
    assert all(getattr(X, name) is None for name in names)


def test_a_fact_has_one_entry_per_row():
    with pytest.raises(ValueError, match=r"row fact 'tokens' has 1 entries for 2 rows"):
        ActivationArray(np.eye(2), rows={"tokens": ["a"]})


def test_frame_has_the_facts_as_index(X):
    frame = X.to_frame()
    assert frame.index.names == ["text_index", "position", "token", "token_id", "label"]
    assert frame.loc[(1, 2, " dog")].to_numpy().ravel().tolist() == [9, 10, 11]
    means = frame.groupby("label").mean()
    np.testing.assert_allclose(means.loc["pets"], [1.5, 2.5, 3.5])
    assert frame.dtypes.eq(np.float32).all()


def test_frame_of_few_facts():
    one = ActivationArray(np.eye(2), rows={"labels": ["a", "b"]}).to_frame()
    assert one.index.name == "label" and one.index.tolist() == ["a", "b"]
    none = ActivationArray(np.eye(2)).to_frame()
    assert none.index.tolist() == [0, 1]
    own = ActivationArray(np.eye(2), rows={"weight": [1, 2], "tokens": ["a", "b"]}).to_frame()
    assert own.index.names == ["token", "weight"]
