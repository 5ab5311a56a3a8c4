"""Log densities of a mixture from covariances written out, in the widest floating-point numbers numpy has.

With A = Psi^-1/2 W the covariance in units of its noise is I + A A^T, (D, D), factorized by Cholesky's method written
out: nothing is shared with the library, neither the identity it uses nor its precision.
Shapes: n rows, K components, D features, q factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

WIDE = np.longdouble


def log_joint(mfa: Any, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log joint densities (n, K) of a fitted mixture, and squared distances, of rows that may miss values."""
    noise = np.atleast_2d(mfa.noise_variance_)
    joint, distance = np.empty((2, len(X), len(mfa.weights_)), dtype=WIDE)
    with np.errstate(divide="ignore"):
        log_weights = np.log(mfa.weights_.astype(WIDE))
    for k, log_weight in enumerate(log_weights):
        log_prob, distance[:, k] = log_density(X, mfa.means_[k], mfa.loadings_[k], noise[k % len(noise)])
        joint[:, k] = log_weight + log_prob
    return joint, distance


def log_density(
    X: np.ndarray, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log density (n,) and squared distance (n,) of rows (n, D) under N(mean, W W^T + diag(noise))."""
    seen = ~np.isnan(X)
    deviation = np.sqrt(noise.astype(WIDE))
    y = np.where(seen, (X.astype(WIDE) - mean.astype(WIDE)) / deviation, 0)
    axes = loadings.astype(WIDE) / deviation[:, None]
    # A feature that a row misses is one of its own, of variance one and at its mean, which adds nothing.
    mask = seen if not seen.all() else seen[:1]
    A = mask[:, :, None] * axes
    covariance = A @ A.swapaxes(1, 2) + np.eye(len(noise), dtype=WIDE)  # (n or 1, D, D)
    root = cholesky(covariance)
    distance = (solve_lower(root, y) ** 2).sum(1)
    log_det = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(1) + mask @ np.log(noise.astype(WIDE))
    return -(seen.sum(1) * np.log(2 * WIDE(np.pi)) + log_det + distance) / 2, distance


def cholesky(matrices: np.ndarray) -> np.ndarray:
    """Lower triangular roots of symmetric matrices (m, D, D); numpy's own are in double precision."""
    left, root = matrices.copy(), np.zeros_like(matrices)
    for i in range(left.shape[1]):
        root[:, i:, i] = left[:, i:, i] / np.sqrt(left[:, i, i])[:, None]
        left[:, i:, i:] -= root[:, i:, None, i] * root[:, None, i:, i]
    return root


def solve_lower(root: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``L^-1 y`` of rows (n, D), for roots (n, D, D) or one for all."""
    solved = np.zeros_like(y)
    for i in range(y.shape[1]):
        known = (root[:, i, :i] * solved[:, :i]).sum(1)
        solved[:, i] = (y[:, i] - known) / root[:, i, i]
    return solved
