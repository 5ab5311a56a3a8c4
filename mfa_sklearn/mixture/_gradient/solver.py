"""The gradient solver: epochs of Adam on minibatches, a step of `_fit.loop` each."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch

from .._em.exact import expected_statistics
from .._em.shrinkage import FixedPrior
from .._fit.loop import Step
from .._model.density import prepare
from .._model.pairs import mean_log_prob
from .._model.params import MFAParams, Structure
from .._rows import Batches
from .ascent import Ascent, Penalty, Unconstrained, constrain, unconstrain

# Devices that have an Adam which updates all parameters in one go.
_FUSED = ("cpu", "cuda")
# Rows beyond which a step's time is its matrix products', and no longer that of updating the parameters: the two grow
# alike with the size of the mixture. Fewer where an epoch would have fewer steps than this.
_LARGE_BATCH = {"cpu": 512, "cuda": 4096}
_SMALL_BATCH = 128
_LEAST_STEPS = 64
# Learning rates of Adam for small batches, and for any.
_SMALL_RATE, _LARGEST_RATE = 1e-3, 4e-3


def fitting_batch_size(batches: Batches) -> int:
    """Rows per step that suit the machine and the number of rows."""
    large = _LARGE_BATCH.get(batches.device.type, 4096)
    return max(_SMALL_BATCH, min(large, batches.total_rows // _LEAST_STEPS))


def fitting_learning_rate(batch_size: int) -> float:
    """Of Adam: the less noise there is in a gradient, the larger a step it is worth."""
    return min(_LARGEST_RATE, max(1.0, batch_size / _SMALL_BATCH) * _SMALL_RATE)


class GradientSolver:
    """Adam on minibatches; a step is an epoch. With validation rows, theirs is the bound, and the best is kept."""

    def __init__(
        self,
        params: MFAParams,
        batches: Batches,
        structure: Structure,
        floor: float,
        learning_rate: float | None,
        batch_size: int | None,
        rng: np.random.RandomState,
        validation: Batches | None = None,
        shrinkage: FixedPrior | None = None,
    ) -> None:
        self.shrinkage, self._weight = shrinkage or FixedPrior(), batches.total_rows * batches.mean_weight
        self._batches, self._validation, self._floor = batches, validation, floor
        self._batch_size, self._rng = batch_size or fitting_batch_size(batches), rng
        rate = learning_rate or fitting_learning_rate(min(self._batch_size, batches.total_rows))
        self._leaves: Unconstrained = unconstrain(params, structure, floor, batches.dtype)
        optimizer = torch.optim.Adam(list(self._leaves), lr=rate, fused=batches.device.type in _FUSED)
        self._ascent = Ascent(self._leaves, optimizer, floor, batches.group)
        self._ascent.penalty = self._penalty()
        self._best: tuple[float, MFAParams] | None = None
        self.reseeded = 0
        self.plain = True

    def step(self) -> Step:
        """One epoch."""
        if not self.shrinkage.settled:
            self._follow()
        total = mass = 0.0
        for minibatch in self._batches.shuffled(self._batch_size, self._rng):
            value, weight = self._ascent.step(*minibatch)
            total, mass = total + value, mass + weight
        train, params = total / mass, self._current()
        if self._validation is None:
            return Step(self._batches.group.tell(train + self.log_prior(params)), True)
        bound = self._log_likelihood(params, self._validation)
        if self._best is None or bound > self._best[0]:
            self._best = (bound, params)
        return Step(bound, True, f"train {train:.6g}")

    def _follow(self) -> None:
        """Let the prior of the noise follow the parameters, in the first epochs."""
        params = self._current()
        self.shrinkage.follow(params, lambda: expected_statistics(params, self._batches).summed(self._batches.group))
        self._ascent.penalty = self._penalty()

    def _penalty(self) -> Penalty | None:
        prior = self.shrinkage.prior
        return None if prior is None or prior.pooled is None else Penalty(prior, self._weight)

    def log_prior(self, params: MFAParams) -> float:
        """Log density of the noise, per row."""
        return self.shrinkage.log_density(params) / self._weight

    def _current(self) -> MFAParams:
        with torch.no_grad():
            params = constrain(self._leaves, self._floor).to(torch.float64)
        # In single precision weights sum to one only to its rounding.
        params = params._replace(log_weights=params.log_weights.log_softmax(0))
        return MFAParams(*(t.detach().clone() for t in params))

    @property
    def params(self) -> MFAParams:
        """The parameters reached, or the best on the validation rows."""
        return self._current() if self._best is None else self._best[1]

    def rearrange(self, bound: float) -> bool:
        """Nowhere else to go."""
        return False

    def finish(self) -> tuple[MFAParams, float]:
        """The parameters (the best on the validation rows, if any) and their bound on the training rows."""
        params = self.params
        return params, self._log_likelihood(params, self._batches) + self.log_prior(params)

    def state(self) -> dict[str, Any]:
        """What the next epochs depend on; copies, because steps change leaves and averages in place."""
        return {
            "leaves": tuple(leaf.detach().clone() for leaf in self._leaves),
            "ascent": deepcopy(self._ascent.state()),
            "best": None if self._best is None else (self._best[0], tuple(self._best[1])),
            "shrinkage": self.shrinkage.state(),
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        for leaf, value in zip(self._leaves, state["leaves"], strict=True):
            leaf.copy_(value)
        self._ascent.restore(state["ascent"])
        best = state["best"]
        self._best = None if best is None else (best[0], MFAParams(*best[1]))
        self.shrinkage.restore(state["shrinkage"])
        self._ascent.penalty = self._penalty()

    @torch.no_grad()
    def _log_likelihood(self, params: MFAParams, batches: Batches) -> float:
        """Mean log density per row."""
        return batches.group.tell(mean_log_prob(prepare(params, batches.dtype), batches, batches.group))
