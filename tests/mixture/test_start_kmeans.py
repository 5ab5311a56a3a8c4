"""k-means itself against scikit-learn's: seeds, sizes of samples, and clusters that run empty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from kmeans_cases import brute_force, identity_batches, overlapping, samples_of
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

from mfa_sklearn import KMeansInitializer
from mfa_sklearn.mixture._start import kmeans as kmeans_module
from mfa_sklearn.mixture._start.kmeans import Plan, draw_seeds, lloyd, sample_sizes
from mfa_sklearn.mixture._start.samples import Sample

# What is found ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", [{}, {"pool_size": 100, "refine_iter": 300}])
def test_converges_to_means_of_clusters(options: dict[str, Any], weighted: bool) -> None:
    X = overlapping()
    w = np.random.default_rng(1).uniform(0.1, 3, len(X)) if weighted else None
    kmeans = KMeansInitializer(6, tol=0, random_state=0, **options).fit(X, sample_weight=w)
    weights = np.ones(len(X)) if w is None else w
    clusters = [kmeans.labels_ == k for k in range(6)]
    means = [np.average(X[rows], axis=0, weights=weights[rows]) for rows in clusters]
    np.testing.assert_allclose(kmeans.cluster_centers_, means, rtol=1e-10)
    squared = brute_force(X, kmeans.cluster_centers_)[1]
    assert kmeans.inertia_ == pytest.approx(weights @ squared, rel=1e-12)


@pytest.mark.parametrize("options", [{}, {"pool_size": 100}, {"dtype": "float32"}, {"projection": 2}])
def test_finds_separated_blobs(options: dict[str, Any]) -> None:
    X, y = make_blobs(1000, 4, centers=8, cluster_std=0.3, random_state=3)
    kmeans = KMeansInitializer(8, random_state=0, **options).fit(X)
    reference = KMeans(8, n_init=5, random_state=0).fit(X)
    assert adjusted_rand_score(kmeans.labels_, y) == 1
    assert kmeans.inertia_ == pytest.approx(reference.inertia_, rel=1e-6)


@pytest.mark.parametrize("options", [{"tol": 1e-6}, {"pool_size": 500, "refine_iter": 5}, {"projection": 8}])
def test_is_as_good_as_scikit_learn(options: dict[str, Any]) -> None:
    X = overlapping(3000, 12)
    ours = [KMeansInitializer(20, random_state=seed, **options).fit(X).inertia_ for seed in range(3)]
    theirs = [KMeans(20, n_init=1, random_state=seed).fit(X).inertia_ for seed in range(3)]
    assert np.mean(ours) < 1.015 * np.mean(theirs)


def test_passes_over_all_rows_improve_the_pool() -> None:
    X = overlapping(4000, 10)
    found = [
        KMeansInitializer(30, pool_size=200, refine_iter=passes, tol=0, random_state=0).fit(X).inertia_
        for passes in (0, 1, 5)
    ]
    assert found[0] > 1.02 * found[1] > 1.02 * found[2]


def test_the_best_of_several_drawings_is_kept() -> None:
    X = overlapping()
    found = np.array(
        [[KMeansInitializer(10, n_init=n, random_state=s).fit(X).inertia_ for n in (1, 3, 9)] for s in range(4)]
    )
    assert (np.diff(found) <= 1e-9).all()
    assert (found[:, 0] > 1.001 * found[:, 2]).any()


def test_seeds_are_as_good_as_scikit_learns_and_their_spread_is_that_of_the_rows() -> None:
    X = overlapping(2000, 6)
    rows = torch.from_numpy(X)
    ours = [brute_force(X, X[draw_seeds(rows, 15, None, np.random.RandomState(s), None)])[1].sum() for s in range(15)]
    theirs = [brute_force(X, kmeans_plusplus(X, 15, random_state=s)[0])[1].sum() for s in range(15)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.05)


def test_first_seed_is_drawn_by_weight() -> None:
    rows, weights = torch.arange(4.0, dtype=torch.float64)[:, None], torch.tensor([1.0, 0.0, 3.0, 4.0]).double()
    drawn = [int(draw_seeds(rows, 1, weights, np.random.RandomState(s), None)[0]) for s in range(2000)]
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 2000, [1 / 8, 0, 3 / 8, 4 / 8], atol=0.04)


def test_seeds_skip_rows_without_weight_and_rows_already_there() -> None:
    rows = torch.tensor([[0.0], [0.0], [5.0], [9.0]], dtype=torch.float64)
    weights = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    for seed in range(20):
        seeds = draw_seeds(rows, 2, weights, np.random.RandomState(seed), None)
        assert sorted(rows[seeds, 0].tolist()) == [0.0, 5.0]


# Memory and order ---------------------------------------------------------------------------------------------------


def test_blocks_of_scores_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    X = overlapping(2000)
    want = KMeansInitializer(5, random_state=0).fit(X)
    monkeypatch.setattr(kmeans_module, "_BLOCK_NUMBERS", 1)
    got = KMeansInitializer(5, random_state=0).fit(X)
    np.testing.assert_array_equal(got.labels_, want.labels_)
    np.testing.assert_allclose(got.cluster_centers_, want.cluster_centers_, rtol=1e-12)


# Samples ------------------------------------------------------------------------------------------------------------


def test_samples_are_nested_and_double() -> None:
    batches = identity_batches(np.arange(1000.0)[:, None])
    assert sample_sizes(batches, 5, Plan(pool_size=100)) == [100, 200, 400]
    assert sample_sizes(batches, 5, Plan(pool_size=100, refine_iter=0)) == [100]
    assert sample_sizes(batches, 5, Plan(pool_size=5000)) == [1000]
    assert sample_sizes(batches, 5, Plan()) == [1000]
    samples = [set(s.X[:, 0].tolist()) for s in samples_of(batches, [100, 200, 400], np.random.RandomState(0))]
    assert [len(s) for s in samples] == [100, 200, 400]
    assert samples[0] < samples[1] < samples[2]


def test_samples_stay_within_the_memory_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans_module, "KEEP_BYTES", 2 * 8 * 250)
    assert sample_sizes(identity_batches(np.arange(1000.0)[:, None]), 5, Plan(pool_size=100)) == [100, 200]


# Hard cases ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("K", "distinct"), [(5, 3), (4, 1), (8, 7)])
def test_fewer_distinct_rows_than_clusters(K: int, distinct: int, dtype: str) -> None:
    X = np.repeat(overlapping(distinct, seed=1, dtype=dtype) * 100, 9, axis=0)
    with pytest.warns(ConvergenceWarning, match=rf"clusters \({distinct}\) found smaller than n_clusters \({K}\)"):
        kmeans = KMeansInitializer(K, random_state=0).fit(X)
    assert np.isfinite(kmeans.cluster_centers_).all()
    assert kmeans.cluster_centers_.shape == (K, 5)
    assert kmeans.inertia_ == pytest.approx(0, abs=1e-6)
    assert kmeans.n_iter_ <= 3
    np.testing.assert_allclose(brute_force(kmeans.cluster_centers_, X)[1], 0, atol=1e-6)


def test_as_many_clusters_as_rows() -> None:
    X = overlapping(40)
    kmeans = KMeansInitializer(40, random_state=0).fit(X)
    assert sorted(kmeans.labels_) == list(range(40))
    assert kmeans.inertia_ == pytest.approx(0, abs=1e-20)


def test_one_cluster_is_the_mean() -> None:
    X = overlapping()
    kmeans = KMeansInitializer(1).fit(X)
    np.testing.assert_allclose(kmeans.cluster_centers_, X.mean(0, keepdims=True), rtol=1e-12)
    assert kmeans.inertia_ == pytest.approx(X.var(0).sum() * len(X))


@pytest.mark.parametrize("unit", [False, True])
def test_empty_clusters_take_over_far_rows(unit: bool) -> None:
    X = torch.from_numpy(overlapping(300))
    X = torch.nn.functional.normalize(X, dim=1) if unit else X
    centers = torch.cat([X[:2], -50 * torch.ones(3, 5, dtype=torch.float64)])
    found = lloyd(Sample(X, None), centers, max_iter=50, tol=0, unit=unit)
    assert len(found.labels.unique()) == 5
    assert found.inertia < 0.8 * lloyd(Sample(X, None), X[:2], max_iter=50, tol=0, unit=unit).inertia


def test_empty_clusters_are_filled_beyond_the_last_pass_but_not_with_rows_that_do_not_count() -> None:
    X = torch.tensor([0.0, 0.1, 0.2, *range(90, 120)], dtype=torch.float64)[:, None]
    far = torch.tensor([[0.0], [-1e3]], dtype=torch.float64)
    found = lloyd(Sample(X, None), far, max_iter=0, tol=0)
    assert found.centers.flatten().tolist() == [pytest.approx(X.mean()), 119.0]
    assert found.labels.unique().tolist() == [0, 1]
    weights = torch.tensor([1.0] * 3 + [0.0] * 30, dtype=torch.float64)
    found = lloyd(Sample(X, weights), far, max_iter=5, tol=0)
    assert found.inertia < 0.01
    assert found.centers.max() < 1


@pytest.mark.parametrize("value", [0.1, 0.5])
def test_constant_rows_and_columns(value: float) -> None:
    X = overlapping(100)
    X[:, 2] = 7e5
    kmeans = KMeansInitializer(4, random_state=0).fit(X)
    np.testing.assert_allclose(kmeans.cluster_centers_[:, 2], 7e5)
    with pytest.warns(ConvergenceWarning):
        constant = KMeansInitializer(2).fit(np.full((8, 3), value))
    np.testing.assert_allclose(constant.cluster_centers_, value)
