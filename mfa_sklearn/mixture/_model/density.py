"""The mixture: its parameters, their log density, and draws from it. Torch only, pure functions.

    x | k ~ N(mu_k, W_k W_k^T + Psi_k)        p(k) = w_k

`log_joint` evaluates all components with matrix products of total shape (n x D)(D x K (q + 1)), which is what a
CPU or GPU does best; it is differentiable in the parameters, and the gradient solver uses it as it is. It expands
squares, so data should come centered and scaled (`_rows.Conditioner`) and, where single precision is not enough,
the few components that matter for a row are evaluated again without cancellation (`pairs`).
Shapes: K components, D features, q factors, n rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from . import lowrank
from .lowrank import LowRank
from .params import MFAParams

# Share of a posterior variance that rounding may take.
_DELICATE = 2.0**-9


@dataclass(frozen=True)
class Density:
    """Parameters made ready to be evaluated on many rows: factorized, in the rows' precision."""

    params: MFAParams
    cov: LowRank
    basis_offset: Tensor  # (q K,)  mu_k^T B_k: all first axes side by side, then all second ones, ...
    cross: Tensor  # (D, K)  Psi_k^-1 mu_k
    precision: Tensor  # (D, K) or (D, 1)  diagonal of Psi_k^-1
    log_peak: Tensor  # (K,)  log w_k + log N(mu_k | k): the log joint at its highest
    constant: Tensor  # (K,)  all of the expanded log joint that does not depend on x
    mean_squares: Tensor  # (K,)  mu_k^T Psi_k^-1 mu_k, which is part of the constant
    total_precision: Tensor  # (K,) or (1,)  trace of Psi_k^-1

    @cached_property
    def basis(self) -> Tensor:
        """The axes of the B_k for products with all components, (D, q K), in the order of `basis_offset`."""
        # Components side by side within each axis, so that sums over the axes go over long runs.
        axes = self.cov.basis.permute(2, 0, 1)
        return axes.reshape(-1, axes.shape[2]).T

    @cached_property
    def largest_mean_square(self) -> float:
        """The largest of `mean_squares`."""
        return float(self.mean_squares.amax())

    @cached_property
    def largest_square(self) -> float:
        """The largest square in units of the noise that a component's mean or its factors have."""
        return max(self.largest_mean_square, float(self.cov.signal.amax()))

    @cached_property
    def delicate(self) -> Tensor:
        """Components (K,) whose moments are to be summed in double precision.

        A factor that the rows do not span keeps only its posterior variance, the inverse of ``1 + signal``, and the
        M-step divides by that. Sums of rows of size one are off by about ``eps (signal / noise)^(1/2)`` of it.
        """
        size = (1 + self.cov.signal.double()) * self.total_precision.double()
        return torch.finfo(self.constant.dtype).eps * size.sqrt() > _DELICATE

    @cached_property
    def any_delicate(self) -> bool:
        """Whether any component is delicate."""
        return bool(self.delicate.any())


def prepare(params: MFAParams, dtype: torch.dtype | None = None) -> Density:
    """Factorize in the precision of `params`, for rows of `dtype` (by default the same)."""
    dtype = dtype or params.means.dtype
    n_features = params.means.shape[1]
    cov = lowrank.factorize(params.loadings, params.noise_variance, dtype)
    precision = 1 / params.noise_variance
    weighted_means = precision * params.means
    log_peak = params.log_weights - 0.5 * (n_features * math.log(2 * math.pi) + cov.log_det)
    mean_squares = (weighted_means * params.means).sum(1)
    means = params.means.to(dtype)
    offset = (means[:, None, :] @ cov.basis)[:, 0].T.reshape(-1)
    noise = cov.noise_variance
    return Density(
        MFAParams(params.log_weights.to(dtype), means, cov.loadings, noise),
        cov,
        offset,
        weighted_means.to(dtype).T,
        precision.to(dtype).T,
        log_peak.to(dtype),
        (log_peak - 0.5 * mean_squares).to(dtype),
        mean_squares.detach().to(dtype),
        precision.detach().sum(1).to(dtype),
    )


def log_joint(density: Density, X: Tensor) -> Tensor:
    """``log w_k + log N(x | mu_k, Psi_k + W_k W_k^T)`` for all rows and components, (n, K).

    Differentiable in the parameters behind `density`.
    """
    return scores_and_log_joint(density, X)[1]


def scores_and_log_joint(density: Density, X: Tensor) -> tuple[Tensor, Tensor]:
    """Whitened scores ``u = B^T (x - mu)``, (n, q, K), and the `log_joint` (n, K) that they give.

    `_em.candidates.Lookup` and `_em.soft.SoftSums` expand the same squares in layouts of their own, which is what makes
    them fast; what changes here changes there.
    """
    n_components, _, n_factors = density.cov.basis.shape
    u = torch.addmm(density.basis_offset, X, density.basis, beta=-1).view(len(X), n_factors, n_components)
    squares = (X * X) @ density.precision  # (n, K) or (n, 1)
    joint = torch.addmm(density.constant, X, density.cross)
    if n_factors:
        joint = joint + 0.5 * lowrank.explained(u)
    return u, joint - 0.5 * squares
