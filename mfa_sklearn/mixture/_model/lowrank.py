"""The algebra of a covariance ``Psi + W W^T``: diagonal noise plus a few factors. Torch only, pure functions.

With ``M = I + W^T Psi^-1 W = L L^T`` and ``B = Psi^-1 W L^-T`` (Woodbury identity),

    (Psi + W W^T)^-1 = Psi^-1 - B B^T           log det(Psi + W W^T) = log det Psi + 2 sum log diag L
    E[z | x] = L^-T B^T (x - mu)                cov(z | x) = M^-1

so nothing of size D x D is ever formed and nothing is inverted. Shapes: K components, D features, q factors, n rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .blocks import slices

# What rounding may take of the identity in ``M = I + W^T Psi^-1 W``.
LOST_OF_ONE = 2.0**-10


class LowRank(NamedTuple):
    """A factorized batch of covariances ``Psi_k + W_k W_k^T``.

    Loadings and basis stand in memory factor by factor, (K, q, D), whatever the order of their axes.
    """

    loadings: Tensor  # (K, D, q)  W
    noise_variance: Tensor  # (K, D) or (1, D)  diagonal of Psi
    basis: Tensor  # (K, D, q)  B = Psi^-1 W L^-T
    whitener: Tensor  # (K, q, q)  L^-1, lower triangular
    log_det: Tensor  # (K,)  log det(Psi + W W^T)
    signal: Tensor  # (K,)  trace of W^T Psi^-1 W: what the factors add up to, in units of the noise

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
    log_det, signal = loadings.new_empty(n_components), loadings.new_empty(n_components, dtype=dtype)
    for some in pieces:
        part = _factorize(loadings[some], noise_variance if len(noise_variance) == 1 else noise_variance[some])
        W[some], B[some], whitener[some], log_det[some] = part.loadings.mT, part.basis.mT, part.whitener, part.log_det
        signal[some] = part.signal
    return LowRank(W.mT, noise_variance.to(dtype), B.mT, whitener, log_det, signal)


def _factorize(loadings: Tensor, noise_variance: Tensor) -> LowRank:
    # With factors as rows, (K, q, D), products run several times faster than with factors as columns.
    W = loadings.mT.contiguous()
    scaled = W / noise_variance[:, None]
    # A signal 1e12 times its noise is common in activations: the small q x q work is done in double precision.
    gram = (scaled @ W.mT).double()
    if loadings.dtype != gram.dtype and not adds_to_one(gram, loadings.dtype):
        gram = scaled.double() @ W.double().mT
    deviation = noise_variance.sqrt()[:, None]
    whitener, log_det_m, axes = factor_precision(gram, lambda: W.double() / deviation.double())
    log_det = noise_variance.log().sum(-1) + log_det_m.to(loadings.dtype)
    whitener = whitener.to(loadings.dtype)
    signal = gram.detach().diagonal(dim1=1, dim2=2).sum(-1).to(loadings.dtype)
    basis = whitener @ scaled if axes is None else axes.to(loadings.dtype) / deviation
    return LowRank(W.mT, noise_variance, basis.mT, whitener, log_det, signal)


def factor_precision(gram: Tensor, root: Callable[[], Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
    """``L^-1`` and ``log det M`` of ``M = I + G G^T = L L^T``, positive definite whatever rounding does.

    Where that takes G, then also ``L^-1 G``, (..., q, D), which the two of them would not give with any digits.

    Parameters
    ----------
    gram : Tensor (..., q, q)
        ``G G^T``, in double precision.
    root : callable
        Gives G, (..., q, D), where it is so large that the sum would lose the identity. Then all is taken from an
        orthogonal decomposition of [G, I], whose condition is the root of that of M.
    """
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    axes = None
    if adds_to_one(gram):
        chol = torch.linalg.cholesky(eye + (gram + gram.mT) / 2)
    else:
        G = root()
        Q, R = torch.linalg.qr(torch.cat([G.mT, eye.expand(*G.shape[:-2], *eye.shape)], -2))  # (..., D + q, q)
        sign = R.diagonal(dim1=-2, dim2=-1).sign()
        chol, axes = R.mT * sign[..., None, :], Q[..., : G.shape[-1], :].mT * sign[..., None]
    whitener = torch.linalg.solve_triangular(chol, eye.expand_as(chol), upper=False)
    return whitener, 2 * chol.diagonal(dim1=-2, dim2=-1).log().sum(-1), axes


def adds_to_one(gram: Tensor, dtype: torch.dtype = torch.float64) -> bool:
    """Whether Gram matrices computed in a precision are small enough for their sum with the identity to keep it."""
    largest = gram.detach().diagonal(dim1=-2, dim2=-1).amax() if gram.numel() else gram.new_zeros(())
    return not bool(torch.finfo(dtype).eps * largest > LOST_OF_ONE)


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
    return LowRank(cov.loadings[k], noise, cov.basis[k], cov.whitener[k], cov.log_det[k], cov.signal[k])
