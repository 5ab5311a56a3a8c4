"""Minibatch gradient ascent on the log-likelihood: unconstrained parameters, and one step.

The constraints are those of the reference implementation of arXiv 2602.02464: weights by a softmax, noise variances
by a softplus above the floor. What components share is one tensor, expanded; its gradient then sums by itself.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..._base.group import ALONE, AnyGroup
from .._model.density import Density, log_joint, prepare
from .._model.missing import has_missing, missing_rows, observed_log_joint
from .._model.pairs import margin_of
from .._model.params import MFAParams, Structure
from .._model.prior import NoisePrior
from .fisher import sharp_gradient, sharp_pays


class Unconstrained(NamedTuple):
    """Leaves of the optimization; any real values give valid parameters."""

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
    n_components = len(leaves.means)
    return MFAParams(
        leaves.logits.log_softmax(0),
        leaves.means,
        leaves.loadings.expand(n_components, -1, -1),
        _noise(leaves, floor),
    )


def _noise(leaves: Unconstrained, floor: float) -> Tensor:
    """Noise variances (K, D) or (1, D)."""
    noise = floor + torch.nn.functional.softplus(leaves.noise)
    return noise.expand(len(noise), leaves.means.shape[1])


class Penalty(NamedTuple):
    """The prior of the noise, and the weight of all rows that it counts beside."""

    prior: NoisePrior
    weight: float

    def backward(self, noise: Tensor) -> None:
        """Add the gradient of minus its log density per row."""
        (-self.prior.log_density_of(noise) / self.weight).backward()


def _log_joint(density: Density, X: Tensor) -> Tensor:
    """Log joint densities (n, K), differentiable, of rows that may miss values."""
    if not has_missing(X):
        return log_joint(density, X)
    missing = missing_rows(X)
    order = torch.cat([missing.nonzero()[:, 0], (~missing).nonzero()[:, 0]])
    joint = torch.cat([observed_log_joint(density, X[missing]), log_joint(density, X[~missing])])
    return joint[order.argsort()]


class Ascent:
    """Steps of an optimizer up the mean log-likelihood of minibatches.

    The gradient is `sharp_gradient` while posteriors leave few pairs, else that of automatic differentiation: the same
    to rounding. Which it is follows from the last step's pairs.

    Parameters
    ----------
    leaves : Unconstrained
        Changed in place.
    optimizer : torch.optim.Optimizer
        Of the leaves.
    floor : float
        Smallest noise variance.
    group : Alone or Group
        Of the processes that have the minibatches' other rows.
    """

    def __init__(
        self, leaves: Unconstrained, optimizer: torch.optim.Optimizer, floor: float, group: AnyGroup = ALONE
    ) -> None:
        self._leaves, self._optimizer, self._floor, self._group = leaves, optimizer, floor, group
        self.penalty: Penalty | None = None
        self._sharp = sharp_pays(1, 1, len(leaves.means))

    def step(self, X: Tensor, weights: Tensor | None, mass: float | None = None) -> tuple[float, float]:
        """One step by the rows (n, D) of a minibatch that this process has, of a weight of `mass` on all processes.

        Returns
        -------
        log_likelihood, weight : float
            Of the minibatch before the step: the weighted sum of log densities, and the sum of weights.
        """
        if mass is None:
            mass = float(len(X) if weights is None else weights.sum())
        if mass == 0:
            return 0.0, 0.0
        w = X.new_full((len(X),), 1 / mass) if weights is None else (weights / mass).to(X)
        self._optimizer.zero_grad(set_to_none=True)
        with torch.enable_grad():
            value = float(self._climb(X, w)) * mass
            if self.penalty is not None:
                self.penalty.backward(_noise(self._leaves, self._floor))
        if not math.isfinite(value):
            raise FloatingPointError(
                "the log-likelihood of a minibatch is not finite; use a lower learning_rate or a higher noise_floor"
            )
        self._optimizer.step()
        return value, mass

    def state(self) -> dict[str, Any]:
        """That of the optimizer, and how the last gradient was found."""
        return {"optimizer": self._optimizer.state_dict(), "sharp": self._sharp}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._sharp = state["sharp"]

    def _climb(self, X: Tensor, w: Tensor) -> Tensor:
        """The weighted sum of the log densities of all processes' rows; minus its gradient is left in the leaves."""
        value = X.new_zeros(())
        if len(X):
            climb = self._by_pairs if self._sharp and not has_missing(X) else self._by_autograd
            value = climb(constrain(self._leaves, self._floor), X, w)
        if self._group.size > 1:
            own = (torch.zeros_like(t) if t.grad is None else t.grad for t in self._leaves)
            value, *gradient = self._group.sum(value, *own)
            for leaf, total in zip(self._leaves, gradient, strict=True):
                leaf.grad = total
        return value

    def _by_pairs(self, params: MFAParams, X: Tensor, w: Tensor) -> Tensor:
        fall, gradient, n_pairs = sharp_gradient(MFAParams(*(t.detach() for t in params)), X, -w)
        torch.autograd.backward(params, gradient)
        self._sharp = sharp_pays(n_pairs, len(X), len(params.means))
        return -fall

    def _by_autograd(self, params: MFAParams, X: Tensor, w: Tensor) -> Tensor:
        joint = _log_joint(prepare(params), X)
        mean = w @ joint.logsumexp(1)
        (-mean).backward()
        joint = joint.detach()
        n_pairs = int((joint >= joint.amax(1, keepdim=True) - margin_of(X, 1.0)).sum())
        self._sharp = sharp_pays(n_pairs, len(X), len(params.means))
        return mean.detach()
