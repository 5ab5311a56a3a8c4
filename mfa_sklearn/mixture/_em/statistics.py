"""Expectation-maximization: statistics that add over rows, and a closed-form M-step.

The statistics are moments of what the current parameters leave over, ``e = x - mu_k - W_k z``, not of x itself:
numbers stay small, so nothing cancels, and the M-step is an update of the parameters rather than their
re-computation. With E[.] the posterior expectation and r_k the responsibility,

    mass_k = sum r_k     residual_k = sum r_k E[e]     score_k = sum r_k E[z]
    cross_k = sum r_k E[e z^T]     scatter_k = sum r_k E[z z^T]     square_k = sum r_k E[e * e]

The M-step is Ghahramani & Hinton's joint update of [W | mu] ("The EM algorithm for mixtures of factor analyzers",
CRG-TR-96-1), with the ties of the parsimonious structures (McNicholas & Murphy, "Parsimonious Gaussian mixture
models", Stat. Comput. 18, 2008). Shapes: K components, D features, q factors.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..._base.group import ALONE, AnyGroup
from .._model.blocks import slices
from .._model.params import MFAParams, Structure
from .._model.prior import NoisePrior


class Statistics(NamedTuple):
    """Expected sufficient statistics at given parameters; those of two sets of rows add."""

    mass: Tensor  # (K,)
    residual: Tensor  # (K, D)
    score: Tensor  # (K, q)
    cross: Tensor  # (K, D, q)
    scatter: Tensor  # (K, q, q)
    square: Tensor  # (K, D)
    log_likelihood: Tensor  # ()  sum over rows of weight times log density
    weight: Tensor  # ()  sum of the rows' weights

    def __add__(self, other: object) -> Statistics:
        assert isinstance(other, Statistics)
        return Statistics(*(a + b for a, b in zip(self, other, strict=True)))

    def of(self, components: slice) -> Statistics:
        """Moments of some components."""
        return Statistics(*(moment[components] if moment.ndim else moment for moment in self))

    def summed(self, group: AnyGroup) -> Statistics:
        """The statistics of the rows of all processes."""
        return Statistics(*group.sum(*self))

    def scaled(self, factor: float) -> Statistics:
        """The statistics of rows whose weights are all multiplied by `factor`."""
        return Statistics(*(factor * a for a in self))


def zero_statistics(params: MFAParams) -> Statistics:
    """Statistics of no rows at all."""
    n_components, n_features, n_factors = params.loadings.shape

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=params.means.device)

    K, D, q = n_components, n_features, n_factors
    return Statistics(zeros(K), zeros(K, D), zeros(K, q), zeros(K, D, q), zeros(K, q, q), zeros(K, D), zeros(), zeros())


def m_step(
    params: MFAParams,
    statistics: Statistics,
    structure: Structure,
    floor: Tensor | float,
    prior: NoisePrior | None = None,
    group: AnyGroup = ALONE,
) -> MFAParams:
    """Parameters that maximize the expected complete-data log-likelihood, and the prior of the noise.

    Parameters
    ----------
    params : MFAParams
        The parameters at which the statistics were taken, in double precision.
    statistics : Statistics
    structure : Structure
        Which parameters the components share.
    floor : Tensor (D,) or float
        Smallest noise variance allowed.
    prior : NoisePrior, optional
        Of noise that each component has of its own; None for none.
    group : Alone or Group
        Of the processes that have the other components, where these are some of all; not for common loadings.
    """
    seen = statistics.mass > 1e-12 * statistics.weight
    mass = torch.where(seen, statistics.mass, 1.0)[:, None]
    step = _common_step if structure.common_loadings else _separate_step
    means, loadings, noise = step(params, statistics, mass, seen, NoiseStep(structure, floor, prior, group))
    weights = statistics.mass.clamp(min=torch.finfo(torch.float64).tiny)
    return MFAParams((weights / weights.sum()).log(), means, loadings, noise)


class NoiseStep(NamedTuple):
    """What noise variances are made of sums of squares by."""

    structure: Structure
    floor: Tensor | float
    prior: NoisePrior | None
    group: AnyGroup = ALONE

    def noise(self, params: MFAParams, left: Tensor, mass: Tensor, seen: Tensor) -> Tensor:
        """Noise variances from sums of squares (K, D) of mass (K, 1), where anything was seen of a component (K,)."""
        prior = self.prior
        if self.structure.shared_noise:
            left, mass = self.group.sum(left.sum(0, keepdim=True), (mass[:, 0] * seen).sum()[None, None])
            noise = left / mass if prior is None else prior.mode(left, mass)
        else:
            if prior is not None and prior.pooled is None and self.group.size > 1:
                total, rows = self.group.sum(left.sum(0), (mass[:, 0] * seen).sum())
                prior = prior._replace(pooled=total / rows)
            noise = left / mass if prior is None else prior.mode(left, mass * seen[:, None])
            noise = torch.where(seen[:, None], noise, params.noise_variance)
        if self.structure.isotropic_noise:
            noise = noise.mean(1, keepdim=True).expand_as(noise)
        return torch.maximum(noise, torch.as_tensor(self.floor, dtype=noise.dtype, device=noise.device)).contiguous()


def _separate_step(
    params: MFAParams, s: Statistics, mass: Tensor, seen: Tensor, of_noise: NoiseStep
) -> tuple[Tensor, Tensor, Tensor]:
    """Means, loadings of each component's own, and noise."""
    n_components, n_features, n_factors = params.loadings.shape
    eye = torch.eye(n_factors, dtype=s.scatter.dtype, device=s.scatter.device)
    means, left = torch.empty_like(params.means), torch.empty_like(s.square)
    # In memory factor by factor, as products like it; and a few components at a time, which caches hold.
    loadings = params.loadings.new_empty(n_components, n_factors, n_features)
    for some in slices(n_components, n_features * n_factors, loadings):
        part = s.of(some)
        centered, there = _center(part, mass[some]), seen[some, None, None]
        change = torch.linalg.solve(torch.where(there, centered.scatter, eye), centered.cross.mT).mT
        change = torch.where(there, change, 0.0)
        means[some] = params.means[some] + _shift(part, change, mass[some], seen[some])
        torch.add(params.loadings[some].mT, change.mT, out=loadings[some])
        left[some] = _left_over(centered, change, seen[some])
    return means, loadings.mT, of_noise.noise(params, left, mass, seen)


def _common_step(
    params: MFAParams, s: Statistics, mass: Tensor, seen: Tensor, of_noise: NoiseStep
) -> tuple[Tensor, Tensor, Tensor]:
    """Means, loadings that all components share, and noise."""
    centered, noise = _center(s, mass), params.noise_variance
    # With noise of their own the components weigh unequally in the common loadings, and the loadings in the noise:
    # the joint maximum is reached by turns.
    for _ in range(1 if of_noise.structure.shared_noise else 200):
        change, previous = _common_change(centered, noise, seen), noise
        noise = of_noise.noise(params, _left_over(centered, change, seen), mass, seen)
        if torch.allclose(previous, noise, rtol=1e-12, atol=0.0):
            break
    return params.means + _shift(s, change, mass, seen), params.loadings + change, noise


class _Centered(NamedTuple):
    """Second moments about their weighted means: what is left to fit once the best mean is put in."""

    cross: Tensor  # (K, D, q)
    scatter: Tensor  # (K, q, q)
    square: Tensor  # (K, D)


def _center(s: Statistics, mass: Tensor) -> _Centered:
    mean = (s.score / mass)[:, None, :]
    return _Centered(
        s.cross.addcmul(s.residual[:, :, None], mean, value=-1),
        s.scatter.addcmul(s.score[:, :, None], mean, value=-1),
        s.square - s.residual.square() / mass,
    )


def _shift(s: Statistics, change: Tensor, mass: Tensor, seen: Tensor) -> Tensor:
    """What the means (K, D) move by, given the change of the loadings (K, D, q)."""
    explained = (s.score[:, None] @ change.mT)[:, 0]
    return torch.where(seen[:, None], (s.residual - explained) / mass, 0.0)


def _common_change(c: _Centered, noise: Tensor, seen: Tensor) -> Tensor:
    precision = seen[:, None] / noise.expand(len(c.square), -1)  # (K, D)
    scatter = torch.einsum("kd,kij->dij", precision, c.scatter)
    cross = torch.einsum("kd,kdi->di", precision, c.cross)
    change = torch.linalg.solve(scatter, cross[:, :, None])[..., 0]  # (D, q)
    return change.expand(len(c.square), *change.shape)


def _left_over(c: _Centered, change: Tensor, seen: Tensor) -> Tensor:
    """Sums of squares (K, D) that are left to the noise, given the change of the loadings."""
    explained = (c.scatter.mT @ change.mT).sub_(c.cross.mT, alpha=2).mul_(change.mT).sum(1)
    return torch.where(seen[:, None], c.square + explained, 0.0)


def rebase(statistics: Statistics, old: MFAParams, new: MFAParams) -> Statistics:
    """The same rows' statistics as moments about other parameters; the posterior stays as it was taken.

    With a = mu' - mu and C = W' - W, what is left over becomes ``e' = e - a - C z``.
    """
    s = statistics
    a, c = new.means - old.means, new.loadings - old.loadings
    moved = (c @ s.score[:, :, None])[..., 0]  # C E[z]
    square = s.square - 2 * a * s.residual - 2 * (c * s.cross).sum(-1)
    square = square + s.mass[:, None] * a.square() + 2 * a * moved + ((c @ s.scatter) * c).sum(-1)
    return s._replace(
        residual=s.residual - s.mass[:, None] * a - moved,
        cross=s.cross - a[:, :, None] * s.score[:, None, :] - c @ s.scatter,
        square=square,
    )
