"""What a fit leaves in the estimator. Part of the estimator `MFA`."""

from __future__ import annotations

from typing import Any

from .._base.devices import to_numpy
from ._checkpoint.state import Tried
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
    component_tokens_: dict[int, list[str]] | None
    _stream: Stream | None = None

    def _keep(self, tried: Tried, problem: Problem, source: Any) -> None:
        result, log_scale = tried.result, problem.log_scale
        self._set_params_from(problem.conditioner.outward(result.params))
        self.noise_prior_ = 0.0 if tried.prior is None else tried.prior.rows
        self.lower_bound_ = result.bound - log_scale
        self.log_prior_ = result.log_prior
        self.lower_bounds_ = [bound - log_scale for bound in result.bounds]
        self.history_ = {"temperature": list(result.temperatures), "step": list(result.kinds)}
        if problem.held_out is not None:
            self.history_["held_out"] = list(tried.held_out)
        self.n_iter_ = result.n_iter
        self.converged_ = result.converged
        self.n_reseeded_ = result.reseeded
        at_floor = to_numpy(result.params.noise_variance <= max(_HEYWOOD_SHARE, 1.000001 * self.noise_floor))
        self.heywood_ = at_floor[0] if self.noise == "shared" else at_floor
        self.source_ = source
        self.n_samples_seen_ = problem.n_counted
        self.component_tokens_ = None
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
