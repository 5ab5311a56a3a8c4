"""How far Gaussians with covariances ``Psi + W W^T`` are from each other, pair by pair, through their few factors.

Numpy in double precision, pure functions. Shapes: K and L components, D features, q factors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ...mixture._model.lowrank import LowRank, adds_to_one, factorize, mahalanobis, select

if TYPE_CHECKING:
    from ...mixture import MFA

# Pairs of components to compare at once, by the bytes of their loadings.
_BLOCK_BYTES = 2**20


class Gaussians(NamedTuple):
    """Means, loadings and the noise variance of each component, in double precision."""

    means: np.ndarray  # (K, D)
    loadings: np.ndarray  # (K, D, q)
    noise: np.ndarray  # (K, D)

    def select(self, components: np.ndarray) -> Gaussians:
        """Those of some components, in the order asked for."""
        return Gaussians(*(part[components] for part in self))


def gaussians(mfa: MFA) -> Gaussians:
    """The components of a mixture, whatever noise they share."""
    means, loadings, noise = (
        np.asarray(part, dtype=np.float64) for part in (mfa.means_, mfa.loadings_, mfa.noise_variance_)
    )
    return Gaussians(means, loadings, np.broadcast_to(noise, means.shape))


def with_factors(given: Gaussians, n_factors: int) -> Gaussians:
    """The same Gaussians with at least so many factors; those that are added load on nothing."""
    more = max(n_factors - given.loadings.shape[2], 0)
    return given._replace(loadings=np.pad(given.loadings, ((0, 0), (0, 0), (0, more))))


def bhattacharyya_parts(first: Gaussians, second: Gaussians | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The two terms of the Bhattacharyya distance, of means and of covariances, (K, L) each and never negative.

    With ``S = (S_k + S_l) / 2`` and ``d = mu_l - mu_k``, ::

        mean = d^T S^-1 d / 8          covariance = log(det S / sqrt(det S_k det S_l)) / 2

    Parameters
    ----------
    first : Gaussians
    second : Gaussians, optional
        By default the first, and then half of the work is done: the terms are symmetric, and zero on the diagonal.
    """
    symmetric = second is None
    first, second = _alike(first, second)
    n_second, n_features, n_factors = second.loadings.shape
    covs = [_factorized(part) for part in ((first,) if symmetric else (first, second))]
    rows, columns = (covs[i].log_det.numpy() for i in (0, -1))
    # A signal so far above the noise that a sum would lose the noise takes an orthogonal decomposition of each pair.
    terms = _by_gram if all(map(_is_plain, (first, second))) else _by_decomposition
    step = max(1, _BLOCK_BYTES // (8 * n_features * max(n_factors, 1)))
    mean, covariance = np.zeros((2, len(first.means), n_second))
    for k in range(len(mean)):
        for start in range(k + 1 if symmetric else 0, n_second, step):
            others = slice(start, min(start + step, n_second))
            squares, log_det = terms(first.select(np.array([k])), Gaussians(*(part[others] for part in second)))
            mean[k, others] = squares / 8
            covariance[k, others] = np.maximum(log_det / 2 - (rows[k] + columns[others]) / 4, 0)
        if symmetric:
            mean[k:, k], covariance[k:, k] = mean[k, k:], covariance[k, k:]
    return mean, covariance


def symmetric_kl(first: Gaussians, second: Gaussians | None = None) -> np.ndarray:
    """``KL(k || l) + KL(l || k)`` in nats, (K, L), never negative; of the first with itself by default.

    The log determinants cancel: with ``cross(k, l) = tr(S_l^-1 S_k) + d^T S_l^-1 d - D``, the sum is
    ``(cross(k, l) + cross(l, k)) / 2``.
    """
    if second is None:
        cross = _cross(first, first)
        total = cross + cross.T
        np.fill_diagonal(total, 0)
    else:
        total = _cross(first, second) + _cross(second, first).T
    return np.maximum(total / 2, 0)


def _alike(first: Gaussians, second: Gaussians | None) -> tuple[Gaussians, Gaussians]:
    """Both with equally many factors."""
    if second is None:
        return first, first
    n_factors = max(part.loadings.shape[2] for part in (first, second))
    return with_factors(first, n_factors), with_factors(second, n_factors)


def _factorized(given: Gaussians) -> LowRank:
    return factorize(torch.from_numpy(given.loadings), torch.tensor(given.noise))


def _is_plain(given: Gaussians) -> bool:
    """Whether ``I + W^T Psi^-1 W`` keeps the identity; then so does that of the mean of two covariances."""
    squares = np.square(given.loadings).transpose(0, 2, 1) @ (1 / given.noise)[:, :, None]  # (K, q, 1)
    return adds_to_one(torch.diag_embed(torch.from_numpy(squares[:, :, 0])))


def _by_gram(one: Gaussians, others: Gaussians) -> tuple[np.ndarray, np.ndarray]:
    """``d^T S^-1 d`` and ``log det S`` of a component and n others, (n,) each.

    The mean S of two covariances ``Psi + W W^T`` is of that form again, with the factors of both, each divided by
    the square root of 2; the quadratic form is a sum of squares, ``|d - W z|^2_Psi + |z|^2`` at ``z = E[z | d]``.
    """
    own, other = one.loadings[0], others.loadings
    n_factors = own.shape[1]
    psi, deviations = (one.noise + others.noise) / 2, others.means - one.means
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
    return squares, np.log(psi).sum(1) + np.linalg.slogdet(inner)[1]


def _by_decomposition(one: Gaussians, others: Gaussians) -> tuple[np.ndarray, np.ndarray]:
    """As `_by_gram`, for any ratio of signal and noise, at several times its price."""
    own = np.broadcast_to(one.loadings, others.loadings.shape)
    both = torch.from_numpy(np.concatenate([own, others.loadings], axis=2) / np.sqrt(2))
    cov = factorize(both, torch.from_numpy((one.noise + others.noise) / 2))
    squares = mahalanobis(cov, torch.from_numpy(others.means - one.means)[:, None])
    return squares[:, 0].numpy(), cov.log_det.numpy()


def _cross(first: Gaussians, second: Gaussians) -> np.ndarray:
    """``tr(S_l^-1 S_k) + d^T S_l^-1 d - D``, (K, L).

    The trace of ``S_l^-1 W_k W_k^T`` is the sum of the squared distances of the columns of ``W_k`` from zero under l.
    """
    n_features = first.means.shape[1]
    cov = _factorized(second)
    precision = (1 / cov.noise_variance - cov.basis.square().sum(-1)).clamp_min(0).numpy()  # diagonal of S_l^-1
    out = first.noise @ precision.T - n_features
    columns = torch.from_numpy(np.ascontiguousarray(first.loadings.mT)).reshape(-1, n_features)
    step = max(1, _BLOCK_BYTES // (8 * n_features))
    for column, mean in enumerate(second.means):
        own = select(cov, column)
        out[:, column] += mahalanobis(own, torch.from_numpy(first.means - mean)[None])[0].numpy()
        squares = torch.cat([mahalanobis(own, some[None])[0] for some in columns.split(step)])
        out[:, column] += squares.reshape(len(out), -1).sum(1).numpy()
    return out
