"""Fitting batch after batch: running averages of sufficient statistics (stepwise EM)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ._arrays import Batches, Conditioner, column_moments, conditioner_for, resolve_device, resolve_dtype
from ._em import Statistics, m_step, rebase
from ._fit import GradientSolver, expected_statistics
from ._model import MFAParams, mixture_moments

# Step sizes (t + 2)^-0.6 forget the start and still average the noise away (any exponent in (0.5, 1] converges).
_EXPONENT = 0.6


class Stream:
    """What an estimator remembers between calls of `partial_fit`.

    Statistics are kept per unit of row weight, in the space of the original rows, together with the parameters they are
    moments about. The current parameters are kept too: those of the estimator may be rotated, and moments of factor
    scores belong to the factors they were taken in.
    """

    def __init__(self) -> None:
        self.n_batches = 0
        self.average: tuple[np.ndarray, ...] | None = None
        self.about: tuple[np.ndarray, ...] | None = None
        self.params: tuple[np.ndarray, ...] | None = None

    def update(self, estimator: Any, X: Any, weights: np.ndarray | None) -> tuple[MFAParams, float]:
        """Take in one batch; the estimator's new parameters and the batch's mean log-likelihood before the update."""
        device, dtype = resolve_device(estimator.device), resolve_dtype(estimator.dtype, X)
        observed = column_moments(X, weights, device).observed
        params = estimator._params(device) if self.params is None else _tensors(self.params, device)
        structure = estimator._structure
        conditioner = conditioner_for(*mixture_moments(params), structure.isotropic_noise)
        batches = Batches(X, conditioner, dtype, device, weights, keep=True)
        inner = conditioner.inward(params)
        if estimator.solver == "gradient":
            rng = np.random.RandomState(self.n_batches)
            size = estimator.batch_size or 128
            floor, rate = estimator.noise_floor, estimator.learning_rate
            solver = GradientSolver(inner, batches, structure, floor, rate, size, rng)
            bound = solver.step().bound
            new = solver.finish()[0]
        else:
            statistics = expected_statistics(inner, batches)
            bound = float(statistics.log_likelihood / statistics.weight)
            average = self._blend(statistics.scaled(1 / float(statistics.weight)), inner, conditioner)
            new = m_step(inner, average, structure, estimator.noise_floor)
            self._remember(average, params, conditioner)
        self.n_batches += 1
        outer = conditioner.outward(new)
        self.params = tuple(t.cpu().numpy() for t in outer)
        return outer, bound - float(observed @ conditioner.scale.log())

    def _blend(self, batch: Statistics, params: MFAParams, conditioner: Conditioner) -> Statistics:
        if self.average is None or self.about is None:
            return batch
        device = params.means.device
        kept = Statistics(*(torch.as_tensor(a, device=device) for a in self.average))
        about = conditioner.inward(_tensors(self.about, device))
        kept = rebase(_in_units(kept, conditioner.scale), about, params)
        step = (self.n_batches + 2) ** -_EXPONENT
        return kept.scaled(1 - step) + batch.scaled(step)

    def _remember(self, average: Statistics, params: MFAParams, conditioner: Conditioner) -> None:
        outer = _in_units(average, 1 / conditioner.scale)
        self.average = tuple(t.cpu().numpy() for t in outer)
        self.about = tuple(t.cpu().numpy() for t in params)


def _tensors(arrays: tuple[np.ndarray, ...], device: torch.device) -> MFAParams:
    return MFAParams(*(torch.as_tensor(a, device=device) for a in arrays))


def _in_units(statistics: Statistics, scale: torch.Tensor) -> Statistics:
    """Statistics of rows divided by `scale`, feature by feature."""
    return statistics._replace(
        residual=statistics.residual / scale,
        cross=statistics.cross / scale[:, None],
        square=statistics.square / scale.square(),
    )
