"""Samples of rows that are only read: unbiased, in order, and finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from kmeans_cases import Store, identity_batches, overlapping, samples_of
from sklearn.base import clone

from mfa_sklearn import KMeansInitializer
from mfa_sklearn.mixture import _rows


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("pool_size", [None, 150])
def test_streamed_rows_give_what_rows_in_memory_give(
    metric: str, pool_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = overlapping(900)
    w = np.random.default_rng(0).uniform(size=900)
    options: dict[str, Any] = {"metric": metric, "pool_size": pool_size, "random_state": 0}
    kept = KMeansInitializer(6, **options).fit(X, sample_weight=w)
    monkeypatch.setattr(_rows, "KEEP_BYTES", 0)
    streamed = KMeansInitializer(6, batch_size=70, **options).fit(Store(X), sample_weight=w)
    np.testing.assert_allclose(streamed.cluster_centers_, kept.cluster_centers_, rtol=1e-10)
    np.testing.assert_array_equal(streamed.labels_, kept.labels_)
    assert streamed.inertia_ == pytest.approx(kept.inertia_, rel=1e-12)


def test_the_pool_is_read_by_its_rows_and_the_rest_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rows, "KEEP_BYTES", 0)
    monkeypatch.setattr("mfa_sklearn.mixture._start.samples.BATCH_BYTES", 50 * 8 * 5)
    store = Store(overlapping(1000))
    KMeansInitializer(5, pool_size=60, refine_iter=0, batch_size=100, random_state=0).fit(store)
    scale, pool, *batches = store.reads
    assert len(scale) <= 50
    assert len(pool) == 60
    assert (np.diff(pool) > 0).all()
    np.testing.assert_array_equal(np.concatenate(batches), np.arange(1000))
    assert max(map(len, batches)) == 100


def test_weighted_samples_estimate_sums_without_bias() -> None:
    rng = np.random.RandomState(0)
    X, w = rng.standard_normal((60, 1)) + 1, rng.lognormal(sigma=1.5, size=60)
    batches = identity_batches(X, w)
    sums = []
    for _ in range(4000):
        (sample,) = samples_of(batches, [12], rng)
        sums.append([float(sample.weights.sum()), float(sample.weights @ sample.X[:, 0])])
    standard_error = np.std(sums, axis=0) / 4000**0.5
    assert (np.abs(np.mean(sums, axis=0) - [w.sum(), w @ X[:, 0]]) < 4 * standard_error).all()


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_what_is_not_finite_is_refused_with_its_place(value: float, word: str) -> None:
    X = overlapping(500)
    kmeans = KMeansInitializer(3, pool_size=30, random_state=0).fit(X)
    X[417, 2] = value
    for container in (X, torch.from_numpy(X), Store(X)):
        with pytest.raises(ValueError, match=f"Input X contains {word} .first at row 417"):
            clone(kmeans).fit(container)
        with pytest.raises(ValueError, match=f"Input X contains {word} .first at row 417"):
            kmeans.predict(container)
        with pytest.raises(ValueError, match="Input X contains"):
            kmeans.transform(container)


def test_single_rows_that_are_not_finite_are_named_by_their_number() -> None:
    X = overlapping(500)
    X[417, 2] = np.nan
    batches = identity_batches(X, keep=False)
    batches.read(np.array([3, 416]))
    with pytest.raises(ValueError, match="row 417"):
        batches.read(np.array([3, 416, 417, 420]))
