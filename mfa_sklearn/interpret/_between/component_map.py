"""All components of a mixture as points of a plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import fcluster
from sklearn.manifold import TSNE, ClassicalMDS, trustworthiness
from sklearn.utils import check_random_state
from sklearn.utils.extmath import svd_flip

from ..._base.checks import check_choice, check_count, import_optional
from .._inputs import check_mixture
from .distances import ComponentDistances, component_distances
from .tree import METHODS, component_tree, square_distances

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from ...mixture import MFA

# Below this many components there are too few neighbors for t-SNE to keep, and their distances themselves are mapped.
_FEW = 10
# Neighbors that t-SNE looks at, and most clusters that are told apart unless more are asked for.
_PERPLEXITY = 30
_MOST_CLUSTERS = 20
# Neighbors by which a map is judged.
_JUDGED = 10


@dataclass(frozen=True, eq=False)
class ComponentMap:
    """Components as points of a plane; `component_map` makes it.

    Attributes
    ----------
    coordinates : ndarray of shape (K, 2)
        Centered, wider than high, and within [-1, 1]. Only which points are close to each other means anything.
    clusters : ndarray of shape (K,)
        The cluster of each component, from 0, the largest first.
    tree : ndarray of shape (K - 1, 4)
        scipy's linkage matrix from which the clusters were cut.
    trustworthiness : float
        From 0 to 1: how far the ten nearest points of each are also near by distance
        (`sklearn.manifold.trustworthiness`).
    method : {"t-SNE", "classical MDS"}
        How the plane was found.
    """

    coordinates: np.ndarray
    clusters: np.ndarray
    tree: np.ndarray
    trustworthiness: float
    method: str

    def __len__(self) -> int:
        return len(self.coordinates)

    def __repr__(self) -> str:
        return (
            f"ComponentMap({len(self)} components in {len(np.unique(self.clusters))} clusters by {self.method}, "
            f"trustworthiness={self.trustworthiness:.2f})"
        )

    def to_frame(self) -> pd.DataFrame:
        """Indexed by component, with the columns x, y and cluster."""
        pd = import_optional("pandas", "ComponentMap.to_frame")
        x, y = self.coordinates.T
        index = pd.RangeIndex(len(self), name="component")
        return pd.DataFrame({"x": x, "y": y, "cluster": self.clusters}, index=index)


def component_map(
    mfa: MFA,
    distances: ComponentDistances | ArrayLike | None = None,
    *,
    n_clusters: int | None = None,
    method: str = "ward",
    random_state: int | None = 0,
) -> ComponentMap:
    """A map of a mixture's components that keeps neighbors together, and their clusters.

    Parameters
    ----------
    mfa : fitted MFA
    distances : ComponentDistances or array-like of shape (K, K), optional
        By default the Bhattacharyya distances between all components.
    n_clusters : int, optional
        By default the root of the number of components, at most 20.
    method : {"ward", "average", "complete", "single", "weighted"}, default="ward"
        How clusters are joined, as for `component_tree`.
    random_state : int or None, default=0
        For t-SNE, which starts from classical scaling; the same number gives the same map.

    Returns
    -------
    ComponentMap

    Raises
    ------
    ValueError
        If the distances are not those between all components, or there are fewer components than clusters.

    Notes
    -----
    t-SNE (van der Maaten & Hinton, JMLR 9, 2008) models neighbors by ``exp(-beta_k distance)``, so for Bhattacharyya
    distances by powers of the overlap. Of classical scaling, SMACOF, spectral embedding and t-SNE it kept most
    neighbors on the mixtures it was tried on. Fewer than ten components are mapped by classical scaling of the roots of
    the distances (Torgerson, Psychometrika 17, 1952).

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.interpret import component_map
    >>> means = np.array([[0.0, 0], [1, 0], [30, 0], [31, 0]])
    >>> mfa = MFA.from_params(np.full(4, 0.25), means, np.ones((4, 2, 1)), np.ones(2))
    >>> component_map(mfa).clusters
    array([0, 0, 1, 1])
    """
    n_components = check_mixture(mfa)
    count = _check_clusters(n_clusters, n_components)
    check_choice("method", method, METHODS)
    check_random_state(random_state)
    matrix = square_distances(component_distances(mfa) if distances is None else distances)
    if len(matrix) != n_components:
        raise ValueError(f"distances are between {len(matrix)} components, but the mixture has {n_components}")
    tree = component_tree(matrix, method)
    points = _scaled(matrix)
    few = n_components < _FEW
    if not few:
        points = _neighbors_kept(matrix, points, random_state)
    return ComponentMap(
        coordinates=_framed(points),
        clusters=_clusters(tree, count),
        tree=tree,
        trustworthiness=_trustworthiness(matrix, points),
        method="classical MDS" if few else "t-SNE",
    )


def _check_clusters(n_clusters: int | None, n_components: int) -> int:
    if n_clusters is None:
        return min(round(np.sqrt(n_components)), _MOST_CLUSTERS)
    if check_count("n_clusters", n_clusters) > n_components:
        raise ValueError(f"n_clusters={n_clusters} is more than the {n_components} components of the mixture")
    return n_clusters


def _scaled(matrix: np.ndarray) -> np.ndarray:
    """Points whose distances are about the roots of those given, (K, 2)."""
    points = np.zeros((len(matrix), 2))
    if len(matrix) > 2:
        return ClassicalMDS(2, metric="precomputed").fit_transform(np.sqrt(matrix))
    if len(matrix) == 2:
        points[1, 0] = np.sqrt(matrix[0, 1])
    return points


def _neighbors_kept(matrix: np.ndarray, points: np.ndarray, random_state: int | None) -> np.ndarray:
    """Points near each other where components are, (K, 2), moved from where `points` puts them."""
    spread = points[:, 0].std()
    start = points * (1e-4 / spread) if spread > 0 else points  # as small as scikit-learn starts t-SNE
    perplexity = min(_PERPLEXITY, (len(matrix) - 1) / 3)
    tsne = TSNE(2, metric="precomputed", init=start, perplexity=perplexity, random_state=random_state)
    return tsne.fit_transform(matrix).astype(np.float64)


def _framed(points: np.ndarray) -> np.ndarray:
    """The same picture, turned so that it is widest from left to right, within [-1, 1]."""
    centered = points - points.mean(0)
    _, _, axes = np.linalg.svd(centered, full_matrices=True)
    turned = centered @ svd_flip(None, axes, u_based_decision=False)[1].T
    widest = np.abs(turned).max(initial=0)
    return turned / widest if widest > 0 else turned


def _clusters(tree: np.ndarray, count: int) -> np.ndarray:
    """Numbers of at most so many clusters, the largest first."""
    if not len(tree):
        return np.zeros(1, dtype=np.int64)
    _, cluster, size = np.unique(fcluster(tree, count, "maxclust"), return_inverse=True, return_counts=True)
    order = np.argsort(-size, kind="stable")
    return np.argsort(order)[cluster]


def _trustworthiness(matrix: np.ndarray, points: np.ndarray) -> float:
    n_neighbors = min(_JUDGED, (len(matrix) - 1) // 2)
    if n_neighbors < 1:
        return 1.0
    return float(trustworthiness(matrix, points, n_neighbors=n_neighbors, metric="precomputed"))
