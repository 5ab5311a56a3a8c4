"""Moves that are one affine map for all activations, and so can be handed to other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._base.checks import check_component, check_flag
from ._move import Mixture, Move
from ._move_arguments import read_scores
from ._operators import shift, subspace_offset
from ._parameters import FittedParameters

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_WHAT_CAN = (
    "exported can be method='centroid' towards one component, method='direction' towards one or a set, "
    "method='transport' from a source= to one component, and z alone"
)


class AffineMap(NamedTuple):
    """A map ``x -> weight x + bias`` of activations, rows (..., D) in any floating precision on any device."""

    weight: Tensor | None  # (D, D)  None for the identity
    bias: Tensor  # (D,)
    settings: Mapping[str, Any] = {}  # what it was made from, as plain values

    def __call__(self, x: Tensor) -> Tensor:
        """Rows moved, in the precision and on the device of `x`; the identity returns them, the same bits."""
        turned = x if self.weight is None else x @ self.weight.to(x).mT
        return shift(turned, self.bias if bool(self.bias.any()) else None)

    def to(self, like: Tensor) -> AffineMap:
        """The same map in the precision and on the device of `like`, so that calls need not cast it each time."""
        return self._replace(weight=None if self.weight is None else self.weight.to(like), bias=self.bias.to(like))


def affine_map(
    mfa: FittedParameters,
    component: int | Mapping[int, float],
    alpha: float | None = None,
    z: Mapping[int, float] | ArrayLike | None = None,
    *,
    method: str = "centroid",
    source: int | None = None,
    gate: object = None,
    keep_norm: bool = False,
) -> AffineMap:
    """A move of `MFASteerer.steer` as one affine map, the same for every activation.

    With `mu_k`, `W_k` of the component, and the transport map ``T(x) = x + step + L R^T (x - origin)`` of
    `transport_map`, ::

        centroid    weight (1 - alpha) I            bias  alpha mu_k + W_k z
        direction   weight I                        bias  alpha d + W_k z, d as of `region_direction`
        transport   weight I + alpha L R^T          bias  alpha (step - L R^T origin) + W_k z

    and where it is the identity `AffineMap` has None for the weight, as where alpha is 0.

    Parameters
    ----------
    mfa : MFA, or another object with `weights_`, `means_`, `loadings_` and `noise_variance_`
    component : int, or dict of int to float
        The target; a set of regions for method="direction" alone, whose `z` is then an array (K, q).
    alpha : float, optional
        How far to go, as of `MFASteerer.steer`; None for 0.
    z : dict of int to float, or vector of length q, optional
        Factor scores of the local offset.
    method : {"centroid", "direction", "transport"}, default="centroid"
    source : int, optional
        The component that transport starts from, which must be given: without, each activation has its own.
    gate : None
    keep_norm : False
        Here to be refused: with a gate or a norm that is kept, a move depends on the activation in other ways.

    Returns
    -------
    AffineMap
        In double precision, on the CPU. Its `settings` hold method, component, alpha, z and source.

    Raises
    ------
    ValueError
        If the move is no affine map, because it depends on the responsibilities of each activation; also on anything
        out of range.
    TypeError
        If the mixture is not fitted.

    See Also
    --------
    save_affine : Writes maps to a file.
    save_control_vector : Writes directions, or the constant parts of maps, to a file.

    Examples
    --------
    >>> import torch
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.steering import affine_map
    >>> mfa = MFA.from_params([0.5, 0.5], [[0.0, 0.0], [10.0, 0.0]], [[[1.0], [0.0]], [[0.0], [2.0]]], [1.0, 1.0])
    >>> move = affine_map(mfa, component=1, alpha=0.6, z={0: 1.5})
    >>> move.weight.tolist(), move.bias.tolist()
    ([[0.4, 0.0], [0.0, 0.4]], [6.0, 3.0])
    >>> move(torch.tensor([[5.0, 5.0]]))
    tensor([[8., 5.]])
    """
    mixture = Mixture(mfa)
    _check_affine(method, source, gate, keep_norm)
    size = 0.0 if alpha is None else float(alpha)
    if method == "direction":
        target = component if isinstance(component, Mapping) else _one_component(component, mixture.n_components)
        weight, bias = None, _moved_origin(Move(mixture, target, alpha, z, method, source), mixture.n_features)
        return AffineMap(weight, bias, _settings(target, size, z, method, source, mixture))
    target = _one_component(component, mixture.n_components)
    Move(mixture, target, alpha, z, method, source)  # which checks all the rest
    weight, bias = _parts(mixture, target, size, method, source)
    if z is not None:
        bias = bias + subspace_offset(mixture.params.loadings[target].to(bias), read_scores(z, mixture.n_factors))
    return AffineMap(weight, bias, _settings(target, size, z, method, source, mixture))


def _moved_origin(move: Move, n_features: int) -> Tensor:
    """Where a move takes the origin, (D,)."""
    return move(torch.zeros(1, n_features, dtype=torch.float64), torch.zeros(1, dtype=torch.long))[0]


def _settings(target: Any, alpha: float, z: Any, method: str, source: int | None, mixture: Mixture) -> dict[str, Any]:
    """What a map was made from, as plain values."""
    is_set = isinstance(target, Mapping)
    component = {str(int(k)): float(v) for k, v in target.items()} if is_set else int(target)
    scores = None if z is None else (np.asarray(z) if is_set else read_scores(z, mixture.n_factors)).tolist()
    source = None if source is None else int(source)
    return {"method": method, "component": component, "alpha": alpha, "z": scores, "source": source}


def _parts(
    mixture: Mixture, target: int, alpha: float, method: str, source: int | None
) -> tuple[Tensor | None, Tensor]:
    mean = mixture.params.means[target].to("cpu", torch.float64)
    if alpha == 0:
        return None, torch.zeros_like(mean)
    eye = torch.eye(len(mean), dtype=mean.dtype)
    if method == "centroid":
        return (1 - alpha) * eye, alpha * mean
    assert source is not None
    route = mixture.route(int(source), target)
    bend = route.left @ route.right.mT
    return eye + alpha * bend, alpha * (route.step - bend @ route.origin)


def _one_component(component: Any, n_components: int) -> int:
    """The component's number, if there is one for all activations."""
    if isinstance(component, Integral) and not isinstance(component, bool):
        return check_component(int(component), n_components)
    if component is None:
        said = "component=None goes to the centroid weighted by each activation's responsibilities"
    elif isinstance(component, Mapping):
        said = f"component={component!r} is a set of regions, of which each activation goes to its own"
    elif isinstance(component, Sequence) and not isinstance(component, str):
        said = f"component={component!r} has one for each prompt"
    else:
        raise TypeError(f"component={component!r} must be an integer from 0 to {n_components - 1}")
    raise ValueError(f"{said}, which is not one affine map for all: {_WHAT_CAN}")


def _check_affine(method: Any, source: int | None, gate: object, keep_norm: bool) -> None:
    """Refuse what is not the same map for every activation."""
    if method not in ("centroid", "direction", "transport"):
        raise ValueError(
            f"method={method!r} is not one affine map for all activations, or unknown: {_WHAT_CAN}; what depends on "
            "the responsibilities of each activation runs in MFASteerer alone"
        )
    if method == "transport" and source is None:
        raise ValueError(
            "method='transport' without source= starts from each activation's own component, which is not one affine "
            f"map for all: {_WHAT_CAN}"
        )
    if gate is not None:
        raise ValueError(f"gate={gate!r} lets the responsibilities of each activation decide: {_WHAT_CAN}, ungated")
    if check_flag("keep_norm", keep_norm):
        raise ValueError(f"keep_norm=True rescales each activation, which is no affine map: {_WHAT_CAN}")
