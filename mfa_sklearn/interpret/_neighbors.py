"""Which components overlap, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._base.checks import check_count, import_optional
from ._inputs import check_mixture, selected_components

if TYPE_CHECKING:
    import pandas as pd

    from ..mixture import MFA

# Pairs of components to compare at once, by the bytes of their loadings.
_BLOCK_BYTES = 2**20


def neighbors(mfa: MFA, n_neighbors: int = 5, *, components: int | Sequence[int] | None = None) -> pd.DataFrame:
    """The components that each component overlaps most.

    Parameters
    ----------
    mfa : fitted MFA
    n_neighbors : int, default=5
        Most neighbors per component.
    components : int or array-like of int, optional
        Which components to list; by default all.

    Returns
    -------
    DataFrame
        Sorted by component and rank, with the columns

        * component, rank (from 1), neighbor;
        * distance: Bhattacharyya distance between the two Gaussians, in nats, at least 0;
        * overlap: ``exp(-distance)``, the integral of ``sqrt(p q)``, from 0 (disjoint) to 1 (equal).

    Notes
    -----
    With ``S = (S_1 + S_2) / 2``, the mean of the covariances, and ``d = mu_2 - mu_1``, ::

        distance = d^T S^-1 d / 8 + log(det S / sqrt(det S_1 det S_2)) / 2

    (Kailath, IEEE Trans. Communication Technology 15, 1967). The weights play no part. In hundreds of dimensions
    overlaps are tiny numbers; distances still rank them.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.interpret import neighbors
    >>> centers = np.array([[0.0, 0], [3, 0], [90, 0]])
    >>> X = np.random.default_rng(0).normal(centers, 1, size=(500, 3, 2)).reshape(-1, 2)
    >>> neighbors(MFA(3, 1, init=centers, max_iter=0).fit(X), 1)[["component", "neighbor"]].to_numpy().tolist()
    [[0, 1], [1, 0], [2, 1]]
    """
    pd = import_optional("pandas", "neighbors")
    chosen = selected_components(components, check_mixture(mfa))
    count = check_count("n_neighbors", n_neighbors)
    means, loadings = (np.asarray(fact, dtype=np.float64) for fact in (mfa.means_, mfa.loadings_))
    noise = np.broadcast_to(np.asarray(mfa.noise_variance_, dtype=np.float64), means.shape)
    distance = bhattacharyya_distances(chosen, means, loadings, noise)
    distance[np.arange(len(chosen)), chosen] = np.inf
    order = np.argsort(distance, axis=1, kind="stable")[:, : min(count, len(means) - 1)]
    place, rank = np.indices(order.shape).reshape(2, -1)
    found = distance[place, order.ravel()]
    columns = {"component": chosen[place], "rank": rank + 1, "neighbor": order.ravel(), "distance": found}
    return pd.DataFrame({**columns, "overlap": np.exp(-found)})


def bhattacharyya_distances(
    chosen: np.ndarray, means: np.ndarray, loadings: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Distances from the chosen components to all, (len(chosen), K).

    Parameters
    ----------
    chosen : ndarray of int
        Ascending.
    means : ndarray of shape (K, D)
    loadings : ndarray of shape (K, D, q)
    noise : ndarray of shape (K, D)
        Noise variance of each component.
    """
    n_components, n_features, n_factors = loadings.shape
    gram = loadings.mT @ (loadings / noise[:, :, None])
    log_det = np.log(noise).sum(1) + np.linalg.slogdet(np.eye(n_factors) + gram)[1]
    step = max(1, _BLOCK_BYTES // (8 * n_features * max(n_factors, 1)))
    out = np.empty((len(chosen), n_components))
    # Distances are symmetric: where all are asked for, half of them are enough.
    symmetric = len(chosen) == n_components
    for row, k in enumerate(chosen):
        for start in range(k if symmetric else 0, n_components, step):
            others = slice(start, min(start + step, n_components))
            half = _half_distances(k, others, means, loadings, noise)
            out[row, others] = half - (log_det[k] + log_det[others]) / 4
        if symmetric:
            out[k:, k] = out[k, k:]
    return np.maximum(out, 0)


def _half_distances(k: int, others: slice, means: np.ndarray, loadings: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """``d^T S^-1 d / 8 + log det S / 2`` of component k and n others, (n,).

    The mean S of two covariances ``Psi + W W^T`` is of that form again, with the factors of both, each divided by
    the square root of 2; the quadratic form is a sum of squares, ``|d - W z|^2_Psi + |z|^2`` at ``z = E[z | d]``.
    """
    own, other = loadings[k], loadings[others]
    n_factors = own.shape[1]
    psi, deviations = (noise[k] + noise[others]) / 2, means[others] - means[k]
    scaled = other / psi[:, :, None]
    inner = np.empty((len(other), 2 * n_factors, 2 * n_factors))
    pairs = (own[:, :, None] * own[:, None, :]).reshape(len(own), n_factors**2)
    inner[:, :n_factors, :n_factors] = (1 / psi @ pairs).reshape(len(other), n_factors, n_factors)
    inner[:, :n_factors, n_factors:] = own.T @ scaled
    inner[:, n_factors:, :n_factors] = inner[:, :n_factors, n_factors:].mT
    inner[:, n_factors:, n_factors:] = other.mT @ scaled
    inner = np.eye(2 * n_factors) + inner / 2
    projected = np.concatenate([(deviations / psi) @ own, (scaled.mT @ deviations[:, :, None])[:, :, 0]], axis=1)
    z = np.linalg.solve(inner, projected[:, :, None] / np.sqrt(2))
    explained = z[:, :n_factors, 0] @ own.T + (other @ z[:, n_factors:])[:, :, 0]
    squares = (np.square(deviations - explained / np.sqrt(2)) / psi).sum(1) + np.square(z).sum((1, 2))
    return squares / 8 + (np.log(psi).sum(1) + np.linalg.slogdet(inner)[1]) / 2
