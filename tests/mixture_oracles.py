"""Dense, slow and obvious counterparts of the mixture's algebra, shared by the tests of `mfa_sklearn.mixture`.

All in numpy and double precision, with D x D covariances written out. Shapes: K components, D features, q factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from mfa_sklearn import MFA
from mfa_sklearn.mixture._em.sharp import SharpSums
from mfa_sklearn.mixture._em.statistics import Statistics
from mfa_sklearn.mixture._model.density import Density
from mfa_sklearn.mixture._model.params import MFAParams, Structure
from mfa_sklearn.mixture._rows import Batches, Conditioner

# Loadings / noise by component / noise by feature; U is free, C is tied.
STRUCTURES = {
    name: Structure(
        common_loadings=name[0] == "C",
        shared_noise=name[1] == "C",
        isotropic_noise=name[2] == "C",
    )
    for name in ("UUU", "UUC", "UCU", "UCC", "CUU", "CUC", "CCU", "CCC")
}

# (K, D, q): one component, no factors, one feature, one factor fewer than features, more features than usual.
SIZES = [(3, 5, 2), (1, 4, 1), (2, 3, 0), (1, 1, 0), (2, 4, 3), (4, 30, 6)]


def estimator_arguments(structure: Structure) -> dict[str, str]:
    """The parameters of the estimator that ask for a structure."""
    return {
        "loading_type": "common" if structure.common_loadings else "component",
        "noise": "shared" if structure.shared_noise else "component",
        "noise_form": "isotropic" if structure.isotropic_noise else "diagonal",
    }


def random_params(
    structure: Structure, size: tuple[int, int, int], seed: int = 0, dtype: torch.dtype = torch.float64
) -> MFAParams:
    """Parameters without any pattern but the ties of the structure."""
    K, D, q = size
    rng = np.random.default_rng(seed)
    loadings = rng.standard_normal((1 if structure.common_loadings else K, D, q))
    noise = rng.uniform(0.2, 1.5, (1 if structure.shared_noise else K, 1 if structure.isotropic_noise else D))
    return MFAParams(
        torch.tensor(np.log(rng.dirichlet(np.full(K, 3.0))), dtype=dtype),
        torch.tensor(2 * rng.standard_normal((K, D)), dtype=dtype),
        torch.tensor(np.broadcast_to(loadings, (K, D, q)).copy(), dtype=dtype),
        torch.tensor(np.broadcast_to(noise, (len(noise), D)).copy(), dtype=dtype),
    )


def random_rows(params: MFAParams, n_rows: int, seed: int = 0) -> np.ndarray:
    """Rows about the components' means, wider than the components are."""
    rng = np.random.default_rng(seed)
    means = params.means.numpy().astype(float)
    return means[rng.integers(len(means), size=n_rows)] + 1.5 * rng.standard_normal((n_rows, means.shape[1]))


def as_arrays(params: MFAParams) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Weights (K,), means (K, D), loadings (K, D, q) and noise variance (K, D) in numpy."""
    log_weights, means, loadings, noise = (t.detach().cpu().double().numpy() for t in params)
    return np.exp(log_weights), means, loadings, np.broadcast_to(noise, means.shape)


def dense_covariances(params: MFAParams) -> np.ndarray:
    """``W_k W_k^T + Psi_k``, (K, D, D)."""
    _, _, loadings, noise = as_arrays(params)
    return np.stack([W @ W.T + np.diag(psi) for W, psi in zip(loadings, noise, strict=True)])


def dense_log_joint(params: MFAParams, X: np.ndarray) -> np.ndarray:
    """``log w_k + log N(x | k)``, (n, K), by scipy."""
    weights, means, _, _ = as_arrays(params)
    columns = [
        np.log(w) + np.atleast_1d(multivariate_normal(mean, cov).logpdf(X))
        for w, mean, cov in zip(weights, means, dense_covariances(params), strict=True)
    ]
    return np.stack(columns, axis=1)


def dense_log_prob(params: MFAParams, X: np.ndarray) -> np.ndarray:
    """Log density of each row, (n,)."""
    return logsumexp(dense_log_joint(params, X), axis=1)


def dense_responsibilities(params: MFAParams, X: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Posterior probability of each component, (n, K), flattened by a temperature."""
    joint = dense_log_joint(params, X) / temperature
    return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))


def dense_posterior(params: MFAParams, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (n, K, q) and covariance (K, q, q) of the factors, by conditioning the joint Gaussian of (z, x)."""
    _, means, loadings, _ = as_arrays(params)
    gain = [np.linalg.solve(cov, W).T for W, cov in zip(loadings, dense_covariances(params), strict=True)]
    mean = np.stack([(X - mu) @ G.T for mu, G in zip(means, gain, strict=True)], axis=1)
    cov = np.stack([np.eye(W.shape[1]) - G @ W for W, G in zip(loadings, gain, strict=True)])
    return mean, cov


def dense_statistics(params: MFAParams, about: MFAParams, X: np.ndarray, weights: np.ndarray, temperature: float = 1.0):
    """Moments about one set of parameters under the posterior of another, from the definitions."""
    _, means, loadings, _ = as_arrays(about)
    r = weights[:, None] * dense_responsibilities(params, X, temperature)
    z, cov = dense_posterior(params, X)
    K = len(means)
    e = np.stack([X - means[k] - z[:, k] @ loadings[k].T for k in range(K)], axis=1)
    moments = [
        r.sum(0),
        np.einsum("nk,nkd->kd", r, e),
        np.einsum("nk,nki->ki", r, z),
        np.stack([(r[:, k, None] * e[:, k]).T @ z[:, k] - r[:, k].sum() * loadings[k] @ cov[k] for k in range(K)]),
        np.stack([(r[:, k, None] * z[:, k]).T @ z[:, k] + r[:, k].sum() * cov[k] for k in range(K)]),
        np.einsum("nk,nkd->kd", r, e**2)
        + r.sum(0)[:, None] * np.stack([np.diag(loadings[k] @ cov[k] @ loadings[k].T) for k in range(K)]),
        weights @ dense_log_prob(params, X),
        weights.sum(),
    ]
    return Statistics(*(torch.as_tensor(m, dtype=torch.float64) for m in moments))


def assert_same_statistics(found: Statistics, expected: Statistics, tolerance: float = 1e-10) -> None:
    """Every moment agrees, absolutely or relatively."""
    for name, a, b in zip(Statistics._fields, found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}")


def expected_complete_log_likelihood(new: MFAParams, old: MFAParams, X: np.ndarray, weights: np.ndarray) -> float:
    """EM's objective: the complete-data log-likelihood of `new`, expected under the posterior of `old`."""
    w, means, loadings, noise = as_arrays(new)
    responsibility = weights[:, None] * dense_responsibilities(old, X)
    scores, score_cov = dense_posterior(old, X)
    total = 0.0
    for k in range(len(w)):
        left = X - means[k] - scores[:, k] @ loadings[k].T
        spread = np.diag(loadings[k] @ score_cov[k] @ loadings[k].T)
        log_x = -0.5 * (np.log(2 * np.pi * noise[k]) + (left**2 + spread) / noise[k]).sum(1)
        log_z = -0.5 * (np.log(2 * np.pi) * scores.shape[2] + (scores[:, k] ** 2).sum(1) + np.trace(score_cov[k]))
        total += responsibility[:, k] @ (np.log(w[k]) + log_x + log_z)
    return float(total)


def fitted(params: MFAParams, structure: Structure, **arguments: Any) -> MFA:
    """An estimator that holds exactly these parameters."""
    weights, means, loadings, noise = (a.copy() for a in as_arrays(params))
    K, D, q = loadings.shape
    mfa = MFA(n_components=K, n_factors=q, **estimator_arguments(structure), **arguments)
    mfa.weights_, mfa.means_, mfa.loadings_ = weights, means, loadings
    mfa.noise_variance_ = noise[0] if structure.shared_noise else noise
    mfa.n_features_in_, mfa.n_components_, mfa.n_factors_ = D, K, q
    return mfa


def params_of(mfa: MFA) -> MFAParams:
    """The parameters that a fitted estimator reports."""
    noise = np.atleast_2d(mfa.noise_variance_)
    with np.errstate(divide="ignore"):
        arrays = np.log(mfa.weights_), mfa.means_, mfa.loadings_, noise
    return MFAParams(*(torch.as_tensor(np.array(a), dtype=torch.float64) for a in arrays))


def as_they_are(X: np.ndarray, dtype: torch.dtype = torch.float64, **arguments: Any) -> Batches:
    """Batches of rows that no conditioner moves."""
    n_features = X.shape[1]
    unmoved = Conditioner(torch.zeros(n_features, dtype=torch.float64), torch.ones(n_features, dtype=torch.float64))
    return Batches(X, unmoved, dtype, torch.device("cpu"), **arguments)


def e_step(
    density: Density, X: torch.Tensor, weights: torch.Tensor | None = None, temperature: float = 1.0
) -> tuple[Statistics, torch.Tensor]:
    """What the sharp E-step makes of rows (n, D): their statistics and log densities (n,)."""
    sums = SharpSums(density)
    log_prob = sums.add(X, weights, temperature)
    return sums.statistics(), log_prob
