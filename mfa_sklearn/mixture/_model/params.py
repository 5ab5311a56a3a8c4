"""The parameters of a mixture, what its components share, and what follows from parameters alone.

    x | k ~ N(mu_k, W_k W_k^T + Psi_k)        p(k) = w_k

Torch only, pure functions. Shapes: K components, D features, q factors, n rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class MFAParams(NamedTuple):
    """Parameters of a mixture of factor analyzers; never changed in place."""

    log_weights: Tensor  # (K,)  log w_k
    means: Tensor  # (K, D)  mu_k
    loadings: Tensor  # (K, D, q)  W_k
    noise_variance: Tensor  # (K, D), or (1, D) for noise that all components share

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> MFAParams:
        """The same parameters in another precision or on another device."""
        return MFAParams(*(t.to(dtype=dtype, device=device) for t in self))


def mixture_moments(params: MFAParams) -> tuple[Tensor, Tensor]:
    """Mean (D,) and per-feature variance (D,) of the whole mixture."""
    weights = params.log_weights.exp()
    mean = weights @ params.means
    within = params.loadings.square().sum(-1) + params.noise_variance
    return mean, weights @ (within + (params.means - mean).square())


def sample(params: MFAParams, n_samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw rows (n, D) and the components (n,) they came from, sorted by component."""
    device, dtype = params.means.device, params.means.dtype
    n_components, n_features, n_factors = params.loadings.shape
    drawn = torch.multinomial(params.log_weights.exp().double(), n_samples, replacement=True, generator=generator)
    components = drawn.sort().values
    z = torch.randn(n_samples, n_factors, generator=generator, dtype=dtype, device=device)
    eps = torch.randn(n_samples, n_features, generator=generator, dtype=dtype, device=device)
    noise = params.noise_variance.expand(n_components, n_features).sqrt()
    X = torch.empty_like(eps)
    stops = torch.bincount(components.cpu()).cumsum(0).tolist()
    for k, rows in enumerate(map(slice, [0, *stops], stops)):
        X[rows] = params.means[k] + z[rows] @ params.loadings[k].T + eps[rows] * noise[k]
    return X, components


class Structure(NamedTuple):
    """What the components share; the eight parsimonious structures are its eight values."""

    common_loadings: bool = False
    shared_noise: bool = True
    isotropic_noise: bool = False


def tie(params: MFAParams, structure: Structure) -> MFAParams:
    """Parameters with the ties of a structure: what components are to share is put at its weighted average.

    Loadings become the principal axes of the average ``W_k W_k^T``; those that are common already stay.
    """
    weights = params.log_weights.exp()
    n_components, n_features, n_factors = params.loadings.shape
    loadings = params.loadings
    noise = params.noise_variance.expand(n_components, n_features)
    if structure.common_loadings and not torch.equal(loadings, loadings[:1].expand_as(loadings)):
        stacked = (weights.sqrt()[:, None, None] * loadings).permute(1, 0, 2).reshape(n_features, -1)
        u, s, _ = torch.linalg.svd(stacked, full_matrices=False)
        loadings = (u[:, :n_factors] * s[:n_factors]).expand_as(loadings)
    if structure.shared_noise:
        noise = weights[None] @ noise
    if structure.isotropic_noise:
        noise = noise.mean(1, keepdim=True).expand_as(noise)
    return params._replace(loadings=loadings.contiguous(), noise_variance=noise.contiguous())


def n_parameters(structure: Structure, n_components: int, n_features: int, n_factors: int | Sequence[int]) -> int:
    """Free parameters: a rotation of the factors changes nothing, so q (q - 1) / 2 per loading matrix do not count."""
    K, D = n_components, n_features
    ranks = [n_factors] * K if isinstance(n_factors, int) else list(n_factors)
    sizes = [D * q - q * (q - 1) // 2 for q in ranks]
    loadings = sizes[0] if structure.common_loadings else sum(sizes)
    noise = (1 if structure.isotropic_noise else D) * (1 if structure.shared_noise else K)
    return (K - 1) + K * D + loadings + noise
