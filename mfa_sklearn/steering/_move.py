"""A mixture as steering needs it: its parameters checked, and what is derived from them kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .._base.checks import check_choice, warn_user
from .._base.devices import without_autocast
from ..mixture._model.density import Density
from ._operators import evaluable, responsibilities, shift, subspace_offset, two_stage, weighted_centroid
from ._parameters import FittedParameters, read_params
from ._transport import TransportMap, transport, transport_map

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_FARTHEST = 1e15
METHODS = ("centroid", "transport")


class Mixture:
    """Parameters of a fitted mixture in double precision, with factorizations and transport maps made once.

    Parameters
    ----------
    mfa : MFA, or another object
        With `weights_` (K,), `means_` (K, D), `loadings_` (K, D, q) and `noise_variance_`, of shape (D,) where
        the components share it or (K, D).
    """

    @torch.inference_mode(False)  # what is kept may meet gradients later, whatever mode it is made in
    def __init__(self, mfa: FittedParameters) -> None:
        self.params = read_params(mfa)
        self.n_components, self.n_features, self.n_factors = self.params.loadings.shape
        self._densities: dict[torch.device, Density] = {}
        self._routes: dict[tuple[int, int], TransportMap] = {}

    @torch.inference_mode(False)
    def density(self, device: torch.device) -> Density:
        """The mixture, ready to be evaluated on rows of `device`."""
        if device not in self._densities:
            self._densities[device] = evaluable(self.params, device)
        return self._densities[device]

    @torch.inference_mode(False)
    def route(self, source: int, target: int) -> TransportMap:
        """The transport map between two components."""
        if (source, target) not in self._routes:
            self._routes[source, target] = transport_map(self.params, source, target)
        return self._routes[source, target]


def largest(dtype: torch.dtype) -> float:
    """The largest activation that a model may go on with: norms take squares of it, which have to be finite as well."""
    return min(float(torch.finfo(dtype).max), _FARTHEST)


def _scores(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", torch.float64)
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"z={value!r} must hold numbers")
    return torch.as_tensor(array.astype(np.float64))  # a copy: the array may be one that must not be written to


class Move:
    """One move of activations, checked when it is made and applied to rows (n, D) of any precision and device.

    Parameters
    ----------
    mixture : Mixture
    component : int, sequence of int (one per row of the batch), or None for the responsibility-weighted centroid
    alpha : float, or None for 0
    z : dict of int to float, vector of length q, or None
    method : {"centroid", "transport"}
    source : int or None
        Where transport starts from; None takes each activation's most responsible component.
    dtype : torch.dtype
        What the model computes in, which a move must not leave.
    """

    @torch.inference_mode(False)
    def __init__(
        self,
        mixture: Mixture,
        component: int | Sequence[int] | None,
        alpha: float | None,
        z: Mapping[int, float] | ArrayLike | None,
        method: str,
        source: int | None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._mixture = mixture
        self.components = None if component is None else _components(component, mixture.n_components)
        self._alpha = _alpha(0.0 if alpha is None else alpha)
        self._offsets = self._offset(z)
        self._method, self._source = self._checked(method, source)
        if alpha is None and z is None:
            raise ValueError("nothing to do: give alpha (0.6 is usual), z or both; alpha=0 looks at the model as it is")
        self._check_reach(dtype)
        self._cast: dict[tuple[torch.dtype, torch.device], tuple[Tensor | None, Tensor | None]] = {}

    @property
    def is_nothing(self) -> bool:
        """Whether every activation stays as it is."""
        return self._alpha == 0 and self._offsets is None

    def __call__(self, x: Tensor, batch_row: Tensor) -> Tensor:
        """Rows `x` (n, D) moved; `batch_row` (n,) says which row of the batch each comes from."""
        if x.shape[-1] != self._mixture.n_features:
            raise ValueError(
                f"the mixture has {self._mixture.n_features} features, but activations at this hook have {x.shape[-1]}"
            )
        with without_autocast(x.device):
            return self._checked_range(self._moved(x, batch_row), x)

    def _moved(self, x: Tensor, batch_row: Tensor) -> Tensor:
        means, offsets = self._parts(x)
        index = batch_row if self.components is not None and len(self.components) > 1 else torch.zeros_like(batch_row)
        offset = None if offsets is None else offsets[index]
        if self._method == "transport":
            return shift(self._transported(x, index), offset)
        if self._alpha == 0:
            return shift(x, offset)
        target = weighted_centroid(self._mixture.density(x.device), x) if means is None else means[index]
        return two_stage(x, target, self._alpha, offset)

    def check_rows(self, n_rows: int) -> None:
        """Refuse a batch of another size than there are components."""
        if self.components is not None and len(self.components) not in (1, n_rows):
            raise ValueError(f"{len(self.components)} components were given for a batch of {n_rows} prompts")

    def _check_reach(self, dtype: torch.dtype) -> None:
        """Refuse what no activation could be moved by, and warn of centroids that are overshot."""
        means = self._mixture.params.means if self.components is None else self._mixture.params.means[self.components]
        offset = 0.0 if self._offsets is None else float(self._offsets.abs().max())
        reach, limit = abs(self._alpha) * float(means.abs().max()) + offset, largest(dtype)
        if not reach <= limit:
            raise ValueError(
                f"alpha={self._alpha:g} and z move activations by up to {reach:.2g}, beyond the {limit:.2g} that the "
                "model can compute with: give smaller ones"
            )
        if not 0 <= self._alpha <= 1:
            where = "past the centroid" if self._alpha > 1 else "away from the centroid"
            warn_user(f"alpha={self._alpha:g} is outside [0, 1] and goes {where}")

    def _checked_range(self, moved: Tensor, x: Tensor) -> Tensor:
        """`moved`, if the model can go on computing with it."""
        limit = largest(x.dtype)
        if not bool((moved.detach().abs() <= limit).all()):
            whose = f"were moved beyond the {limit:.2g} that it can compute with: give a smaller alpha or z"
            if not bool(x.detach().isfinite().all()):
                whose = "are not finite where they are to be moved: load it in float32 or bfloat16"
            raise ValueError(f"the model's activations {whose}")
        return moved

    @torch.inference_mode(False)
    def _parts(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        key = (x.dtype, x.device)
        if key not in self._cast:
            means = None if self.components is None else self._mixture.params.means[self.components].to(x)
            self._cast[key] = means, None if self._offsets is None else self._offsets.to(x)
        return self._cast[key]

    def _transported(self, x: Tensor, index: Tensor) -> Tensor:
        assert self.components is not None
        if self._alpha == 0:
            return x
        targets = self.components.to(x.device)[index]
        if self._source is None:
            sources = responsibilities(self._mixture.density(x.device), x).argmax(-1).to(x.device)
        else:
            sources = torch.full_like(targets, self._source)
        moved = x.clone()
        pairs, place = torch.stack([sources, targets], dim=1).unique(dim=0, return_inverse=True)
        for number, (source, target) in enumerate(pairs.tolist()):
            rows = place == number
            moved[rows] = transport(x[rows], self._mixture.route(source, target), self._alpha)
        return moved

    def _offset(self, z: Mapping[int, float] | ArrayLike | None) -> Tensor | None:
        if z is None:
            return None
        scores = read_scores(z, self._mixture.n_factors)
        if self.components is None:
            raise ValueError("z is in the coordinates of one component: give component=")
        return subspace_offset(self._mixture.params.loadings[self.components], scores) if scores.any() else None

    def _checked(self, method: str, source: int | None) -> tuple[str, int | None]:
        check_choice("method", method, METHODS)
        if method == "centroid" and source is not None:
            raise ValueError("source= belongs to method='transport'; the centroid move has no source")
        if method == "transport":
            if self.components is None:
                raise ValueError("method='transport' needs a target: give component=")
            if not 0 <= self._alpha <= 1:
                raise ValueError(f"alpha={self._alpha} is outside [0, 1], where transport is defined")
        n_components = self._mixture.n_components
        return method, None if source is None else int(_components(source, n_components, "source")[0])


def _alpha(alpha: Any) -> float:
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


def _components(component: int | Sequence[int], n_components: int, name: str = "component") -> Tensor:
    given: Sequence[Any] = np.asarray(component).reshape(-1).tolist()
    if not given or any(isinstance(k, bool) or not isinstance(k, Integral) for k in given):
        raise TypeError(f"{name}={component!r} must be an integer, or one integer per prompt")
    for k in given:
        if not 0 <= k < n_components:
            raise ValueError(f"{name}={k} is out of range: the mixture has {n_components}, numbered from 0")
    return torch.as_tensor(given)


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
