"""Components joined into groups, nearest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from ..._base.checks import check_choice
from .distances import ComponentDistances

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Of scipy's methods those for which a distance between two groups never sinks as they grow.
METHODS = ("average", "complete", "single", "ward", "weighted")


def component_tree(distances: ComponentDistances | ArrayLike, method: str = "average") -> np.ndarray:
    """Hierarchical clustering of components.

    Parameters
    ----------
    distances : ComponentDistances or array-like of shape (K, K)
        Of the components of one mixture; of `ComponentDistances` the Bhattacharyya distances are taken. Any symmetric
        matrix of distances will do, such as ``distances.mean``.
    method : {"average", "complete", "single", "ward", "weighted"}, default="average"
        How far two groups are from each other, as for `scipy.cluster.hierarchy.linkage`. "ward" takes the square roots
        of the distances, because Bhattacharyya distances are squares where covariances are equal, and gives the most
        even groups; heights are then roots as well.

    Returns
    -------
    ndarray of shape (K - 1, 4)
        scipy's linkage matrix, for `scipy.cluster.hierarchy.fcluster` and `dendrogram`.

    Raises
    ------
    ValueError
        If the distances are not symmetric, or not of one mixture.

    Examples
    --------
    >>> from mfa_sklearn.interpret import component_tree
    >>> component_tree([[0, 1, 8], [1, 0, 6], [8, 6, 0]])
    array([[0., 1., 1., 2.],
           [2., 3., 7., 3.]])
    """
    check_choice("method", method, METHODS)
    matrix = square_distances(distances)
    matrix = np.sqrt(matrix) if method == "ward" else matrix
    if len(matrix) < 2:
        return np.empty((0, 4))
    return linkage(squareform(matrix, checks=False), method)


def square_distances(distances: ComponentDistances | ArrayLike) -> np.ndarray:
    """Distances among the components of one mixture, (K, K), checked."""
    if isinstance(distances, ComponentDistances):
        if distances.of_two:
            raise ValueError("distances must be of one mixture, with itself: these are between two")
        distances = distances.bhattacharyya
    try:
        matrix = np.asarray(distances, dtype=np.float64)
    except (TypeError, ValueError):
        kind = type(distances).__name__
        raise TypeError(f"distances must be what component_distances(mfa) returns, or a matrix; got {kind}") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(
            f"distances must be a square matrix, among the components of one mixture; got shape {matrix.shape}"
        )
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        raise ValueError("distances must be finite and not negative")
    if not np.allclose(matrix, matrix.T) or np.diagonal(matrix).any():
        raise ValueError("distances must be symmetric, with zeros on the diagonal: of one mixture, with itself")
    return matrix
