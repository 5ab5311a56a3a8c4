"""What a user would write without this library: a mixture of factor analyzers trained by Adam on minibatches.

Parameters are those of the reference implementation of arXiv 2602.02464 (means, directions and scales of the loadings,
one noise variance per feature, logits of the weights), its settings Adam 1e-3 and batches of 128, and every row meets
every component. Densities by Woodbury's identity, in matrix products.
"""

from __future__ import annotations

import copy
import math
import time
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

LEARNING_RATE = 1e-3
BATCH_SIZE = 128
_SMALLEST_NOISE = 1e-6


class AdamMFA(torch.nn.Module):
    """The mixture; rows are centered at `origin`, so that single precision is enough.

    Parameters
    ----------
    centers : Tensor (K, D)
    variance : Tensor (D,)
        Of rows about their centers: where the noise starts.
    n_factors : int
    origin : Tensor (D,)
    """

    def __init__(self, centers: Tensor, variance: Tensor, n_factors: int, origin: Tensor) -> None:
        super().__init__()
        n_components, n_features = centers.shape
        self.register_buffer("origin", origin)
        self.mu = torch.nn.Parameter(centers - origin)
        self.dir_raw = torch.nn.Parameter(torch.randn(n_components, n_features, n_factors))
        deviation = variance.mean().sqrt()
        self.scale_rho = torch.nn.Parameter(_inverse_softplus(deviation).repeat(n_components, n_factors))
        self.psi_rho = torch.nn.Parameter(_inverse_softplus(variance))
        self.pi_logits = torch.nn.Parameter(torch.zeros(n_components))

    def loadings(self) -> Tensor:
        """(K, D, q)"""
        return normalize(self.dir_raw, dim=1) * softplus(self.scale_rho)[:, None, :]

    def noise_variance(self) -> Tensor:
        """(D,)"""
        return softplus(self.psi_rho) + _SMALLEST_NOISE

    def log_prob(self, X: Tensor) -> Tensor:
        """Log density of each row (n,)."""
        W, psi, X = self.loadings(), self.noise_variance(), X - self.origin
        K, D, q = W.shape
        weighted = W / psi[:, None]  # Psi^-1 W
        lower = torch.linalg.cholesky(torch.eye(q) + W.mT @ weighted)
        basis = torch.linalg.solve_triangular(lower, weighted.mT, upper=False)  # (K, q, D)
        u = X @ basis.reshape(K * q, D).T - (basis @ self.mu[:, :, None]).reshape(K * q)
        explained = u.view(len(X), K, q).square().sum(-1)
        squares = (X.square() @ (1 / psi))[:, None] - 2 * X @ (self.mu / psi).T + (self.mu.square() / psi).sum(1)
        log_det = psi.log().sum() + 2 * lower.diagonal(dim1=1, dim2=2).log().sum(1)
        joint = self.pi_logits.log_softmax(0) - 0.5 * (D * math.log(2 * math.pi) + log_det + squares - explained)
        return joint.logsumexp(1)


def _inverse_softplus(x: Tensor) -> Tensor:
    return x + torch.log(-torch.expm1(-x))


class Training(NamedTuple):
    """The best epoch's parameters, and how the training went."""

    model: AdamMFA
    best_epoch: int
    epochs: int
    seconds_to_best: float
    seconds_per_epoch: float


def model_at(X: Tensor, centers: np.ndarray, n_factors: int, seed: int) -> AdamMFA:
    """Where training starts: at given centers (K, D)."""
    torch.manual_seed(seed)
    means = torch.as_tensor(centers, dtype=torch.float32)
    nearest = torch.cat([torch.cdist(some, means).argmin(1) for some in X.split(4096)])
    variance = torch.stack([(X[nearest == k] - means[k]).square().sum(0) for k in range(len(means))]).sum(0) / len(X)
    return AdamMFA(means, variance, n_factors, X.mean(0))


def optimizer_of(model: AdamMFA) -> torch.optim.Optimizer:
    """Adam as the reference sets it."""
    return torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)


def epoch(model: AdamMFA, optimizer: torch.optim.Optimizer, X: Tensor, max_steps: int | None = None) -> None:
    """Go through the rows once in random order, or make so many steps."""
    for rows in torch.randperm(len(X)).split(BATCH_SIZE)[:max_steps]:
        optimizer.zero_grad(set_to_none=True)
        (-model.log_prob(X[rows]).mean()).backward()
        optimizer.step()


@torch.no_grad()
def mean_nll(model: AdamMFA, X: Tensor) -> float:
    """Minus the mean log-likelihood per row."""
    return -float(torch.cat([model.log_prob(some).double() for some in X.split(2048)]).mean())


def train(model: AdamMFA, X: Tensor, held_out: Tensor, max_epochs: int, patience: int = 3) -> Training:
    """Train until the held-out rows have not become likelier for `patience` epochs; only training is timed."""
    optimizer, seconds = optimizer_of(model), [0.0]
    best, best_nll, best_epoch = model, math.inf, 0
    for number in range(1, max_epochs + 1):
        begun = time.perf_counter()
        epoch(model, optimizer, X)
        seconds.append(time.perf_counter() - begun)
        nll = mean_nll(model, held_out)
        if nll < best_nll:
            best, best_nll, best_epoch = copy.deepcopy(model), nll, number
        elif number - best_epoch >= patience:
            break
    n_epochs = len(seconds) - 1
    return Training(best, best_epoch, n_epochs, sum(seconds[: best_epoch + 1]), float(np.median(seconds[1:])))
