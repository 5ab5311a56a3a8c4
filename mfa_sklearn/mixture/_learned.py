"""What a fit says on its way, and what it leaves in the estimator. Part of the estimator `MFA`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._base.devices import to_numpy
from .._base.group import AnyGroup
from ._fit.loop import FitResult, Step
from ._fit.problem import Problem
from ._fitted import FittedMixture
from ._model.params import MFAParams
from ._model.rotation import rotate
from ._stream import Stream

# EM nears a noise variance of zero ever more slowly; below this share of the feature's variance it is on its way there.
_HEYWOOD_SHARE = 1e-4


class LearnedAttributes(FittedMixture):
    """Learned attributes from the result of a fit."""

    noise_floor: float
    rotation: str | None
    verbose: int
    _stream: Stream | None = None

    def _report(self, attempt: int, log_scale: float, group: AnyGroup) -> Callable[[int, Step], None]:
        """What prints a line every `verbose` iterations of a start, on the first process of a group."""

        def report(n_iter: int, step: Step) -> None:
            if self.verbose and group.first and n_iter % int(self.verbose) == 0:
                bound = step.bound - log_scale
                print(f"[MFA] start {attempt + 1}, iteration {n_iter}: {bound:.6f} nats per row {step.note}".rstrip())

        return report

    def _keep(self, result: FitResult, problem: Problem, source: Any) -> None:
        log_scale = problem.log_scale
        self._set_params_from(problem.conditioner.outward(result.params))
        self.lower_bound_ = result.bound - log_scale
        self.log_prior_ = result.log_prior
        self.lower_bounds_ = [bound - log_scale for bound in result.bounds]
        self.history_ = {"temperature": result.temperatures, "step": result.kinds}
        self.n_iter_ = result.n_iter
        self.converged_ = result.converged
        self.n_reseeded_ = result.reseeded
        at_floor = to_numpy(result.params.noise_variance <= max(_HEYWOOD_SHARE, 1.000001 * self.noise_floor))
        self.heywood_ = at_floor[0] if self.noise == "shared" else at_floor
        self.source_ = source
        self._stream = Stream(problem.conditioner.outward(result.params), problem.weight)

    def _set_params_from(self, params: MFAParams) -> None:
        common = self._structure.common_loadings
        loadings = rotate(params.loadings, params.noise_variance, self.rotation, common)
        # In single precision they sum to one only to its rounding.
        self.weights_ = to_numpy(params.log_weights.double().softmax(0))
        self.means_ = to_numpy(params.means)
        self.loadings_ = to_numpy(loadings.contiguous())
        noise = to_numpy(params.noise_variance)
        self.noise_variance_ = noise[0] if self.noise == "shared" else noise
        self.n_components_, _, self.n_factors_ = self.loadings_.shape
