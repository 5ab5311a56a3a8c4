"""`component_map` on mixtures whose neighbors are known."""

from __future__ import annotations

import numpy as np
import pytest
from interpret_fixtures import ExactMixture, mixture
from scipy.spatial.distance import cdist

from mfa_sklearn.interpret import component_distances, component_map, project


def grouped(n_groups: int = 4, each: int = 8) -> ExactMixture:
    """Components in groups far from each other."""
    rng = np.random.default_rng(0)
    mfa = mixture(n_components=n_groups * each)
    mfa.means_ = np.repeat(rng.normal(size=(n_groups, 5)) * 30, each, axis=0) + rng.normal(size=mfa.means_.shape)
    mfa.loadings_ = np.repeat(mfa.loadings_[:1], len(mfa.means_), axis=0)
    return mfa


def test_neighbors_stay_together() -> None:
    found = component_map(grouped(), n_clusters=4)
    assert found.method == "t-SNE" and found.trustworthiness > 0.9 and len(found) == 32
    groups = np.arange(32) // 8
    assert len({(group, cluster) for group, cluster in zip(groups, found.clusters, strict=True)}) == 4
    apart = cdist(found.coordinates, found.coordinates)
    np.fill_diagonal(apart, np.inf)
    assert (groups[apart.argmin(1)] == groups).all()


def test_framed_and_the_same_again() -> None:
    mfa = grouped()
    found = component_map(mfa)
    assert np.abs(found.coordinates).max() == 1 and found.coordinates.mean(0) == pytest.approx([0, 0], abs=1e-12)
    assert found.coordinates[:, 0].std() >= found.coordinates[:, 1].std()
    np.testing.assert_array_equal(found.coordinates, component_map(mfa).coordinates)
    given = component_map(mfa, component_distances(mfa).bhattacharyya)
    np.testing.assert_array_equal(found.coordinates, given.coordinates)
    table = found.to_frame()
    assert list(table) == ["x", "y", "cluster"] and table.index.name == "component"
    told = f"trustworthiness={found.trustworthiness:.2f}"
    assert repr(found) == f"ComponentMap(32 components in 6 clusters by t-SNE, {told})"


@pytest.mark.parametrize("K", [1, 2, 3, 9])
def test_few_components(K: int) -> None:
    mfa = mixture(n_components=K)
    found = component_map(mfa)
    assert found.method == "classical MDS" and found.coordinates.shape == (K, 2) and found.tree.shape == (K - 1, 4)
    assert np.isfinite(found.coordinates).all() and len(found.clusters) == K
    if K in (2, 3):  # any two or three points whose distances fit a triangle lie in a plane as they are
        roots = np.sqrt(component_distances(mfa).bhattacharyya)
        apart = cdist(found.coordinates, found.coordinates)
        np.testing.assert_allclose(apart / apart.max(), roots / roots.max(), atol=1e-6)


@pytest.mark.parametrize("K", [3, 12])
def test_components_that_are_all_the_same(K: int) -> None:
    mfa = mixture(n_components=K)
    mfa.means_[:], mfa.loadings_[:] = mfa.means_[0], mfa.loadings_[0]
    assert np.isfinite(component_map(mfa).coordinates).all()


def test_clusters_are_numbered_by_size() -> None:
    found = component_map(grouped(3, 4), n_clusters=5)
    sizes = np.bincount(found.clusters)
    assert len(sizes) == 5 and (np.diff(sizes) <= 0).all()


def test_refusals() -> None:
    mfa = mixture()
    with pytest.raises(ValueError, match="n_clusters=5 is more than the 4 components"):
        component_map(mfa, n_clusters=5)
    with pytest.raises(ValueError, match="between 3 components, but the mixture has 4"):
        component_map(mfa, np.ones((3, 3)) - np.eye(3))
    with pytest.raises(ValueError, match="method='median' is unknown"):
        component_map(mfa, method="median")


@pytest.mark.parametrize("K", [3, 12])
def test_arguments_are_checked_before_distances_are_taken(K: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfa_sklearn.interpret._between.component_map.component_distances", None)
    for arguments, message in (
        ({"random_state": "x"}, "'x' cannot be used to seed"),
        ({"method": "centroid"}, "method='centroid' is unknown"),
        ({"n_clusters": 99}, "n_clusters=99 is more than"),
    ):
        with pytest.raises(ValueError, match=message):
            component_map(mixture(n_components=K), **arguments)


def test_maps_and_distances_compare_by_identity() -> None:
    distances = component_distances(mixture())
    found = component_map(mixture())
    X = np.random.default_rng(0).normal(size=(20, 5))
    for one in (distances, found, project(mixture(), X @ np.eye(5, mixture().means_.shape[1]), 0)):
        assert one == one and one in {one} and one != 3
    assert found != component_map(mixture())
