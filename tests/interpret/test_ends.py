"""Ends of factors against `project`, sorted and counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from interpret_fixtures import annotated, mixture

from mfa_sklearn import MFA, datasets, factor_ends, project
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.interpret._ends import tail_rows


def in_texts(n: int = 240, spread: float = 3.0) -> tuple[Any, AnnotatedArray]:
    mfa = mixture(spread)
    X = annotated(mfa, n)
    return mfa, AnnotatedArray(np.asarray(X), rows={**X.rows, "text_index": np.arange(n) // 6})


@pytest.mark.parametrize("axes", ["principal", "factors"])
def test_rows_at_the_ends_are_the_outermost_of_project(axes: str) -> None:
    mfa, X = in_texts()
    table = factor_ends(mfa, X, axes=axes, fraction=0.2, n_rows=4).set_index(["component", "factor", "end"])
    for k in range(4):
        shown = project(mfa, X, k, axes=axes)
        size = min(max(int(np.ceil(0.2 * len(shown))), 4), len(shown) // 2)
        energy = np.square(shown.directions).sum(0)
        for axis, places in enumerate(shown.coordinates.T):
            order = places.argsort(kind="stable")
            for end, places_there in (("low", order), ("high", order[::-1])):
                line = table.loc[(k, axis, end)]
                outermost = places[places_there[:4]]
                own = places[np.searchsorted(shown.rows, line["rows"])]
                np.testing.assert_allclose(own, outermost, atol=1e-5)  # rows drawn twice may change places
                assert line["size"] == size and line["share"] == pytest.approx(energy[axis] / energy.sum())
    assert len(table) == 16 and list(table) == ["share", "size", "tokens", "concepts", "rows", "contexts"]


def test_a_factor_that_tells_tokens_apart() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(600, 1))
    X = z * [6, 5, 4, 3] + rng.normal(size=(600, 4))
    tokens = np.where(z[:, 0] < -1, " cold", np.where(z[:, 0] > 1, " hot", " mild"))
    mfa = MFA(1, 1, random_state=0).fit(X)
    labels = np.where(z[:, 0] > 0, "summer", None)
    table = factor_ends(mfa, X, tokens, labels)
    low_is_cold = project(mfa, X, 0, axes="principal").coordinates[:, 0] @ z[:, 0] > 0
    assert table["tokens"].tolist() == (["cold", "hot"] if low_is_cold else ["hot", "cold"])
    assert table["concepts"].tolist() == ["", ""]  # one label alone tells no labeled rows apart
    assert "contexts" not in table and table["size"].tolist() == [60, 60]
    stopped = factor_ends(mfa, X, tokens, stop_tokens=["HOT"])
    assert "hot" not in set(stopped["tokens"]) and "cold" in set(stopped["tokens"])


def test_a_table_has_rows_only() -> None:
    mfa, X = in_texts()
    table = factor_ends(mfa, np.asarray(X))
    assert list(table) == ["component", "factor", "end", "share", "size", "rows"]
    assert table["end"].tolist() == ["low", "high"] * 8
    frame = pd.DataFrame(np.asarray(X))
    assert factor_ends(mfa, frame, context=0).equals(table)
    assert factor_ends(mfa, X, context=0).drop(columns=["tokens", "concepts"]).equals(table)


def test_components_are_chosen_and_contexts_marked() -> None:
    mfa, X = in_texts()
    some = factor_ends(mfa, X, components=[3, 1], n_rows=2)
    whole = factor_ends(mfa, X, n_rows=2)
    assert some.equals(whole[whole["component"].isin([1, 3])].reset_index(drop=True))
    for line in some.itertuples():
        assert len(line.contexts) == len(line.rows) == 2 and all(text.count("«") == 1 for text in line.contexts)


def test_without_factors_rows_or_two_of_them_there_is_nothing() -> None:
    X, _ = datasets.make_mfa(60, 4, 2, 1, random_state=0)
    nothing = factor_ends(MFA(2, 0, random_state=0).fit(X), X)
    assert not len(nothing) and list(nothing) == ["component", "factor", "end", "share", "size", "rows"]
    lone = MFA.from_params([0.5, 0.5], [[0.0, 0], [90, 90]], np.ones((2, 2, 1)), [1.0, 1.0])
    table = factor_ends(lone, np.array([[0.0, 0], [1, 1], [2, 2], [90, 90]]))
    assert table["component"].tolist() == [0, 0] and table["rows"].tolist() == [(0,), (2,)]


def test_missing_values_and_one_component() -> None:
    X, _ = datasets.make_mfa(120, 6, 1, 2, random_state=0)
    X[::5, 2] = np.nan
    mfa = MFA(1, 2, random_state=0, tol=0.1).fit(X)
    table, shown = factor_ends(mfa, X), project(mfa, X, 0, axes="principal")
    for axis in range(2):
        order = shown.coordinates[:, axis].argsort()
        low, high = table[table["factor"] == axis]["rows"]
        assert low == tuple(order[:3]) and high == tuple(order[::-1][:3])


def test_ends_never_share_a_row() -> None:
    components, places = np.zeros(5, dtype=int), np.array([1.0, 1, 1, 1, np.nan])
    low, high = tail_rows(components, places, 2, 0.5, 3)
    assert low.tolist() == [0, 1] and high.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fraction": 0.6}, r"fraction=0.6 .*\(0, 0.5\]"),
        ({"fraction": "a tenth"}, r"fraction='a tenth' .*\(0, 0.5\]"),
        ({"fraction": 0}, "fraction=0 "),
        ({"n_rows": 0}, "n_rows=0"),
        ({"n_tokens": 0}, "n_tokens=0"),
        ({"context": -1}, "context=-1"),
        ({"axes": "pca"}, "axes='pca'"),
        ({"components": 4}, "component=4 is out of range"),
        ({"tokens": ["a"]}, "tokens must hold one entry per row"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    mfa, X = in_texts(30)
    mfa.iter_log_joint = None
    with pytest.raises(ValueError, match=message):
        factor_ends(mfa, X, **arguments)
