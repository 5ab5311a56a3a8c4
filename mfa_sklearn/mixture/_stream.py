"""Fitting batch after batch: running averages of sufficient statistics (stepwise EM)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .._base.devices import resolve_device, to_tensor, working_dtype
from .._base.group import ALONE, AnyGroup
from ._em.exact import expected_statistics
from ._em.shrinkage import FixedPrior
from ._em.statistics import Statistics, m_step, rebase, zero_statistics
from ._gradient.solver import GradientSolver
from ._model.params import MFAParams, mixture_moments
from ._model.prior import NoisePrior, has_wider_pool
from ._moments import column_moments
from ._rows import Batches, Conditioner, check_within_reach, conditioner_for, reach
from ._validation import RowWeights, check_noise_floor

# With equal batches step sizes fall as t^-0.6: they forget the start and still average the noise away (any exponent in
# (0.5, 1] does).
_EXPONENT = 0.6


class Stream:
    """What an estimator remembers between calls of `partial_fit`.

    Statistics are kept per unit of row weight, in the space of the original rows, together with the parameters they are
    moments about. The current parameters are kept too: those of the estimator may be rotated, and moments of factor
    scores belong to the factors they were taken in.

    Parameters
    ----------
    params : MFAParams
        Where the stream begins.
    seen : float
        Weight of the rows that these parameters were fitted on.
    """

    def __init__(self, params: MFAParams, seen: float = 0.0) -> None:
        self.seen = seen
        self.n_batches = 0
        self.params = self.about = _arrays(params)
        self.average = _arrays(_settled(params))

    def update(self, estimator: Any, X: Any, weights: RowWeights, group: AnyGroup = ALONE) -> tuple[MFAParams, float]:
        """Take in one batch; the estimator's new parameters and the batch's mean log-likelihood before the update.

        In a group the batch is the rows of all processes.
        """
        device, dtype = resolve_device(estimator.device), working_dtype(estimator.dtype, X)
        check_noise_floor(estimator.noise_floor, dtype)
        observed = column_moments(X, weights.values, device, weights.places, group).observed
        params = _tensors(self.params, device)
        conditioner = conditioner_for(*mixture_moments(params), estimator._structure.isotropic_noise)
        batches = Batches(X, conditioner, dtype, device, weights.values, None, True, weights.places, group)
        farthest = reach(conditioner.inward(params).noise_variance, dtype)
        for rows, some, _ in batches:
            check_within_reach(some, farthest, batches.numbers(rows))
        weight = weights.total(X.shape[0], group)
        step = self._gradient_epoch if estimator.solver == "gradient" else self._em_step
        new, bound = step(estimator, batches, params, conditioner, weight)
        self.n_batches += 1
        outer = conditioner.outward(new)
        self.params = _arrays(outer)
        return outer, bound - float(observed @ conditioner.scale.log())

    def _gradient_epoch(
        self, estimator: Any, batches: Batches, params: MFAParams, conditioner: Conditioner, weight: float
    ) -> tuple[MFAParams, float]:
        inner = conditioner.inward(params)
        solver = GradientSolver(
            inner,
            batches,
            estimator._structure,
            estimator.noise_floor,
            estimator.learning_rate,
            estimator.batch_size,
            np.random.RandomState(self.n_batches),
            shrinkage=FixedPrior(_prior(estimator, weight / (self.seen + weight), inner)),
        )
        self.seen += weight
        bound = solver.step().bound
        return solver.finish()[0], bound

    def _em_step(
        self, estimator: Any, batches: Batches, params: MFAParams, conditioner: Conditioner, weight: float
    ) -> tuple[MFAParams, float]:
        inner = conditioner.inward(params)
        batch = expected_statistics(inner, batches).summed(batches.group)
        kept = Statistics(*(to_tensor(a, batches.device) for a in self.average))
        about = conditioner.inward(_tensors(self.about, batches.device))
        kept = rebase(_in_units(kept, conditioner.scale), about, inner)
        # A batch of b rows after m seen is step m / b + 1 of a stream of such batches; given parameters count as one.
        step = (1 + max(self.seen, weight) / weight) ** -_EXPONENT
        average = kept.scaled(1 - step) + batch.scaled(step / float(batch.weight))
        self.seen += weight
        self.average = _arrays(_in_units(average, 1 / conditioner.scale))
        self.about = _arrays(params)
        # Averages are per row, and so is what noise is lent.
        prior = _prior(estimator, 1 / self.seen, inner)
        new = m_step(inner, average, estimator._structure, estimator.noise_floor, prior)
        return new, float(batch.log_likelihood / batch.weight)


def _prior(estimator: Any, share: float, params: MFAParams) -> NoisePrior | None:
    """A share of the noise prior: as many rows as the start was lent, if they are read off the data."""
    asked = estimator.noise_prior
    rows = getattr(estimator, "noise_prior_", 0.0) if asked == "auto" else asked
    if not rows or not has_wider_pool(estimator._structure, len(params.means)):
        return None
    shared = estimator._structure.shared_noise
    pooled = mixture_moments(params)[1] if shared else params.log_weights.exp() @ params.noise_variance
    return NoisePrior(float(rows) * share, pooled)


def _settled(params: MFAParams) -> Statistics:
    """Statistics per unit of weight that leave the parameters as they are: those of the mixture itself."""
    n_components, n_features, n_factors = params.loadings.shape
    zeros = zero_statistics(params)
    weights = params.log_weights.exp()
    eye = torch.eye(n_factors, dtype=torch.float64, device=weights.device)
    noise = params.noise_variance.expand(n_components, n_features)
    return zeros._replace(
        mass=weights,
        scatter=weights[:, None, None] * eye,
        square=weights[:, None] * noise,
        weight=torch.ones_like(zeros.weight),
    )


def _arrays(tensors: tuple[torch.Tensor, ...]) -> tuple[np.ndarray, ...]:
    return tuple(t.detach().cpu().numpy() for t in tensors)


def _tensors(arrays: tuple[np.ndarray, ...], device: torch.device) -> MFAParams:
    return MFAParams(*(to_tensor(a, device) for a in arrays))


def _in_units(statistics: Statistics, scale: torch.Tensor) -> Statistics:
    """Statistics of rows divided by `scale`, feature by feature."""
    return statistics._replace(
        residual=statistics.residual / scale,
        cross=statistics.cross / scale[:, None],
        square=statistics.square / scale.square(),
    )
