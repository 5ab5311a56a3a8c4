"""`component_tree` on distances whose trees are known."""

from __future__ import annotations

import numpy as np
import pytest
from interpret_fixtures import mixture
from scipy.cluster.hierarchy import is_valid_linkage, linkage
from scipy.spatial.distance import squareform

from mfa_sklearn.interpret import component_distances, component_tree


@pytest.mark.parametrize("method", ["average", "complete", "single", "weighted"])
def test_is_scipys_of_bhattacharyya_distances(method: str) -> None:
    distances = component_distances(mixture(n_components=7))
    tree = component_tree(distances, method)
    np.testing.assert_array_equal(tree, linkage(squareform(distances.bhattacharyya), method))
    assert tree.shape == (6, 4) and is_valid_linkage(tree)
    np.testing.assert_array_equal(tree, component_tree(distances.bhattacharyya, method))


def test_ward_of_squared_distances_is_that_of_their_points() -> None:
    points = np.random.default_rng(0).normal(size=(9, 3))
    squares = np.square(points[:, None] - points).sum(2)
    np.testing.assert_allclose(component_tree(squares, "ward"), linkage(points, "ward"))


@pytest.mark.parametrize("K", [1, 2])
def test_few_components(K: int) -> None:
    assert component_tree(component_distances(mixture(n_components=K))).shape == (K - 1, 4)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"square matrix, .* got shape \(4, 3\)"):
        component_tree(np.ones((4, 3)))
    for other in (mixture(), mixture(n_components=3)):  # also of two that happen to be the same
        with pytest.raises(ValueError, match="of one mixture, with itself: these are between two"):
            component_tree(component_distances(mixture(), other))
    with pytest.raises(
        TypeError, match=r"must be what component_distances\(mfa\) returns, or a matrix; got ExactMixture"
    ):
        component_tree(mixture())
    with pytest.raises(ValueError, match="symmetric"):
        component_tree([[0, 1], [2, 0]])
    with pytest.raises(ValueError, match="zeros on the diagonal"):
        component_tree([[1, 1], [1, 1]])
    with pytest.raises(ValueError, match="finite and not negative"):
        component_tree([[0, np.nan], [np.nan, 0]])
    with pytest.raises(ValueError, match="method='centroid' is unknown"):
        component_tree([[0, 1], [1, 0]], "centroid")
