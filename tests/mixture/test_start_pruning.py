"""Pruned searches find what brute force finds, and measure few pairs where centers can be told apart cheaply."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from kmeans_cases import brute_force, identity_batches, overlapping
from torch import Tensor

from mfa_sklearn import KMeansInitializer
from mfa_sklearn.mixture._start import pruning as pruning_module
from mfa_sklearn.mixture._start.kmeans import assign, lloyd
from mfa_sklearn.mixture._start.pruning import Pruning, among_all, best_pruning
from mfa_sklearn.mixture._start.samples import Sample


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prune however little work there is."""
    monkeypatch.setattr(pruning_module, "_LEAST_WORK", 0)


def decaying(n_rows: int, n_features: int = 40, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    """Rows around 60 points, the variance of whose coordinates falls by a quarter from one to the next, then turned."""
    rng = np.random.default_rng(seed)
    sizes = 0.75 ** np.arange(n_features)
    rows = 10 * rng.standard_normal((60, n_features))[rng.integers(60, size=n_rows)]
    turn, _ = np.linalg.qr(np.random.default_rng(9).standard_normal((n_features, n_features)))
    return torch.as_tensor(((rows + rng.standard_normal((n_rows, n_features))) * sizes) @ turn, dtype=dtype)


def directions_of(X: Tensor, count: int) -> Tensor:
    return torch.linalg.svd(X.double())[2][:count].T.contiguous().to(X)


def same_as_brute_force(X: Tensor, centers: Tensor, pruning: Pruning) -> None:
    labels, squared = brute_force(X.numpy(), centers.numpy())
    found = assign(Sample(X, None), centers, pruning)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.distances, squared, rtol=1e-4 if X.dtype == torch.float32 else 1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("count", [1, 6, 20, 40])
def test_any_number_of_directions_and_any_labels_give_the_nearest(count: int, kept: bool, dtype: torch.dtype) -> None:
    X, centers = decaying(700, dtype=dtype), decaying(90, seed=1)
    pruning = Pruning(directions_of(X, count), len(X) if kept else 0)
    same_as_brute_force(X, centers, pruning)
    for shift in (0.0, 0.3):  # what is kept of the rows serves other centers
        pruning.labels = torch.from_numpy(np.random.default_rng(2).integers(90, size=700).astype(np.int32))
        same_as_brute_force(X, centers + shift, pruning)


def test_directions_that_see_nothing_prune_nothing() -> None:
    X, centers = decaying(300), decaying(50, seed=1)
    X[:, :3], centers[:, :3] = 0, 0
    same_as_brute_force(X, centers, Pruning(torch.eye(40, 3, dtype=torch.float64)))


def test_batches_with_weights() -> None:
    X, centers = decaying(500), decaying(60, seed=1)
    w = np.random.default_rng(0).uniform(0.5, 2, 500)
    batches = identity_batches(X.numpy(), w)
    batches.batch_rows = 130
    want = assign(batches, centers)
    got = assign(batches, centers, Pruning(directions_of(X, 8), 500))
    for name, expected in want._asdict().items():
        np.testing.assert_allclose(getattr(got, name), expected, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("label", [0, 2, 3])
def test_of_centers_equally_near_the_first_is_taken(label: int) -> None:
    X = decaying(80)
    centers = torch.cat([X[:2] + 9, X[2:4], X[2:4]])
    pruning = Pruning(directions_of(X, 5))
    for search in (among_all(centers, X.dtype), pruning.search(centers)):
        np.testing.assert_array_equal(search(slice(2, 4), X[2:4])[0], [2, 3])
    pruning.labels = torch.tensor([0, 0, 4, 5] + [label] * 76, dtype=torch.int32)
    np.testing.assert_array_equal(pruning.search(centers)(slice(2, 4), X[2:4])[0], [2, 3])


@pytest.mark.parametrize("threads", [0, 8])
def test_the_largest_number_of_a_row_is_found_by_torch_or_numpy(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning_module, "_NUMPY_THREADS", threads)
    X, centers = decaying(100), decaying(30, seed=1)
    nearest, deviations = among_all(centers, torch.float64)(slice(0, 100), X)
    np.testing.assert_array_equal(nearest, brute_force(X.numpy(), centers.numpy())[0])
    assert torch.equal(deviations, X - centers[nearest])


# When it pays -------------------------------------------------------------------------------------------------------


def pairs_measured(X: Tensor, centers: Tensor, pruning: Pruning, monkeypatch: pytest.MonkeyPatch) -> float:
    """Per row, besides the one with its last center."""
    found = []
    correct = pruning_module._correct

    def counted(*arguments: Any) -> None:
        found.append(len(arguments[-1]))
        correct(*arguments)

    monkeypatch.setattr(pruning_module, "_correct", counted)
    assign(Sample(X, None), centers, pruning)
    return sum(found) / len(X)


def test_few_pairs_are_left_where_few_directions_tell_centers_apart(
    always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = decaying(2000)
    centers = lloyd(Sample(X, None), X[:200], 3, 0).centers
    pruning = best_pruning(Sample(X, None), centers)
    assert pruning is not None and 1 < pruning.directions.shape[1] <= 20
    torch.testing.assert_close(
        pruning.directions.T @ pruning.directions, torch.eye(pruning.directions.shape[1]).double()
    )
    pruning.labels = assign(Sample(X, None), centers).labels
    assert pairs_measured(X, centers, pruning, monkeypatch) < 5


def test_nothing_is_pruned_where_it_does_not_pay(always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    even = torch.from_numpy(np.random.default_rng(0).standard_normal((1000, 40)))
    assert best_pruning(Sample(even, None), even[:200]) is None  # all directions matter
    few = decaying(1000)
    assert best_pruning(Sample(few, None), few[:2]) is None
    assert best_pruning(Sample(few[:300], None), few[:200]) is not None
    assert best_pruning(Sample(few[:30], None), few[:200]) is None  # directions for a few rows
    monkeypatch.setattr(pruning_module, "_LEAST_WORK", 2**30)
    assert best_pruning(Sample(few, None), few[:200]) is None  # too little work


def test_fewer_centers_than_features_span_the_directions(always: None) -> None:
    X = decaying(1200, 200)
    centers = lloyd(Sample(X, None), X[:40], 2, 0).centers
    pruning = best_pruning(Sample(X, None), centers)
    assert pruning is not None and pruning.directions.shape[1] <= 40
    torch.testing.assert_close(pruning.directions.norm(dim=0), torch.ones(pruning.directions.shape[1]).double())
    same_as_brute_force(X, centers, pruning)


def test_rows_seen_are_kept_within_memory_and_for_several_passes(always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    X = decaying(1000)
    data, centers = Sample(X, None), X[:300]
    assert [len(best_pruning(data, centers, n)._seen) for n in (1, 3)] == [0, 1000]
    monkeypatch.setattr(pruning_module, "_SEEN_BYTES", 1000)
    assert len(best_pruning(data, centers)._seen) == 0


# Whole fits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [False, True])
def test_the_steps_are_those_without_pruning(unit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    X = decaying(2500)
    X = torch.nn.functional.normalize(X, dim=1) if unit else X
    start = torch.cat([X[:150], torch.full((2, 40), -90.0, dtype=torch.float64)])  # two run empty
    want = lloyd(Sample(X, None), start, 6, 0, unit)
    monkeypatch.setattr(pruning_module, "_LEAST_WORK", 0)
    assert best_pruning(Sample(X, None), start) is not None
    got = lloyd(Sample(X, None), start, 6, 0, unit)
    assert torch.equal(got.labels, want.labels) and got.n_iter == want.n_iter
    torch.testing.assert_close(got.centers, want.centers, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fits_and_predictions_agree_with_brute_force(always: None, dtype: str) -> None:
    X = decaying(3000).numpy().astype(dtype) + np.asarray(50, dtype)
    kmeans = KMeansInitializer(120, pool_size=600, random_state=0).fit(X)
    labels, squared = brute_force(X, kmeans.cluster_centers_)
    np.testing.assert_array_equal(kmeans.labels_, labels)
    np.testing.assert_array_equal(kmeans.predict(X), labels)
    assert kmeans.inertia_ == pytest.approx(squared.sum(), rel=1e-4)


def test_repeated_rows_and_fewer_of_them_than_clusters(always: None) -> None:
    X = np.repeat(overlapping(30, 20, dtype="float32") * 100, 9, axis=0)
    with pytest.warns(UserWarning, match="clusters \\(30\\) found smaller than n_clusters \\(64\\)"):
        kmeans = KMeansInitializer(64, random_state=0).fit(X)
    assert kmeans.inertia_ == pytest.approx(0, abs=1e-6)
