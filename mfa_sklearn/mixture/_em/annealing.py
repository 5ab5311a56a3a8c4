"""Where annealing starts: the temperature that flattens the posterior enough, read off the data."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._model.density import log_joint, prepare
from .._model.params import MFAParams


def entropy_share(n_components: int) -> float:
    """Share of ``log K`` that the posterior's entropy has where annealing starts.

    Many components find better places the softer the start, up to six tenths (a row is then spread over 16 of 100);
    few ones melt into one another: three stay apart at a seventh (measured in docs/benchmarks.md).
    """
    return min(0.6, 0.13 * math.log(n_components))


@torch.no_grad()
def starting_temperature(
    params: MFAParams, X: Tensor, weights: Tensor | None = None, share: float | None = None
) -> float:
    """The temperature at which the posterior's entropy is a share of the most it can be, ``log K``; at least one.

    Where the posterior is as soft by itself this is one. It is at most D, where a row of D features counts as one:
    components that are still apart there are so for good, and a hotter start would melt them.

    Parameters
    ----------
    X : Tensor (n, D)
        A sample of the rows.
    weights : Tensor (n,), optional
    share : float, optional
        Of ``log K``, for the mean entropy over rows; by default `entropy_share`.
    """
    joint = log_joint(prepare(params, X.dtype), X.nan_to_num())
    n_components = len(params.log_weights)
    target = (entropy_share(n_components) if share is None else share) * math.log(n_components)

    def entropy(temperature: float) -> float:
        log_r = (joint / temperature).log_softmax(1)
        spread = -(log_r.exp() * log_r).sum(1).double()
        return float(spread.mean() if weights is None else weights @ spread / weights.sum())

    if entropy(1.0) >= target:
        return 1.0
    low, high = 1.0, float(X.shape[1])
    for _ in range(20):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if entropy(middle) < target else (low, middle)
    return math.sqrt(low * high)
