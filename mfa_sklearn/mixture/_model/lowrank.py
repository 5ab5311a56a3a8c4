"""The algebra of a covariance ``Psi + W W^T``: diagonal noise plus a few factors. Torch only, pure functions.

With ``M = I + W^T Psi^-1 W = L L^T`` and ``B = Psi^-1 W L^-T`` (Woodbury identity),

    (Psi + W W^T)^-1 = Psi^-1 - B B^T           log det(Psi + W W^T) = log det Psi + 2 sum log diag L
    E[z | x] = L^-T B^T (x - mu)                cov(z | x) = M^-1

so nothing of size D x D is ever formed and nothing is inverted. Shapes: K components, D features, q factors, n rows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .blocks import slices


class LowRank(NamedTuple):
    """A factorized batch of covariances ``Psi_k + W_k W_k^T``.

    Loadings and basis stand in memory factor by factor, (K, q, D), whatever the order of their axes.
    """

    loadings: Tensor  # (K, D, q)  W
    noise_variance: Tensor  # (K, D) or (1, D)  diagonal of Psi
    basis: Tensor  # (K, D, q)  B = Psi^-1 W L^-T
    whitener: Tensor  # (K, q, q)  L^-1, lower triangular
    log_det: Tensor  # (K,)  log det(Psi + W W^T)

    def to(self, dtype: torch.dtype) -> LowRank:
        """The same in another precision, but for `log_det`, to which large numbers are still to be added."""
        return LowRank(*(t.to(dtype) for t in self))._replace(log_det=self.log_det)


def factorize(loadings: Tensor, noise_variance: Tensor, dtype: torch.dtype | None = None) -> LowRank:
    """Factorize ``Psi_k + W_k W_k^T`` once, for all the verbs below.

    Parameters
    ----------
    loadings : Tensor (K, D, q)
    noise_variance : Tensor (K, D), or (1, D) for noise that all components share
    dtype : torch.dtype, optional
        Of the result but for `log_det`; the work is done in the precision of `loadings`.
    """
    n_components, n_features, n_factors = loadings.shape
    dtype = dtype or loadings.dtype
    pieces = list(slices(n_components, n_features * n_factors, loadings))
    if len(pieces) < 2 or loadings.requires_grad or noise_variance.requires_grad:
        return _factorize(loadings, noise_variance).to(dtype)
    # A few components at a time: what is computed on the way stays in the caches, and only the result takes memory.
    W, B = (loadings.new_empty(n_components, n_factors, n_features, dtype=dtype) for _ in range(2))
    whitener = loadings.new_empty(n_components, n_factors, n_factors, dtype=dtype)
    log_det = loadings.new_empty(n_components)
    for some in pieces:
        part = _factorize(loadings[some], noise_variance if len(noise_variance) == 1 else noise_variance[some])
        W[some], B[some], whitener[some], log_det[some] = part.loadings.mT, part.basis.mT, part.whitener, part.log_det
    return LowRank(W.mT, noise_variance.to(dtype), B.mT, whitener, log_det)


def _factorize(loadings: Tensor, noise_variance: Tensor) -> LowRank:
    # With factors as rows, (K, q, D), products run several times faster than with factors as columns.
    W = loadings.mT.contiguous()
    scaled = W / noise_variance[:, None]
    # A signal 1e12 times its noise is common in activations: the small q x q work is done in double precision.
    gram = (scaled @ W.mT).double()
    eye = torch.eye(loadings.shape[2], dtype=gram.dtype, device=gram.device)
    chol = torch.linalg.cholesky(eye + (gram + gram.mT) / 2)
    whitener = torch.linalg.solve_triangular(chol, eye.expand_as(chol), upper=False)
    log_det_m = 2 * torch.diagonal(chol, dim1=1, dim2=2).log().sum(-1)
    log_det = noise_variance.log().sum(-1) + log_det_m.to(loadings.dtype)
    whitener = whitener.to(loadings.dtype)
    return LowRank(W.mT, noise_variance, (whitener @ scaled).mT, whitener, log_det)


def whitened_scores(cov: LowRank, deviations: Tensor) -> Tensor:
    """Whitened scores ``u = B^T (x - mu)``, (K, n, q), of deviations (K, n, D)."""
    return deviations @ cov.basis


def explained(projection: Tensor) -> Tensor:
    """``|u|^2``, (..., K), of projections laid out (..., q, K): components side by side within each axis."""
    if projection.requires_grad:
        return projection.square().sum(-2)
    # Axis by axis nothing of the size of the projections is written.
    total = projection.new_zeros(*projection.shape[:-2], projection.shape[-1])
    for axis in projection.unbind(-2):
        total.addcmul_(axis, axis)
    return total


def scores_from_projection(cov: LowRank, projection: Tensor) -> Tensor:
    """Posterior means ``E[z | x] = L^-T u``, (K, n, q), of projections ``u`` (K, n, q)."""
    return projection @ cov.whitener


def posterior(cov: LowRank, deviations: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (K, n, q) and covariance (K, q, q) of the factors given deviations (K, n, D)."""
    return scores_from_projection(cov, whitened_scores(cov, deviations)), cov.whitener.mT @ cov.whitener


def mahalanobis(cov: LowRank, deviations: Tensor) -> Tensor:
    """Squared distances ``(x - mu)^T (Psi + W W^T)^-1 (x - mu)``, (K, n), of deviations (K, n, D).

    Computed as ``|x - mu - W z|^2_Psi + |z|^2`` at the posterior mean z: a sum of squares, and stationary in z, hence
    accurate in single precision where the textbook difference ``|x - mu|^2_Psi - |u|^2`` cancels. The same sum stands
    in `pairs.evaluated` and `_gradient.fisher`, for pairs of a row and a component, and in `missing.observe`.
    """
    z = scores_from_projection(cov, whitened_scores(cov, deviations))
    residual = deviations - z @ cov.loadings.mT
    return (residual.square() / cov.noise_variance[:, None, :]).sum(-1) + z.square().sum(-1)


def select(cov: LowRank, component: int) -> LowRank:
    """The factorization of one component, as a batch of one."""
    k = slice(component, component + 1)
    noise = cov.noise_variance if len(cov.noise_variance) == 1 else cov.noise_variance[k]
    return LowRank(cov.loadings[k], noise, cov.basis[k], cov.whitener[k], cov.log_det[k])
