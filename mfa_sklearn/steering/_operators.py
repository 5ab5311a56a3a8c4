"""What steering does to an activation, as pure functions of torch tensors.

    centroid    x + a (mu_k - x)  =  (1 - a) x + a mu_k
    local       x + W_k z
    two-stage   x + a (mu_k - x) + W_k z

Other modules have the moves that take more: `_transport`; `_regions` and `_directions`, the same step for every row.

Rows are ``(..., D)`` in any floating precision on any device; what moves them is cast to theirs. A move of size nothing
(``a = 0``, ``z = 0``) returns its input, the same bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..mixture._model.density import Density, log_joint, prepare
from ..mixture._model.params import MFAParams
from ._parameters import FittedParameters, read_params


def interpolate(x: Tensor, target: Tensor, alpha: float) -> Tensor:
    """Rows ``(1 - alpha) x + alpha target``.

    Parameters
    ----------
    x : Tensor (..., D)
    target : Tensor broadcastable to (..., D)
        For instance the mean of a component.
    alpha : float
        0 leaves the rows, 1 replaces them; outside [0, 1] extrapolates.
    """
    if alpha == 0:
        return x
    return torch.lerp(x, target.to(x), alpha)


def subspace_offset(loadings: Tensor, z: Tensor) -> Tensor:
    """The step ``W z`` (..., D) inside a component's subspace.

    Parameters
    ----------
    loadings : Tensor (..., D, q)
    z : Tensor (q,)
        Factor scores; one unit is one standard deviation of the component along that column of its loadings.
    """
    return loadings @ z.to(loadings)


def shift(x: Tensor, offset: Tensor | None) -> Tensor:
    """Rows ``x + offset``, with None for no offset: adding zeros would turn -0.0 into 0.0."""
    return x if offset is None else x + offset.to(x)


def two_stage(x: Tensor, mean: Tensor, alpha: float, offset: Tensor | None) -> Tensor:
    """Rows ``x + alpha (mu - x) + W z``: to the region first, then to a place inside it.

    Parameters
    ----------
    x, mean, alpha
        As of `interpolate`.
    offset : Tensor broadcastable to (..., D), or None
        ``W z``, as of `subspace_offset`.
    """
    return shift(interpolate(x, mean, alpha), offset)


def evaluable(params: MFAParams, device: torch.device) -> Density:
    """The mixture made ready to be evaluated next to rows on `device`, in double precision.

    Distances in activation space cancel in half and single precision, so they are taken in double whatever the rows
    are in; on devices without it (mps) rows are evaluated on the CPU.
    """
    return prepare(params.to(torch.float64, torch.device("cpu") if device.type == "mps" else device))


def as_density(mfa: FittedParameters | MFAParams | Density, device: torch.device) -> Density:
    """`evaluable` of whatever has a mixture's parameters; one that is evaluable already, as it is.

    Raises
    ------
    TypeError, ValueError
        As `read_params`.
    """
    return mfa if isinstance(mfa, Density) else evaluable(read_params(mfa), device)


def responsibilities(density: Density, x: Tensor) -> Tensor:
    """Posterior probabilities ``p(k | x)``, (..., K), of the components given rows (..., D), in double precision."""
    rows = x.detach().to(density.constant)
    posterior = log_joint(density, rows.reshape(-1, rows.shape[-1])).softmax(-1)
    return posterior.reshape(*x.shape[:-1], posterior.shape[-1])


def weighted_centroid(mfa: FittedParameters | MFAParams | Density, x: Tensor) -> Tensor:
    """The mean of the components' means under each row's posterior, ``E[mu | x] = sum_k p(k | x) mu_k``.

    Parameters
    ----------
    mfa : MFA, or another object with `weights_`, `means_`, `loadings_` and `noise_variance_`
    x : Tensor (..., D)

    Returns
    -------
    Tensor (..., D)
        In the precision and on the device of `x`.

    Raises
    ------
    TypeError
        If `mfa` is not fitted.

    Examples
    --------
    >>> import torch
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.steering import weighted_centroid
    >>> mfa = MFA.from_params([0.5, 0.5], [[0.0, 0.0], [90.0, 0.0]], [[[1.0], [0.0]]] * 2, [1.0, 1.0])
    >>> weighted_centroid(mfa, torch.tensor([[1.0, 2.0], [45.0, 2.0]]))
    tensor([[ 0.,  0.],
            [45.,  0.]])
    """
    density = as_density(mfa, x.device)
    return (responsibilities(density, x) @ density.params.means).to(x)
