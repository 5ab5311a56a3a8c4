"""What a move may be asked for: targets, strength, factor scores, and what goes with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._base.checks import check_choice, warn_user
from ._regions import read_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

METHODS = ("centroid", "direction", "transport")
# Norms take squares of activations, which have to be finite as well.
_FARTHEST = 1e15


class Targets(NamedTuple):
    """The components that rows go to."""

    components: Tensor  # (m,)  one for all rows, one per prompt, or those of a set
    weights: Tensor | None = None  # (K,)  of the set

    @property
    def n_prompts(self) -> int | None:
        """How many prompts there must be; None where any number will do."""
        return len(self.components) if self.weights is None and len(self.components) > 1 else None


def read_targets(component: Any, n_components: int) -> Targets | None:
    """The components that rows go to; None for none in particular.

    Raises
    ------
    TypeError
        If it is none of an integer, a sequence of integers, and a dict of component to weight.
    ValueError
        If there is no such component, or the weights are none.
    """
    if component is None:
        return None
    if isinstance(component, Mapping):
        weights = read_weights(component, n_components, "component")
        return Targets(weights.nonzero()[:, 0], weights)
    return Targets(read_components(component, n_components))


def read_components(component: int | Sequence[int], n_components: int, name: str = "component") -> Tensor:
    """Numbers of components (m,).

    Raises
    ------
    TypeError
        If they are no integers.
    ValueError
        If there is no such component.
    """
    given: Sequence[Any] = np.asarray(component).reshape(-1).tolist()
    if not given or any(isinstance(k, bool) or not isinstance(k, Integral) for k in given):
        raise TypeError(f"{name}={component!r} must be an integer, or one integer per prompt")
    for k in given:
        if not 0 <= k < n_components:
            raise ValueError(f"{name}={k} is out of range: the mixture has {n_components}, numbered from 0")
    return torch.as_tensor(given)


def read_alpha(alpha: Any) -> float:
    """A strength.

    Raises
    ------
    ValueError
        If it is no finite number.
    """
    try:
        number = _number("alpha", alpha)
    except TypeError as error:
        raise ValueError(str(error)) from None
    if not np.isfinite(number):
        raise ValueError(f"alpha={alpha!r} must be a finite number: 0 changes nothing, 1 goes all the way")
    return number


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}={value!r} must be a finite number")
    try:
        return float(value)
    except OverflowError:  # an integer, or a fraction, beyond all floating-point numbers
        return float("inf")


def read_scores(z: Mapping[int, float] | ArrayLike, n_factors: int) -> Tensor:
    """Factor scores (q,) from a dict of a few of them or from a whole vector.

    Raises
    ------
    ValueError
        If the vector is not of length q, a factor of the dict does not exist, or a score is not finite.
    """
    if isinstance(z, Mapping):
        scores = torch.zeros(n_factors, dtype=torch.float64)
        for factor, value in z.items():
            if isinstance(factor, bool) or not isinstance(factor, Integral) or not 0 <= int(factor) < n_factors:
                raise ValueError(f"z names factor {factor!r}, but factors are numbered 0 to {n_factors - 1}")
            scores[int(factor)] = _number(f"z[{factor}]", value)
    else:
        scores = _scores(z)
        if scores.shape != (n_factors,):
            raise ValueError(
                f"z has shape {tuple(scores.shape)}, but the mixture has {n_factors} factors: give a vector of "
                f"length {n_factors}, or a dict of factor to value"
            )
    if not bool(torch.isfinite(scores).all()):
        raise ValueError(f"z={z!r} holds NaN or infinity")
    return scores


def _scores(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", torch.float64)
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"z={value!r} must hold numbers")
    return torch.as_tensor(array.astype(np.float64))  # a copy: the array may be one that must not be written to


def check_method(method: str, source: Any, z: Any, targets: Targets | None) -> None:
    """Refuse arguments that do not go with a method.

    Raises
    ------
    ValueError
    """
    check_choice("method", method, METHODS)
    if source is not None and method != "transport":
        raise ValueError(f"source= belongs to method='transport'; method={method!r} has no source")
    if targets is not None and targets.weights is not None and method != "direction":
        raise ValueError(f"method={method!r} goes to one region: give component=K, or method='direction' for a set")
    if targets is None and method != "centroid":
        raise ValueError(f"method={method!r} needs a target: give component=")
    if targets is None and z is not None:
        raise ValueError("z is in the coordinates of one component: give component=")


def check_strength(method: str, alpha: float) -> None:
    """Refuse a strength that a method is not defined for, and warn of centroids that are overshot.

    Raises
    ------
    ValueError
    """
    inside = 0 <= alpha <= 1
    if method == "transport" and not inside:
        raise ValueError(f"alpha={alpha} is outside [0, 1], where transport is defined")
    if method == "centroid" and not inside:
        where = "past the centroid" if alpha > 1 else "away from the centroid"
        warn_user(f"alpha={alpha:g} is outside [0, 1] and goes {where}")


@cache
def largest(dtype: torch.dtype) -> float:
    """The largest activation that a model may go on with."""
    return min(float(torch.finfo(dtype).max), _FARTHEST)
