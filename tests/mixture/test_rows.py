"""Batches of rows: how many at once is a matter of memory alone."""

from __future__ import annotations

import numpy as np
import pytest
from mixture_cases import X_MADE, Y_MADE, quick
from mixture_oracles import as_they_are


@pytest.mark.parametrize("batch_size", [1, 7, 299, 10_000])
def test_batches_are_a_matter_of_memory_alone(batch_size):
    whole = quick(init=Y_MADE)
    np.testing.assert_allclose(quick(init=Y_MADE, batch_size=batch_size).means_, whole.means_, rtol=1e-9)


def test_rows_that_do_not_fit_are_read_again(monkeypatch):
    kept = quick(init=Y_MADE)
    monkeypatch.setattr("mfa_sklearn.mixture._rows.KEEP_BYTES", 100)
    monkeypatch.setattr("mfa_sklearn.mixture._rows.BATCH_BYTES", 6 * 8 * 40)
    read = quick(init=Y_MADE)
    np.testing.assert_allclose(read.means_, kept.means_, rtol=1e-9)
    np.testing.assert_allclose(read.score_samples(X_MADE), kept.score_samples(X_MADE), rtol=1e-9)
    by_gradient = quick(init=Y_MADE, solver="gradient", max_iter=3)
    assert by_gradient.lower_bound_ > by_gradient.lower_bounds_[0] - 0.1


class Store:
    """Rows on a disk, as far as MFA is concerned: a shape, a dtype and rows by slice or ascending indices."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows, self.shape, self.dtype = rows, rows.shape, rows.dtype
        self.read_at_once: list[int] = []

    def __getitem__(self, index):
        rows = self._rows[index]
        self.read_at_once.append(len(rows))
        return rows


def test_a_store_is_read_batch_by_batch(monkeypatch):
    expected = quick(init=Y_MADE).means_
    monkeypatch.setattr("mfa_sklearn.mixture._rows.KEEP_BYTES", 100)
    monkeypatch.setattr("mfa_sklearn.mixture._rows.BATCH_BYTES", 6 * 8 * 40)
    store = Store(X_MADE)
    mfa = quick(store, init=Y_MADE)
    np.testing.assert_allclose(mfa.means_, expected, rtol=1e-9)
    np.testing.assert_array_equal(mfa.predict(store), mfa.predict(X_MADE))
    assert max(n for n in store.read_at_once if n < len(X_MADE)) <= 40


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("numbers", [None, np.array([0, 3, 4, 11]), np.array([], dtype=int)])
def test_chunks_say_where_their_rows_are(numbers, keep, on_disk):
    X, weights = np.random.default_rng(0).standard_normal((12, 3)), np.arange(12.0)
    batches = as_they_are(on_disk(X), weights=weights, batch_rows=5, keep=keep)
    asked = np.arange(12) if numbers is None else numbers
    chunks = list(batches.chunks(numbers))
    assert len(chunks) == -(-len(asked) // (12 if keep else 5))
    places = [np.arange(12)[place] for place, _, _ in chunks]
    np.testing.assert_array_equal(np.concatenate([[], *places]), asked)
    for place, rows, w in chunks:
        np.testing.assert_array_equal(rows, X[place])
        np.testing.assert_array_equal(w, weights[place])
    assert all(w is None for _, _, w in as_they_are(X).chunks(numbers))
