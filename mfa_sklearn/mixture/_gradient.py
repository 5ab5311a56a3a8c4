"""Minibatch gradient ascent on the log-likelihood: unconstrained parameters, one epoch, one step.

The constraints are those of the reference implementation of arXiv 2602.02464: weights by a softmax, noise variances
by a softplus above the floor. What components share is one tensor, expanded; its gradient then sums by itself.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from . import _missing
from ._em import Structure
from ._model import Density, MFAParams, log_joint, prepare


class Unconstrained(NamedTuple):
    """Leaves of the optimisation; any real values give valid parameters."""

    logits: Tensor  # (K,)
    means: Tensor  # (K, D)
    loadings: Tensor  # (K, D, q) or (1, D, q)
    noise: Tensor  # (K or 1, D or 1), before the softplus


def unconstrain(params: MFAParams, structure: Structure, floor: float, dtype: torch.dtype) -> Unconstrained:
    """Leaves whose `constrain` is `params`."""
    loadings = params.loadings[:1] if structure.common_loadings else params.loadings
    noise = params.noise_variance[:1] if structure.shared_noise else params.noise_variance
    noise = noise[:, :1] if structure.isotropic_noise else noise
    excess = (noise - floor).clamp(min=1e-3 * floor + 1e-12)
    rho = excess + torch.log(-torch.expm1(-excess))  # the inverse of the softplus
    leaves = (params.log_weights, params.means, loadings, rho)
    return Unconstrained(*(t.detach().to(dtype).clone().requires_grad_() for t in leaves))


def constrain(leaves: Unconstrained, floor: float) -> MFAParams:
    """Parameters of the mixture, differentiable in the leaves."""
    n_components, n_features = leaves.means.shape
    noise = floor + torch.nn.functional.softplus(leaves.noise)
    rows = n_components if len(noise) > 1 else 1
    return MFAParams(
        leaves.logits.log_softmax(0),
        leaves.means,
        leaves.loadings.expand(n_components, -1, -1),
        noise.expand(rows, n_features),
    )


def _log_joint(density: Density, X: Tensor) -> Tensor:
    """Log joint densities (n, K), differentiable, of rows that may miss values."""
    if not _missing.has_missing(X):
        return log_joint(density, X)
    missing = _missing.missing_rows(X)
    order = torch.cat([missing.nonzero()[:, 0], (~missing).nonzero()[:, 0]])
    joint = torch.cat([_missing.log_joint(density, X[missing]), log_joint(density, X[~missing])])
    return joint[order.argsort()]


def minibatch_step(
    leaves: Unconstrained, optimizer: torch.optim.Optimizer, X: Tensor, weights: Tensor | None, floor: float
) -> tuple[float, float]:
    """One step up the mean log-likelihood of a minibatch.

    Returns
    -------
    log_likelihood, weight : float
        Of the minibatch before the step: the weighted sum of log densities, and the sum of weights.
    """
    optimizer.zero_grad(set_to_none=True)
    log_prob = _log_joint(prepare(constrain(leaves, floor)), X).logsumexp(1)
    w = torch.ones_like(log_prob) if weights is None else weights.to(log_prob)
    mass = float(w.sum())
    if mass == 0:
        return 0.0, 0.0
    total = w @ log_prob
    (-total / mass).backward()
    optimizer.step()
    value = float(total.detach())
    if not math.isfinite(value):
        raise FloatingPointError(
            "the log-likelihood of a minibatch is not finite; use a lower learning_rate or a higher noise_floor"
        )
    return value, mass
