"""Rows with missing values: the same posterior and the same statistics, from the features that were observed.

A Gaussian's marginal over some features is the Gaussian of those features, so a row that misses values at random is
evaluated with the rows of W and Psi that it has (Little & Rubin, "Statistical Analysis with Missing Data"). With O_n
the row's observed features,

    M_n = I + sum_{d in O_n} w_d w_d^T / psi_d        z_n = M_n^-1 sum_{d in O_n} w_d (x_d - mu_d) / psi_d

In the M-step a missing feature counts as hidden, like the factors: given z its residual is noise of mean zero and
variance psi_d. The statistics are then those of `_em.statistics`, and nothing else of the fit knows of missing values.
Shapes: n rows, K components, D features, q factors.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .density import Density
from .lowrank import LOST_OF_ONE, factor_precision

# An intermediate (n, q, q) and (n, D) per component stays below this many numbers.
_CHUNK_NUMBERS = 2**22


class Observed(NamedTuple):
    """What rows with missing values say under one component."""

    scores: Tensor  # (n, q)  E[z | observed], like the others in the rows' precision or in double
    covariance: Tensor  # (n, q, q)  cov(z | observed)
    residual: Tensor  # (n, D)  x - mu - W z where observed, zero elsewhere
    seen: Tensor  # (n, D)  one where observed, zero elsewhere
    log_joint: Tensor  # (n,)  log w_k + log density of the observed features


def has_missing(X: Tensor) -> bool:
    """Whether any value is NaN; one cheap pass (infinite values are refused before)."""
    return bool(X.sum().isnan())


def missing_rows(X: Tensor) -> Tensor:
    """Which rows (n,) miss a value."""
    return X.sum(1).isnan()


def observe(density: Density, X: Tensor, component: int) -> Observed:
    """Posterior of the factors, residuals and log joint density of rows (n, D) under one component.

    In double precision where that of the rows would lose the identity in M_n to the factors.
    """
    k, params = component, density.params
    lost = torch.finfo(X.dtype).eps * density.cov.signal[k] > LOST_OF_ONE
    dtype = torch.float64 if bool(lost) else X.dtype
    loadings = params.loadings[k].to(dtype)
    noise = params.noise_variance[min(k, len(params.noise_variance) - 1)].to(dtype)
    seen = (~X.isnan()).to(dtype)
    deviations = torch.where(seen > 0, X - params.means[k], 0.0).to(dtype)
    scores, covariance, log_det_m = _factors(loadings, noise, seen, deviations)
    residual = deviations - seen * (scores @ loadings.T)
    distance = residual.square() @ (1 / noise) + scores.square().sum(1)
    log_det = seen @ noise.log() + log_det_m.to(dtype)
    log_joint = params.log_weights[k] - 0.5 * (seen.sum(1) * math.log(2 * math.pi) + log_det + distance)
    return Observed(scores, covariance.to(dtype), residual, seen, log_joint)


def _factors(loadings: Tensor, noise: Tensor, seen: Tensor, deviations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """z_n (n, q), M_n^-1 (n, q, q) and log det M_n (n,), the last two in double precision."""
    scaled = loadings / noise[:, None]  # (D, q)
    n_factors = loadings.shape[1]
    outer = (scaled[:, :, None] * loadings[:, None, :]).reshape(len(noise), -1)
    gram = (seen @ outer).view(len(seen), n_factors, n_factors).double()
    whitener, log_det, axes = factor_precision(gram, lambda: seen[:, None] * (loadings.T / noise.sqrt()))
    if axes is None:
        projection = whitener @ (deviations @ scaled).double()[:, :, None]
    else:
        projection = axes @ (deviations / noise.sqrt())[:, :, None]
    scores = (whitener.mT @ projection)[:, :, 0].to(deviations)
    return scores, whitener.mT @ whitener, log_det


def observed_log_joint(density: Density, X: Tensor) -> Tensor:
    """Log joint densities (n, K) of rows with missing values."""
    joint = X.new_empty(len(X), len(density.constant))
    for start in range(0, len(X), rows_at_once(density)):
        chunk = X[start : start + rows_at_once(density)]
        for k in range(joint.shape[1]):
            joint[start : start + len(chunk), k] = observe(density, chunk, k).log_joint
    return joint


def rows_at_once(density: Density) -> int:
    """How many rows to observe at once."""
    _, n_features, n_factors = density.params.loadings.shape
    return max(1, _CHUNK_NUMBERS // (n_features + n_factors**2))


class MissingMoments(NamedTuple):
    """One component's statistics of rows with missing values, in the terms of `_em.Statistics`."""

    residual: Tensor  # (D,)
    score: Tensor  # (q,)
    cross: Tensor  # (D, q)
    scatter: Tensor  # (q, q)
    square: Tensor  # (D,)


def missing_moments(density: Density, X: Tensor, component: int, responsibility: Tensor) -> MissingMoments:
    """Sums over rows (n, D) of responsibility times posterior moments under one component."""
    params = density.params
    loadings = params.loadings[component].double()
    noise = params.noise_variance[min(component, len(params.noise_variance) - 1)].double()
    total: MissingMoments | None = None
    step = rows_at_once(density)
    for start in range(0, len(X), step):
        o = observe(density, X[start : start + step], component)
        r = responsibility[start : start + step].double()
        z, e, seen = o.scores.double(), o.residual.double(), o.seen.double()
        weighted = r[:, None] * z
        hidden = (r[:, None, None] * o.covariance.double()).reshape(len(z), -1)  # (n, q q)
        by_feature = (seen.T @ hidden).view(
            len(noise), *o.covariance.shape[1:]
        )  # (D, q, q) sum of r M_n^-1 where observed
        spread = torch.einsum("dq,dqp->dp", loadings, by_feature)
        part = MissingMoments(
            r @ e,
            r @ z,
            e.T @ weighted - spread,
            z.T @ weighted + hidden.sum(0).view(o.covariance.shape[1:]),
            r @ e.square() + (spread * loadings).sum(1) + noise * (r @ (1 - seen)),
        )
        total = part if total is None else MissingMoments(*(a + b for a, b in zip(total, part, strict=True)))
    assert total is not None
    return total
