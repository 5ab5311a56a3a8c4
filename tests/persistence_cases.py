"""Mixtures to save, numbers of mixtures, and when two estimators are the same."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_wine

from mfa_sklearn import MFA

X = load_wine().data


def fitted(**params) -> MFA:
    settings = {"n_components": 2, "n_factors": 2, "tol": 0, "max_iter": 4, "random_state": 0}
    return MFA(**(settings | params)).fit(X)


def random_numbers(shared: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0.5, 2.0, 4 if shared else (3, 4))
    return rng.dirichlet(np.ones(3)), rng.standard_normal((3, 4)), rng.standard_normal((3, 4, 2)), noise


def dense_log_prob(rows, weights, means, loadings, noise) -> np.ndarray:
    noise = np.broadcast_to(noise, means.shape)
    parts = [
        np.log(w) + multivariate_normal(m, L @ L.T + np.diag(p)).logpdf(rows)
        for w, m, L, p in zip(weights, means, loadings, noise, strict=True)
    ]
    return logsumexp(parts, axis=0)


def assert_same(a: MFA, b: MFA) -> None:
    # What streams and warm starts go on from belongs to the running process.
    passing = {"_stream", "_progress", "_interrupted"}
    assert vars(a).keys() - passing == vars(b).keys() - passing
    for name in vars(a).keys() - passing:
        value = getattr(a, name)
        other = getattr(b, name)
        if isinstance(value, np.ndarray):
            assert value.dtype == other.dtype and np.array_equal(value, other), name
        else:
            assert value == other and type(value) is type(other), name
