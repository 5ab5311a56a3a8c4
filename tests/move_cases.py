"""Random mixtures as a move takes them, and rows to move."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from scipy.special import softmax
from scipy.stats import multivariate_normal

from mfa_sklearn.mixture._model.params import MFAParams

K, D, Q = 4, 7, 2


def make_params(noise: str = "shared", seed: int = 0) -> MFAParams:
    rng = np.random.default_rng(seed)
    psi = {
        "isotropic": np.full((1, D), 0.3),
        "shared": rng.uniform(0.1, 2.0, (1, D)),
        "component": rng.uniform(0.1, 2.0, (K, D)),
    }[noise]
    parts = np.log(rng.dirichlet(np.ones(K))), rng.normal(0, 2, (K, D)), rng.normal(0, 1.5, (K, D, Q)), psi
    return MFAParams(*(torch.as_tensor(part) for part in parts))


def as_mfa(params: MFAParams) -> SimpleNamespace:
    log_weights, means, loadings, noise = (part.numpy() for part in params)
    noise = noise[0] if len(noise) == 1 else noise
    return SimpleNamespace(weights_=np.exp(log_weights), means_=means, loadings_=loadings, noise_variance_=noise)


def rows(n: int = 5, dtype: torch.dtype = torch.float64, seed: int = 1) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(seed).normal(0, 3, (n, D))).to(dtype)


def covariance(params: MFAParams, k: int) -> np.ndarray:
    noise = params.noise_variance[k if len(params.noise_variance) > 1 else 0]
    return (params.loadings[k] @ params.loadings[k].T + noise.diag()).numpy()


def posteriors(params: MFAParams, x: np.ndarray) -> np.ndarray:
    """Responsibilities (n, K), from dense covariances."""
    return softmax(log_joints(params, x), axis=1)


def log_joints(params: MFAParams, x: np.ndarray) -> np.ndarray:
    """Log joint densities (n, K), from dense covariances."""
    normals = [multivariate_normal(params.means[k], covariance(params, k)) for k in range(len(params.means))]
    return np.stack([normal.logpdf(x).reshape(-1) for normal in normals], axis=1) + params.log_weights.numpy()


def draws(params: MFAParams, components: list[int], seed: int = 2) -> torch.Tensor:
    """A row of each of the components named."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(len(components), params.loadings.shape[2]))
    noise = params.noise_variance.expand(len(params.means), -1).numpy()[components]
    scaled = np.einsum("ndq,nq->nd", params.loadings.numpy()[components], z)
    return torch.as_tensor(params.means.numpy()[components] + scaled + rng.normal(size=noise.shape) * np.sqrt(noise))
