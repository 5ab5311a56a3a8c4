"""k-means of rows that are spread over processes, against k-means of one process on all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from group_cases import Failure, share, world
from kmeans_cases import overlapping

from mfa_sklearn import KMeansInitializer
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn._base.group import ALONE, AnyGroup, Group
from mfa_sklearn.mixture._start.kmeans import lloyd
from mfa_sklearn.mixture._start.samples import Sample

X = overlapping(1200, 6)
IDS = np.random.default_rng(0).integers(0, 40, len(X)) ** 2 // 40
WEIGHTS = np.random.default_rng(1).uniform(0.1, 2.0, len(X)) * (np.arange(len(X)) % 5 != 0)
CUTS = {2: [450], 3: [700, 700]}
CASES: dict[str, dict[str, Any]] = {
    "plain": {"n_init": 2},
    "weights": {},
    "nested": {"pool_size": 70, "projection": 3},
    "nested weights": {"pool_size": 100},
    "cosine": {"metric": "cosine", "pool_size": 200},
    "token_frequency": {"sampling": "token_frequency", "pool_size": 300},
}


def fitted(name: str, rows: slice, **arguments: Any) -> Any:
    weights = WEIGHTS[rows] if "weights" in name else None
    kmeans = KMeansInitializer(9, random_state=0, **CASES[name], **arguments)
    kmeans.fit(AnnotatedArray(X[rows], {"token_ids": IDS[rows]}), sample_weight=weights)
    return kmeans.cluster_centers_, kmeans.labels_, kmeans.inertia_, kmeans.n_iter_


def fits(rank: int, size: int, name: str) -> Any:
    ends = [0, *CUTS[size], len(X)]
    return fitted(name, slice(ends[rank], ends[rank + 1]), distributed=True)


def steps(rank: int, size: int) -> Any:
    return lloyd_from_far_centers(
        share(X, rank, CUTS[size]), share(WEIGHTS, rank, CUTS[size]), Group(torch.device("cpu"))
    )


def lloyd_from_far_centers(rows: np.ndarray, weights: np.ndarray, group: AnyGroup) -> Any:
    """Two centers are too far away for any row, so that their clusters take over rows."""
    centers = torch.as_tensor(np.vstack([X[:4], X[:2] + 1e4]))
    sample = Sample(torch.as_tensor(rows), torch.as_tensor(weights), group)
    found = lloyd(sample, centers, 5, 0.0)
    return found.centers.numpy(), found.labels.numpy(), found.inertia, found.n_iter


def assert_same(found: list[Any], expected: Any) -> None:
    assert not any(isinstance(part, Failure) for part in found), found
    for centers, _, inertia, n_iter in found:
        np.testing.assert_array_equal(centers, found[0][0])
        np.testing.assert_allclose(centers, expected[0], rtol=1e-10, atol=1e-10)
        assert inertia == pytest.approx(expected[2], rel=1e-12) and n_iter == expected[3]
    np.testing.assert_array_equal(np.concatenate([part[1] for part in found]), expected[1])


@pytest.fixture(scope="module", params=[2, 3])
def distributed(request):
    *results, far = world(request.param, *[(fits, (name,)) for name in CASES], (steps, ()))
    return dict(zip(CASES, results, strict=True)) | {"far": far}


@pytest.mark.parametrize("name", CASES)
def test_centers_of_several_processes_are_those_of_one(distributed, name) -> None:
    assert_same(distributed[name], fitted(name, slice(None)))


def test_empty_clusters_take_over_the_farthest_rows_of_all(distributed) -> None:
    expected = lloyd_from_far_centers(X, WEIGHTS, ALONE)
    assert np.abs(expected[0]).max() < 1e3
    assert_same(distributed["far"], expected)
