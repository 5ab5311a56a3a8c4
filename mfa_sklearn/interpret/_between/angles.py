"""The angles between the subspaces of components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .distances import compared

if TYPE_CHECKING:
    from ...mixture import MFA


def subspace_angles(mfa: MFA, other: MFA | None = None, *, components: int | Sequence[int] | None = None) -> np.ndarray:
    """Principal angles between the spans of the components' loadings.

    Parameters
    ----------
    mfa : fitted MFA
    other : fitted MFA, optional
        Another mixture of the same features; by default `mfa` is compared with itself.
    components : int or array-like of int, optional
        Which components of `mfa`; by default all.

    Returns
    -------
    ndarray of shape (K, L, q)
        Radians from 0 (a direction that both subspaces have) to pi / 2 (orthogonal), ascending; q is the smaller of the
        mixtures' numbers of factors. Where a subspace of the two has fewer dimensions, the last angles are NaN.

    Raises
    ------
    ValueError
        If the mixtures have not equally many features, or a component is out of range.

    Notes
    -----
    Cosines are the singular values of ``Q_1^T Q_2`` for orthonormal bases of the two spans (Bjoerck & Golub, Math.
    Comp. 27, 1973). Angles are right to about 1e-7 radians. Loadings are compared in the units of the features;
    where those differ, scale the columns before the mixture is fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.interpret import subspace_angles
    >>> loadings = np.array([[[1.0], [0]], [[1], [1]], [[0], [1]]])
    >>> mfa = MFA.from_params(np.full(3, 1 / 3), np.zeros((3, 2)), loadings, np.ones(2))
    >>> np.degrees(subspace_angles(mfa)[0, :, 0]).round()
    array([ 0., 45., 90.])
    """
    _, first, second = compared(mfa, other, components)
    rows = _bases(first.loadings)
    columns = rows if second is None else _bases(second.loadings)
    n_angles = min(rows[0].shape[2], columns[0].shape[2])
    out = np.empty((len(rows[0]), len(columns[0]), n_angles))
    for k, (basis, rank) in enumerate(zip(*rows, strict=True)):
        start = k if second is None else 0
        cosines = np.linalg.svd(basis.T @ columns[0][start:], compute_uv=False)
        angles = np.arccos(np.minimum(cosines, 1))
        angles[np.arange(n_angles) >= np.minimum(rank, columns[1][start:])[:, None]] = np.nan
        if second is None:
            angles[0, :rank] = 0
            out[k:, k] = angles
        out[k, start:] = angles
    return out


def _bases(loadings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal bases (K, D, r) of the spans of loadings (K, D, q), with zeros after the rank of each, and the ranks.

    Singular values at most `max(D, q)` roundings of the largest count as zero, as for `numpy.linalg.matrix_rank`.
    """
    u, s, _ = np.linalg.svd(loadings, full_matrices=False)
    least = s.max(1, initial=0, keepdims=True) * max(loadings.shape[1:]) * np.finfo(np.float64).eps
    inside = s > least
    return u * inside[:, None, :], inside.sum(1)
