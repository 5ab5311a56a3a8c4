"""ActivationArray: facts by name, and the way to pandas."""

from __future__ import annotations

import numpy as np
import pytest
from activation_cases import four_rows

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import shared_fact
from mfa_sklearn.activations import ActivationArray


@pytest.fixture(name="X")
def activations():
    return four_rows()


def test_facts_that_are_not_there_are_none():
    X = ActivationArray(np.eye(2))
    names = ("token_ids", "tokens", "text_index", "positions", "labels", "starts", "ends", "texts", "source")
    assert all(getattr(X, name) is None for name in names)


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


def test_a_frame_keeps_the_source(X):
    frame = X.to_frame()
    frame.columns = [f"x{i}" for i in range(frame.shape[1])]
    assert shared_fact(frame, "source") == X.source and shared_fact(frame[:2], "source") is None
    rows = ActivationArray(np.random.default_rng(0).normal(size=(20, 3)), shared=X.shared)
    assert MFA(1, 1, tol=0, max_iter=1).fit(rows.to_frame()).source_ == X.source


def test_a_picture_of_the_rows_names_what_they_are():
    X = ActivationArray(
        np.arange(80.0).reshape(20, 4),
        rows={"tokens": [f" tok{i}" for i in range(20)], "labels": ["a" * 40] * 20, "positions": np.arange(20)},
        shared={"source": {"model": "gpt2", "layer": 4, "site": "residual", "pooling": None}},
    )
    shown = repr(X).splitlines()
    assert shown[:5] == [
        "ActivationArray of 20 rows x 4 (float64)",
        "  layer=4, site='residual', model='gpt2'",
        "  tokens: ' tok0', ' tok1', ' tok2', ' tok3', ' tok4', ' tok5', …",
        f"  labels: {', '.join([repr('a' * 40)[:18] + chr(8230) + chr(39)] * 6)}, …",
        "  with positions",
    ]
    assert "76." in shown[-1] and len(shown) < 12
    assert repr(X[:1]).startswith("ActivationArray of 1 row x 4") and repr(X[:0]).startswith(
        "ActivationArray of 0 rows"
    )
    assert str(X) == str(np.asarray(X)) and repr(X + 1) == repr(np.asarray(X) + 1)
    assert repr(ActivationArray(np.eye(2))) == "ActivationArray([[1., 0.],\n                 [0., 1.]])"
