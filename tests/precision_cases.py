"""Mixtures with components that are long in units of their noise, and log densities in more digits than double."""

from __future__ import annotations

import numpy as np

from mfa_sklearn import MFA
from mfa_sklearn.mixture._model.params import MFAParams, to_params

WIDE = np.longdouble


def few_rows(n_delicate: int, n_features: int = 60, seed: int = 0) -> tuple[MFAParams, np.ndarray]:
    """Components of which some have noise at the floor, factors that their rows do not span, and two rows each."""
    rng = np.random.default_rng(seed)
    K, q = 5, 4
    noise = np.full((K, n_features), 0.3)
    noise[:n_delicate] = 1e-6
    means, loadings = 2 * rng.standard_normal((K, n_features)), rng.standard_normal((K, n_features, q))
    y = np.repeat(np.arange(K), [2] * n_delicate + [40] * (K - n_delicate))
    z = rng.standard_normal((len(y), q))
    X = means[y] + np.einsum("ndq,nq->nd", loadings[y], z) + 3 * np.sqrt(noise[y]) * rng.standard_normal(means[y].shape)
    weights = np.bincount(y, minlength=K) / len(y)
    return to_params(weights, means, loadings, noise), X


def long_mixture(length: float, n_features: int, n_components: int = 3, noise: str = "shared", seed: int = 0) -> MFA:
    """A mixture whose second component stands `length` noise deviations away, and has a factor that reaches back."""
    rng = np.random.default_rng(seed)
    axis = rng.standard_normal(n_features)
    axis /= np.linalg.norm(axis)
    means = 2 * rng.standard_normal((n_components, n_features))
    loadings = 0.3 * rng.standard_normal((n_components, n_features, 2))
    means[0], means[1], loadings[1, :, 0] = 0, length * axis, length * axis
    variance = rng.uniform(0.5, 1.5, (n_components, n_features)) if noise == "component" else np.ones(n_features)
    weights = np.full(n_components, 0.3 / (n_components - 1))
    weights[0] = 0.7
    return MFA.from_params(weights, means, loadings, variance)


def rows_near(mfa: MFA, n_rows: int, dtype: type, seed: int = 0) -> np.ndarray:
    """Rows about the means of all components but the long one, and some along its factor, close by."""
    rng = np.random.default_rng(seed)
    K, D = mfa.means_.shape
    X = rng.standard_normal((n_rows, D))
    X[: n_rows // 2] += mfa.means_[2:][rng.integers(K - 2, size=n_rows // 2)]
    axis = mfa.means_[1] / np.linalg.norm(mfa.means_[1])
    X[n_rows // 2 :: 3] += 8 * axis
    return X.astype(dtype)


def wide_log_joint(mfa: MFA, X: np.ndarray) -> np.ndarray:
    """Log joint densities (n, K) of complete rows, in extended precision.

    Each is read off the orthogonal decomposition of [Psi^-1/2 W, I], by Gram and Schmidt: the distance is what is left
    of [Psi^-1/2 (x - mu), 0] after its columns.
    """
    noise = np.atleast_2d(mfa.noise_variance_).astype(WIDE)
    columns = [
        np.log(WIDE(weight)) + _log_density(X, mfa.means_[k], mfa.loadings_[k], noise[k % len(noise)])
        for k, weight in enumerate(mfa.weights_)
    ]
    return np.stack(columns, 1)


def _log_density(X: np.ndarray, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray) -> np.ndarray:
    n_factors, deviation = loadings.shape[1], np.sqrt(noise)
    columns = np.concatenate([(loadings.astype(WIDE).T / deviation), np.eye(n_factors, dtype=WIDE)], 1)  # (q, D + q)
    left = np.concatenate([(X.astype(WIDE) - mean.astype(WIDE)) / deviation, np.zeros((len(X), n_factors))], 1)
    log_det = np.log(noise).sum()
    for i, column in enumerate(columns):
        length = np.sqrt((column * column).sum())
        unit = column / length
        log_det += 2 * np.log(length)
        for _ in range(2):  # the second time for what rounding left
            columns[i + 1 :] -= (columns[i + 1 :] @ unit)[:, None] * unit
            left = left - (left @ unit)[:, None] * unit
    return -(len(noise) * np.log(2 * WIDE(np.pi)) + log_det + (left * left).sum(1)) / 2
