"""The parameters of a mixture, what its components share, and what follows from parameters alone.

    x | k ~ N(mu_k, W_k W_k^T + Psi_k)        p(k) = w_k

Torch only, pure functions. Shapes: K components, D features, q factors, n rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..._base.devices import to_tensor

# What the sum of weights may be off by: weights may come from single precision, or from a file's few digits.
_WEIGHTS_TOLERANCE = 1e-4


class Structure(NamedTuple):
    """What the components share; the eight parsimonious structures are its eight values."""

    common_loadings: bool = False
    shared_noise: bool = True
    isotropic_noise: bool = False


class MFAParams(NamedTuple):
    """Parameters of a mixture of factor analyzers; never changed in place."""

    log_weights: Tensor  # (K,)  log w_k
    means: Tensor  # (K, D)  mu_k
    loadings: Tensor  # (K, D, q)  W_k
    noise_variance: Tensor  # (K, D), or (1, D) for noise that all components share

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> MFAParams:
        """The same parameters in another precision or on another device."""
        return MFAParams(*(t.to(dtype=dtype, device=device) for t in self))


def to_params(weights: Any, means: Any, loadings: Any, noise_variance: Any) -> MFAParams:
    """Parameters in double precision from arrays or tensors; noise (D,) is noise that all components share."""
    w, mean, W, noise = map(_double, (weights, means, loadings, noise_variance))
    return MFAParams(w.log(), mean, W, noise if noise.ndim == 2 else noise[None])


def check_params(weights: Any, means: Any, loadings: Any, noise_variance: Any) -> MFAParams:
    """`to_params` of what a user or a file gives.

    Raises
    ------
    TypeError
        If one of them holds no numbers.
    ValueError
        If shapes do not fit together, a number is not finite, weights are no probabilities or noise is not positive.
    """
    given = {"weights": weights, "means": means, "loadings": loadings, "noise_variance": noise_variance}
    parts = {name: _double(value, name) for name, value in given.items()}
    check_shapes({name: tuple(part.shape) for name, part in parts.items()})
    for name, part in parts.items():
        if not bool(part.isfinite().all()):
            raise ValueError(f"{name} holds NaN or infinity; fit the mixture again, or leave out what is not finite")
    total, least = float(parts["weights"].sum()), float(parts["weights"].min())
    if least < 0 or abs(total - 1) > _WEIGHTS_TOLERANCE:
        raise ValueError(f"weights must not be negative and sum to one; got {least} and a sum of {total}")
    if not bool((parts["noise_variance"] > 0).all()):
        raise ValueError(f"noise_variance must be positive; the least is {float(parts['noise_variance'].min())}")
    return to_params(**parts)


def check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse shapes of weights, means, loadings and noise variance, in this order, that do not fit together."""
    weights, means, loadings, noise = shapes.values()
    fits = len(means) == 2 and len(loadings) == 3 and weights == means[:1] and loadings[:2] == means
    if not fits or 0 in means or noise not in (means[1:], means):
        seen = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"shapes do not fit together: {seen}; expected (K,), (K, D), (K, D, q) and (D,) or (K, D)")


def _double(values: Any, name: str = "a parameter of the mixture") -> Tensor:
    if isinstance(values, Tensor):
        return values.detach().to("cpu", torch.float64)
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be an array of numbers, got {type(values).__name__} of dtype {array.dtype}")
    return to_tensor(array, "cpu", torch.float64)


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
