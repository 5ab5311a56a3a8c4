"""What stands at the ends of axes: tokens, texts, or columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfa_sklearn import MFA, ActivationArray, factor_ends
from mfa_sklearn.atlas._axis_ends import Ends
from mfa_sklearn.atlas._gathered import Gathered, Options


@pytest.fixture(scope="module")
def mfa() -> MFA:
    """One component along x + y, and twice as far along z."""
    loadings = np.array([[[0.0, 1], [0, 1], [3, 0], [0, 0]]])
    return MFA.from_params(np.ones(1), np.zeros((1, 4)), loadings, np.full(4, 0.01))


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    z = np.random.default_rng(0).normal(size=(200, 2))
    return np.column_stack([z[:, 1], z[:, 1], 3 * z[:, 0], np.zeros(200)])


def ends_of(mfa: MFA, X: Any, tokens: Any = None) -> list[Any]:
    gathered = Gathered(mfa, X, tokens, None, Options())
    gathered.gather(lambda _: None)
    return Ends(gathered).of(0)


def test_tokens_are_those_of_the_table(mfa: MFA, rows: np.ndarray) -> None:
    tokens = np.where(rows[:, 2] < -3, " low", np.where(rows[:, 2] > 3, " high", " middle"))
    found = ends_of(mfa, rows, tokens)
    table = factor_ends(mfa, rows, tokens, n_tokens=6)
    assert [(end.axis, end.share) for end in found] == [(0, pytest.approx(9 / 11)), (1, pytest.approx(2 / 11))]
    told = [" · ".join(name.strip() for name in names) for end in found for names in (end.low, end.high)]
    assert told == table["tokens"].tolist()
    assert {*found[0].low, *found[0].high} == {" low", " high"}


def test_columns_that_change_along_an_axis(mfa: MFA, rows: np.ndarray) -> None:
    first, second = ends_of(mfa, rows)
    assert {tuple(first.low), tuple(first.high)} == {("−x2",), ("+x2",)}
    assert {tuple(second.low), tuple(second.high)} == {("−x0", "−x1"), ("+x0", "+x1")}


def test_the_outermost_texts(mfa: MFA, rows: np.ndarray) -> None:
    texts = [f"{row} {'word ' * 30}" for row in range(len(rows))]
    pooled = ActivationArray(rows, rows={"text_index": np.arange(len(rows))}, shared={"texts": texts})
    first = ends_of(mfa, pooled)[0]
    order = np.argsort(rows[:, 2])
    outermost = [{int(text.split()[0]) for text in end} for end in (first.low, first.high)]
    assert sorted(outermost, key=sum) == sorted([set(order[:3].tolist()), set(order[-3:].tolist())], key=sum)
    assert all(len(text) == 81 and text[-1] == "…" for text in first.low)
