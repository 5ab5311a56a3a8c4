"""KMeansInitializer against scikit-learn's k-means and against definitions written out in numpy."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import cosine_distances
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from mfa_sklearn import MFA, ActivationArray, KMeansInitializer
from mfa_sklearn._base.annotated import shared_fact
from mfa_sklearn.mixture import _rows
from mfa_sklearn.mixture._kmeans_initializer import token_weights
from mfa_sklearn.mixture._rows import Conditioner
from mfa_sklearn.mixture._start import kmeans as kmeans_module
from mfa_sklearn.mixture._start.kmeans import Plan, draw_seeds, lloyd, sample_sizes
from mfa_sklearn.mixture._start.samples import FiniteBatches, Sample, nested_samples

CPU = torch.device("cpu")


def overlapping(n_rows: int = 600, n_features: int = 5, seed: int = 0, dtype: str = "float64") -> np.ndarray:
    """Rows without clear clusters, about a mean far from the origin."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n_rows, n_features)) @ rng.standard_normal((n_features, n_features)) + 3).astype(dtype)


def brute_force(X: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest center of each row and the squared distance to it, from all differences."""
    distances = ((X.astype(float)[:, None, :] - centers[None]) ** 2).sum(-1)
    return distances.argmin(1), distances.min(1)


def identity_batches(X: np.ndarray, weights: np.ndarray | None = None, keep: bool = True) -> FiniteBatches:
    center, scale = torch.zeros(X.shape[1], dtype=torch.float64), torch.ones(X.shape[1], dtype=torch.float64)
    return FiniteBatches(X, Conditioner(center, scale), torch.float64, CPU, weights, keep=keep)


def samples_of(batches: FiniteBatches, sizes: list[int], rng: np.random.RandomState) -> Iterator[Sample]:
    for rows, weights in nested_samples(batches, sizes, rng):
        yield Sample(batches.read(rows), weights)


class Store:
    """Rows that can be had by slice or index only, and a record of which were."""

    def __init__(self, X: np.ndarray) -> None:
        self._X, self.shape, self.dtype = X, X.shape, X.dtype
        self.reads: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._X)

    def __getitem__(self, index: Any) -> np.ndarray:
        self.reads.append(np.arange(len(self))[index])
        return self._X[index]


# Conformity ---------------------------------------------------------------------------------------------------------


def expected_failures(estimator: BaseEstimator) -> dict[str, str]:
    """Checks that cannot hold, and why."""
    if estimator.get_params()["metric"] == "cosine":
        reason = "the check has a row of zeros, which has no direction; AgglomerativeClustering refuses it as well"
        return {"check_estimators_dtypes": reason}
    return {}


@parametrize_with_checks(
    [KMeansInitializer(n_clusters=3), KMeansInitializer(n_clusters=3, metric="cosine")],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_conformity(estimator: BaseEstimator, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)


# What is found ------------------------------------------------------------------------------------------------------


def containers(X: np.ndarray, folder: Path) -> dict[str, Any]:
    """The same rows in everything that holds rows."""
    import pandas as pd

    np.save(folder / "X.npy", X)
    return {
        "array": X,
        "fortran": np.asfortranarray(X),
        "reversed": X[::-1][::-1],
        "memory map": np.load(folder / "X.npy", mmap_mode="r"),
        "tensor": torch.from_numpy(X),
        "store": Store(X),
        "frame": pd.DataFrame(X),
        "activations": ActivationArray(X),
        "lists": X.tolist(),
    }


@pytest.mark.parametrize("kind", ["array", "fortran", "reversed", "memory map", "tensor", "store", "frame"])
@pytest.mark.parametrize("options", [{}, {"pool_size": 150}, {"pool_size": 40, "refine_iter": 0, "batch_size": 64}])
def test_labels_and_inertia_are_those_of_the_centers(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    X = overlapping()
    given = containers(X, tmp_path)[kind]
    kmeans = KMeansInitializer(7, random_state=0, **options).fit(given)
    labels, squared = brute_force(X, kmeans.cluster_centers_)
    np.testing.assert_array_equal(kmeans.labels_, labels)
    np.testing.assert_array_equal(kmeans.predict(given), labels)
    assert kmeans.inertia_ == pytest.approx(squared.sum(), rel=1e-12)
    assert kmeans.score(given) == pytest.approx(-squared.sum(), rel=1e-12)
    assert kmeans.n_features_in_ == 5


@pytest.mark.parametrize(
    "kind", ["fortran", "reversed", "memory map", "tensor", "store", "frame", "activations", "lists"]
)
def test_every_container_gives_the_same(kind: str, tmp_path: Path) -> None:
    X = overlapping()
    want = KMeansInitializer(7, pool_size=200, random_state=0).fit(X)
    got = KMeansInitializer(7, pool_size=200, random_state=0).fit(containers(X, tmp_path)[kind])
    np.testing.assert_allclose(got.cluster_centers_, want.cluster_centers_, rtol=1e-10)
    np.testing.assert_array_equal(got.labels_, want.labels_)


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


def test_blocks_of_scores_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    X = overlapping(2000)
    want = KMeansInitializer(5, random_state=0).fit(X)
    monkeypatch.setattr(kmeans_module, "_BLOCK_NUMBERS", 1)
    got = KMeansInitializer(5, random_state=0).fit(X)
    np.testing.assert_array_equal(got.labels_, want.labels_)
    np.testing.assert_allclose(got.cluster_centers_, want.cluster_centers_, rtol=1e-12)


def test_weight_two_is_the_row_twice_and_weight_zero_is_no_row() -> None:
    X = overlapping(200)
    w = np.random.default_rng(5).integers(0, 4, 200)
    weighted = KMeansInitializer(6, random_state=0).fit(X, sample_weight=w)
    repeated = KMeansInitializer(6, random_state=0).fit(X.repeat(w, axis=0))
    np.testing.assert_allclose(weighted.cluster_centers_, repeated.cluster_centers_, rtol=1e-10)
    np.testing.assert_array_equal(weighted.labels_.repeat(w), repeated.labels_)
    assert weighted.inertia_ == pytest.approx(repeated.inertia_, rel=1e-10)
    assert weighted.score(X, sample_weight=w) == pytest.approx(repeated.score(X.repeat(w, axis=0)), rel=1e-10)


def test_order_of_rows_does_not_matter() -> None:
    X = overlapping(300)
    order = np.random.default_rng(0).permutation(300)
    want, got = (KMeansInitializer(6, random_state=0).fit(rows) for rows in (X, X[order]))
    np.testing.assert_allclose(got.cluster_centers_, want.cluster_centers_, rtol=1e-10)
    np.testing.assert_array_equal(got.labels_, want.labels_[order])


def test_same_random_state_same_centers() -> None:
    X = overlapping(500)
    fits = [KMeansInitializer(9, pool_size=100, random_state=s).fit(X) for s in (0, 0, 1)]
    np.testing.assert_array_equal(fits[0].cluster_centers_, fits[1].cluster_centers_)
    np.testing.assert_array_equal(fits[0].labels_, fits[1].labels_)
    assert not np.allclose(fits[0].cluster_centers_, fits[2].cluster_centers_)


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


def tokens(n_rows: int = 3000) -> ActivationArray:
    """Rows of a frequent token and of nine rare ones, each token somewhere else."""
    rng = np.random.default_rng(0)
    ids = np.where(rng.uniform(size=n_rows) < 0.97, 50, rng.integers(0, 9, n_rows))
    where = rng.standard_normal((51, 3)) * 4
    return ActivationArray(where[ids] + rng.standard_normal((n_rows, 3)), rows={"token_ids": ids})


def test_token_frequency_gives_every_token_the_same_weight() -> None:
    X = tokens()
    counts = np.bincount(X.token_ids)[X.token_ids]
    by_token = KMeansInitializer(5, sampling="token_frequency", random_state=0).fit(X)
    by_weight = KMeansInitializer(5, random_state=0).fit(np.asarray(X), sample_weight=1 / counts)
    np.testing.assert_allclose(by_token.cluster_centers_, by_weight.cluster_centers_, rtol=1e-9)
    # The total weight is that of the rows, so that inertias can be compared.
    scale = len(X) / len(np.unique(X.token_ids))
    assert by_token.inertia_ == pytest.approx(scale * by_weight.inertia_, rel=1e-9)
    assert len(np.unique(by_token.labels_[X.token_ids < 9])) >= 4


def test_token_frequency_draws_tokens_alike() -> None:
    X, rng = tokens(), np.random.RandomState(0)
    batches = identity_batches(np.asarray(X.token_ids, dtype=float)[:, None], token_weights(X, None))
    drawn = [s.X[:, 0].numpy().astype(int) for _ in range(300) for s in samples_of(batches, [10], rng)]
    share = np.bincount(np.concatenate(drawn))[np.unique(X.token_ids)] / 3000
    np.testing.assert_allclose(share, 0.1, atol=0.03)


def test_token_frequency_counts_rows_by_their_weight() -> None:
    X = ActivationArray(np.zeros((5, 2)), rows={"token_ids": [7, 7, 7, 3, 9]})
    got = token_weights(X, np.array([1.0, 2.0, 0.0, 5.0, 0.0]))
    np.testing.assert_allclose(got, np.array([1 / 3, 2 / 3, 0, 1, 0]) * 8 / 2)


@pytest.mark.parametrize("X", [overlapping(), ActivationArray(overlapping())])
def test_token_frequency_needs_token_ids(X: Any) -> None:
    with pytest.raises(ValueError, match=r"needs the token ids.*ActivationArray"):
        KMeansInitializer(3, sampling="token_frequency").fit(X)


# Cosine -------------------------------------------------------------------------------------------------------------


def spherical_k_means(X: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions and labels that spherical k-means ends with, written out."""
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    labels = np.full(len(X), -1)
    while True:
        previous, labels = labels, (unit @ centers.T).argmax(1)
        if (previous == labels).all():
            return centers, labels
        sums = np.stack([unit[labels == k].sum(0) for k in range(len(centers))])
        centers = sums / np.linalg.norm(sums, axis=1, keepdims=True)


def test_cosine_is_spherical_k_means() -> None:
    X = overlapping(800, 4) * np.random.default_rng(1).lognormal(size=(800, 1))
    kmeans = KMeansInitializer(6, metric="cosine", tol=0, random_state=0).fit(X)
    centers = kmeans.cluster_centers_
    lengths = np.linalg.norm(centers, axis=1)
    np.testing.assert_allclose(lengths, np.sqrt((X**2).sum(1).mean()), rtol=1e-10)
    directions, labels = spherical_k_means(X, centers / lengths[:, None])
    np.testing.assert_allclose(centers / lengths[:, None], directions, rtol=1e-9)
    np.testing.assert_array_equal(kmeans.labels_, labels)
    np.testing.assert_array_equal(kmeans.predict(X), labels)
    assert kmeans.inertia_ == pytest.approx(cosine_distances(X, centers).min(1).sum(), rel=1e-9)
    assert kmeans.score(X) == pytest.approx(-kmeans.inertia_, rel=1e-9)
    # The nearest center is the most similar one, so that a mixture starts from the same clusters.
    np.testing.assert_array_equal(brute_force(X, centers)[0], labels)


def test_cosine_finds_directions_whatever_the_lengths() -> None:
    rng = np.random.default_rng(0)
    directions = np.eye(4)[rng.integers(0, 4, 400)] + 0.1 * rng.standard_normal((400, 4))
    X = directions * 10 ** rng.uniform(-30, 5, (400, 1))
    want = KMeansInitializer(4, metric="cosine", random_state=0, n_init=3).fit(directions)
    got = KMeansInitializer(4, metric="cosine", random_state=0, n_init=3, dtype="float32").fit(X)
    assert adjusted_rand_score(got.labels_, directions.argmax(1)) == 1
    assert got.inertia_ == pytest.approx(want.inertia_, rel=1e-4)


def test_cosine_refuses_rows_without_direction() -> None:
    X = overlapping(50)
    X[31] = 0
    with pytest.raises(ValueError, match="row 31 of X is all zeros"):
        KMeansInitializer(3, metric="cosine", batch_size=10).fit(X)


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


@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_units_do_not_matter(scale: float, metric: str) -> None:
    X = overlapping(300, dtype="float32")
    options: dict[str, Any] = {"metric": metric, "random_state": 0}
    want, got = (KMeansInitializer(5, **options).fit(rows) for rows in (X, X * np.float32(scale)))
    np.testing.assert_allclose(got.cluster_centers_, want.cluster_centers_ * scale, rtol=1e-4)
    np.testing.assert_array_equal(got.labels_, want.labels_)
    assert got.inertia_ == pytest.approx(want.inertia_ * (scale**2 if metric == "euclidean" else 1), rel=1e-4)


def test_single_precision_stands_a_mean_far_off() -> None:
    X, y = make_blobs(500, 6, centers=5, cluster_std=0.2, center_box=(-3, 3), random_state=0)
    far = (X + 1e4).astype("float32")
    kmeans = KMeansInitializer(5, n_init=3, random_state=0).fit(far)
    assert adjusted_rand_score(kmeans.labels_, y) == 1
    assert kmeans.inertia_ == pytest.approx(brute_force(far, kmeans.cluster_centers_)[1].sum(), rel=1e-4)


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 41}, "n_samples=40 should be >= n_clusters=41"),
        ({"n_clusters": 9, "pool_size": 5}, "pool_size=5 should be >= n_clusters=9"),
        ({"n_clusters": 0}, "'n_clusters' parameter"),
        ({"metric": "manhattan"}, "'metric' parameter"),
        ({"sampling": "frequency"}, "'sampling' parameter"),
        ({"projection": 0}, "'projection' parameter"),
        ({"device": "gpu"}, "device='gpu'"),
    ],
)
def test_wrong_parameters(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KMeansInitializer(**options).fit(overlapping(40))


def test_predict_wants_a_fit_and_the_same_width() -> None:
    with pytest.raises(NotFittedError):
        KMeansInitializer(3).predict(overlapping())
    with pytest.raises(ValueError, match="4 features"):
        KMeansInitializer(3).fit(overlapping()).predict(overlapping(n_features=4))


# As part of something -----------------------------------------------------------------------------------------------


def activations() -> ActivationArray:
    X = overlapping(300)
    return ActivationArray(X, rows={"token_ids": np.arange(300)}, shared={"source": {"layer": 4}})


@pytest.mark.parametrize("method", ["fit_transform", "transform"])
def test_transform_hands_rows_and_facts_on_with_the_centers(method: str) -> None:
    X = activations()
    kmeans = KMeansInitializer(4, random_state=0).fit(X)
    got = getattr(kmeans, method)(X)
    assert isinstance(got, ActivationArray)
    assert np.shares_memory(got, X)
    np.testing.assert_array_equal(got, X)
    np.testing.assert_array_equal(got.token_ids, X.token_ids)
    assert got.source == {"layer": 4}
    np.testing.assert_array_equal(shared_fact(got, "cluster_centers"), kmeans.cluster_centers_)
    assert shared_fact(X, "cluster_centers") is None


@pytest.mark.parametrize("kind", ["array", "memory map", "tensor", "store", "frame", "lists"])
def test_transform_of_other_containers(kind: str, tmp_path: Path) -> None:
    X = overlapping(dtype="float32" if kind != "lists" else "float64")
    kmeans = KMeansInitializer(4, random_state=0).fit(X)
    got = kmeans.transform(containers(X, tmp_path)[kind])
    assert got.dtype == X.dtype
    np.testing.assert_array_equal(got, X)
    np.testing.assert_array_equal(shared_fact(got, "cluster_centers"), kmeans.cluster_centers_)


def test_set_output_gives_a_frame_with_the_names_that_came_in() -> None:
    import pandas as pd

    X = pd.DataFrame(overlapping(50), columns=list("abcde"), index=range(100, 150))
    kmeans = KMeansInitializer(3, random_state=0).set_output(transform="pandas")
    pd.testing.assert_frame_equal(kmeans.fit_transform(X), X)
    assert kmeans.get_feature_names_out().tolist() == list("abcde")
    assert kmeans.feature_names_in_.tolist() == list("abcde")


def pipeline(memory: Any = None) -> Pipeline:
    steps = [("init", KMeansInitializer(4, random_state=0)), ("mfa", MFA(n_factors=1, max_iter=3, tol=0))]
    return Pipeline(steps, memory=memory)


def test_a_mixture_starts_from_the_centers_of_the_step_before() -> None:
    X = overlapping()
    pipe = pipeline().fit(X)
    start = MFA(n_factors=1, max_iter=3, tol=0, init=pipe["init"].cluster_centers_).fit(X)
    assert pipe["mfa"].n_components_ == 4
    np.testing.assert_allclose(pipe["mfa"].means_, start.means_)


def test_a_mixture_fits_its_own_initializer() -> None:
    X = overlapping()
    nested = MFA(n_factors=1, max_iter=3, tol=0, init=KMeansInitializer(4, random_state=0)).fit(X)
    np.testing.assert_allclose(nested.means_, pipeline().fit(X)["mfa"].means_)
    asked = MFA(4, n_factors=1, max_iter=3, tol=0, init=KMeansInitializer(random_state=0)).fit(X)
    np.testing.assert_allclose(asked.means_, nested.means_)


def test_without_a_number_of_clusters_there_are_eight() -> None:
    assert KMeansInitializer().fit(overlapping()).cluster_centers_.shape == (8, 5)


def test_a_cached_pipeline_hands_the_centers_on(tmp_path: Path) -> None:
    X = overlapping()
    want = pipeline().fit(X)
    for _ in range(2):
        got = clone(pipeline(memory=str(tmp_path))).fit(X)
        np.testing.assert_allclose(got["mfa"].means_, want["mfa"].means_)


def test_opens_in_a_fresh_process(tmp_path: Path) -> None:
    X = overlapping()
    kmeans = KMeansInitializer(4, random_state=0).fit(X)
    joblib.dump(kmeans, tmp_path / "kmeans.joblib")
    np.save(tmp_path / "X.npy", X)
    code = "import joblib, numpy; print(joblib.load('kmeans.joblib').predict(numpy.load('X.npy')).tolist())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(kmeans.labels_.tolist())


def test_verbose_tells_what_each_stage_found(capsys: pytest.CaptureFixture[str]) -> None:
    kmeans = KMeansInitializer(4, pool_size=100, random_state=0, verbose=1).fit(overlapping(500))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["100", "200", "500"]
    assert lines[-1].endswith(f"inertia {kmeans.inertia_:.6g}")
    KMeansInitializer(4).fit(overlapping())
    assert capsys.readouterr().out == ""


@pytest.mark.cuda
def test_cuda_gives_what_the_processor_gives() -> None:
    X = overlapping(2000, dtype="float32")
    cpu, cuda = (KMeansInitializer(6, random_state=0, device=d, dtype="float64").fit(X) for d in ("cpu", "cuda"))
    np.testing.assert_allclose(cuda.cluster_centers_, cpu.cluster_centers_, rtol=1e-8)
    np.testing.assert_array_equal(cuda.labels_, cpu.labels_)
