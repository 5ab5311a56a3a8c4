"""Exact passes, and soft ones over parts of the rows, against dense statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import (
    STRUCTURES,
    as_they_are,
    assert_same_statistics,
    dense_statistics,
    random_params,
    random_rows,
)
from passes_cases import further_pairs, many, moved, row_weights, walk

from mfa_sklearn.mixture._em import exact
from mfa_sklearn.mixture._em.exact import ExactPass, Parts
from mfa_sklearn.mixture._em.truncated import TruncatedPass
from mfa_sklearn.mixture._model import pairs as pairs_module


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("kind", [ExactPass, TruncatedPass])
@pytest.mark.parametrize("name", ["UUU", "CCC"])
def test_passes_over_few_components_are_exact(name, kind, temperature, monkeypatch, always_looking):
    """Whatever the row's home: with no more components than neighbors all are candidates."""
    monkeypatch.setattr(pairs_module, "_TEMPERED_MARGIN", 40.0)
    params = random_params(STRUCTURES[name], (5, 6, 2))
    X, weights = random_rows(params, 100), row_weights(100)
    rows = walk(kind, params, as_they_are(X, weights=weights, keep=True), 0, 4.0)
    rows(moved(params, 3.0), temperature)
    for _ in range(3):
        expected = dense_statistics(params, params, X, weights, temperature)
        assert_same_statistics(rows(params, temperature), expected, 1e-9)
        params = moved(params, 0.3)


@pytest.mark.parametrize("kind", [ExactPass, TruncatedPass])
def test_soft_passes_go_over_parts_and_sharp_ones_over_all(kind, monkeypatch):
    monkeypatch.setattr(exact, "_LEAST_ROWS", 30)
    monkeypatch.setattr(exact, "_ROWS_PER_COLUMN", 5)  # 5 (2 + 1) 3 = 45 rows at once, so two parts
    params = random_params(STRUCTURES["UUU"], (3, 6, 2))
    X, weights = random_rows(params, 100), row_weights(100)
    rows = walk(kind, params, as_they_are(X, weights=weights), 0, 1.5)
    first, second, again = rows(params, 4.0), rows(params, 4.0), rows(params, 4.0)
    assert_same_statistics(first + second, dense_statistics(params, params, X, weights, 4.0), 1e-9)
    assert_same_statistics(first, again, 1e-12)
    assert 0 < float(first.weight) < weights.sum()
    assert_same_statistics(rows(params, 1.0), dense_statistics(params, params, X, weights), 1e-9)


@pytest.mark.parametrize("kind", [ExactPass, TruncatedPass])
def test_soft_passes_take_all_rows_where_they_are_few(kind):
    params = random_params(STRUCTURES["UUU"], (3, 6, 2))
    X = random_rows(params, 100)
    found = walk(kind, params, as_they_are(X), 0, 1.5)(params, 4.0)
    assert_same_statistics(found, dense_statistics(params, params, X, np.ones(100), 4.0), 1e-9)


@pytest.mark.parametrize("batch_rows", [1, 97, 900])
@pytest.mark.parametrize("kind", [ExactPass, TruncatedPass])
def test_streamed_rows_give_the_statistics_of_kept_ones(kind, batch_rows, on_disk, monkeypatch):
    monkeypatch.setattr(exact, "_LEAST_ROWS", 50)
    monkeypatch.setattr(exact, "_ROWS_PER_COLUMN", 0)
    params, X = many(1.0, n_rows=900 if batch_rows > 1 else 60)
    weights = row_weights(len(X))
    kept, streamed = (
        walk(kind, params, batches, 0, 2.0)
        for batches in (
            as_they_are(X, weights=weights, keep=True),
            as_they_are(on_disk(X), weights=weights, batch_rows=batch_rows),
        )
    )
    for n, temperature in enumerate((4.0, 4.0, 2.0, 1.0, 1.0, 1.0)):
        assert_same_statistics(streamed(params, temperature), kept(params, temperature), 1e-9)
        params = moved(params, 0.2, n)
    if kind is TruncatedPass:
        assert torch.equal(kept.memory.home, streamed.memory.home)
        assert further_pairs(kept) == further_pairs(streamed)


@pytest.mark.parametrize(("n_rows", "size"), [(100, 30), (100, 50), (101, 7), (10, 1), (3, 0)])
def test_parts_are_disjoint_cover_all_rows_and_come_again(n_rows, size):
    parts = Parts(n_rows, size, np.random.RandomState(0))
    n_parts = n_rows // max(size, 1)
    first = [parts.next() for _ in range(n_parts)]
    assert all((np.diff(p) > 0).all() for p in first)
    assert {len(p) for p in first} <= {n_rows // n_parts, n_rows // n_parts + 1}
    assert np.sort(np.concatenate(first)).tolist() == list(range(n_rows))
    assert any(p.max() - p.min() >= len(p) for p in first) or size < 2, "drawn from all over"
    for p in first:
        np.testing.assert_array_equal(parts.next(), p)


@pytest.mark.parametrize(("n_rows", "size"), [(100, 100), (100, 51), (100, 1000), (0, 5)])
def test_few_rows_are_taken_all_at_once_and_nothing_is_drawn(n_rows, size):
    rng = np.random.RandomState(0)
    parts = Parts(n_rows, size, rng)
    assert [parts.next() for _ in range(3)] == [None] * 3
    assert rng.randint(10**6) == np.random.RandomState(0).randint(10**6)
