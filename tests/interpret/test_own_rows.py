"""Rows in their own components against posteriors and densities of all pairs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from interpret_fixtures import annotated, mixture, scores_by_loop

from mfa_sklearn import MFA, datasets
from mfa_sklearn.interpret import _own_rows
from mfa_sklearn.interpret._own_rows import OwnRows, bounds, pair_counts, ranked_rows, tuples
from mfa_sklearn.interpret._scan import scan


@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_rows_of_the_oracle(spread: float) -> None:
    mfa = mixture(spread, n_components=6)
    mfa.weights_[2] = 0  # an empty component
    mfa.weights_ /= mfa.weights_.sum()
    X = annotated(mfa, 200)
    own = OwnRows(mfa, len(X))
    scan(mfa, X, own)
    with np.errstate(invalid="ignore", divide="ignore"):
        density = scores_by_loop(mfa, X, "likelihood")
    posterior = scores_by_loop(mfa, X, "posterior")
    assigned = posterior.argmax(1)
    np.testing.assert_array_equal(own.components, assigned)
    np.testing.assert_allclose(own.log_density, density[np.arange(200), assigned])
    for k in range(6):
        mine = np.flatnonzero(assigned == k)
        assert own.size[k] == len(mine)
        if not len(mine):
            assert np.isnan(own.sharpness[k]) and not len(own.typical(3)[k]) and not len(own.outlying(3)[k])
            continue
        assert own.sharpness[k] == pytest.approx(posterior[mine, k].mean())
        ranked = sorted(mine, key=lambda i: (-round(density[i, k], 9), i))
        np.testing.assert_allclose(density[own.typical(3)[k], k], density[ranked[:3], k])
        np.testing.assert_allclose(density[own.outlying(3)[k], k], density[ranked[::-1][:3], k])
        assert set(own.typical(3)[k]) <= set(mine)
    assert own.size[2] == 0


def test_sharpness_of_the_estimator() -> None:
    X, _ = datasets.make_mfa(300, 8, 4, 2, separation=0.3, random_state=0)
    mfa = MFA(4, 2, random_state=0, tol=0.1).fit(X)
    own = OwnRows(mfa, len(X))
    scan(mfa, X, own)
    posterior = mfa.predict_proba(X)
    for k in range(4):
        mine = posterior.argmax(1) == k
        assert own.sharpness[k] == pytest.approx(posterior[mine, k].mean(), rel=1e-5)


def test_ranks_ties_and_rows_that_may_not_be_taken() -> None:
    components, values = np.array([1, 0, 1, 1, 0]), np.array([2.0, 5.0, 1.0, 1.0, 5.0])
    assert tuples(ranked_rows(components, values, 3, 2)) == [(1, 4), (2, 3), ()]
    among = np.array([True, False, False, True, True])
    assert tuples(ranked_rows(components, values, 3, 2, among)) == [(4,), (3, 0), ()]
    start, stop = bounds(np.array([0, 0, 2]), 3)
    assert start.tolist() == [0, 2, 2] and stop.tolist() == [2, 2, 3]


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("n_rows", [0, 1, 50])
def test_pairs_are_counted_whatever_the_blocks(
    block: int, chosen: bool, n_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_own_rows, "_ROWS", block)
    rng = np.random.default_rng(0)
    components, codes = rng.integers(0, 4, n_rows), rng.integers(-1, 5, n_rows).astype(np.int32)
    rows = rng.permutation(n_rows)[: n_rows // 2] if chosen else None
    pairs, counts = pair_counts(components, codes, 5, rows)
    some = range(n_rows) if rows is None else rows.tolist()
    expected = Counter((int(components[i]), int(codes[i])) for i in some if codes[i] >= 0)
    assert dict(zip(zip(*np.divmod(pairs, 5), strict=True), counts.tolist(), strict=True)) == expected
    assert (np.diff(pairs) > 0).all() and pairs.dtype == counts.dtype == np.int64


def test_pairs_of_many_codes_do_not_overflow() -> None:
    pairs, counts = pair_counts(np.array([70_000, 70_000], np.int64), np.array([3, 3], np.int32), 60_000)
    assert pairs.tolist() == [70_000 * 60_000 + 3] and counts.tolist() == [2]


def test_all_rows_may_be_taken_by_name_or_by_default() -> None:
    rng = np.random.default_rng(0)
    components, values = rng.integers(0, 3, 40), rng.integers(0, 4, 40).astype(float)
    by_default, named = (ranked_rows(components, values, 3, 9, among) for among in (None, np.ones(40, dtype=bool)))
    assert tuples(by_default) == tuples(named)
