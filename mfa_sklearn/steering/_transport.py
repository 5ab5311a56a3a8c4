"""Optimal transport between the Gaussians of two components, as pure functions of torch tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .._base.checks import check_component
from ..mixture._model.params import MFAParams
from ._parameters import FittedParameters, read_params


class TransportMap(NamedTuple):
    """An affine map ``T(x) = x + step + left right^T (x - origin)`` of low rank r beside the identity."""

    origin: Tensor  # (D,)  mean of the source
    step: Tensor  # (D,)  mean of the target minus mean of the source
    left: Tensor  # (D, r)
    right: Tensor  # (D, r)

    def to(self, like: Tensor) -> TransportMap:
        """The same map in the precision and on the device of `like`."""
        return TransportMap(*(part.to(like) for part in self))


def transport_map(mfa: FittedParameters | MFAParams, source: int, target: int) -> TransportMap:
    """The optimal-transport map from the Gaussian of one component to that of another.

    The cost is the squared distance in units of the source's noise, ``|Psi^-1/2 (x - y)|^2``: the residual stream has
    features whose sizes differ a hundredfold, and the noise is the scale the mixture itself gives them. With
    ``S = I + U U^T`` the source's and ``S'`` the target's covariance in that space, ::

        T(y) = m' + A (y - m)        A = S^-1/2 (S^1/2 S' S^1/2)^1/2 S^-1/2

    (Givens & Shortt, Michigan Math. J. 31, 1984). With noise shared by the components A is the identity outside the
    joint span of the two loadings, so everything happens in at most 2 q dimensions. With noise per component the span
    is the whole space, which costs an eigendecomposition of size D x D.

    Parameters
    ----------
    mfa : MFA, or another object with `weights_`, `means_`, `loadings_` and `noise_variance_`
    source, target : int
        Components.

    Returns
    -------
    TransportMap
        In double precision, on the CPU. The identity where source and target are the same.

    Raises
    ------
    TypeError
        If `mfa` is not fitted.
    ValueError
        If there is no such component.

    Examples
    --------
    >>> import torch
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.steering import transport, transport_map
    >>> loadings = [[[1.0], [0.0]], [[0.0], [1.0]]]  # long across the columns, the one this way, the other that
    >>> mfa = MFA.from_params([0.5, 0.5], [[0.0, 0.0], [9.0, 9.0]], loadings, [1.0, 1.0])
    >>> transport(torch.tensor([[2.0, 2.0]]), transport_map(mfa, 0, 1), alpha=1.0)
    tensor([[10.4142, 11.8284]])
    """
    params = read_params(mfa).to(torch.float64, "cpu")
    source, target = (check_component(component, len(params.means)) for component in (source, target))
    noise = params.noise_variance
    scale = noise[source if len(noise) > 1 else 0].sqrt()
    from_, to = params.loadings[source] / scale[:, None], params.loadings[target] / scale[:, None]
    if len(noise) == 1:
        basis = torch.linalg.qr(torch.cat([from_, to], dim=1)).Q
        rest = torch.ones(basis.shape[1], dtype=basis.dtype)
    else:
        basis = torch.eye(len(scale), dtype=scale.dtype)
        rest = noise[target] / noise[source]
    from_, to = basis.T @ from_, basis.T @ to
    eye = torch.eye(len(from_), dtype=from_.dtype)
    change = gaussian_map(eye + from_ @ from_.T, rest.diag() + to @ to.T) - eye
    if source == target:
        change = torch.zeros_like(change)
    left, right = scale[:, None] * (basis @ change), basis / scale[:, None]
    return TransportMap(params.means[source], params.means[target] - params.means[source], left, right)


def gaussian_map(source: Tensor, target: Tensor) -> Tensor:
    """The symmetric A with ``A source A = target`` for two covariances (r, r): the optimal map between Gaussians."""
    root, inverse_root = _power(source, 0.5), _power(source, -0.5)
    return inverse_root @ _power(root @ target @ root, 0.5) @ inverse_root


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    return (vectors * values.clamp_min(torch.finfo(values.dtype).tiny) ** exponent) @ vectors.mT


def transport(x: Tensor, route: TransportMap, alpha: float) -> Tensor:
    """Rows moved part of the way along a transport map: ``(1 - alpha) x + alpha T(x)``.

    For rows drawn from the source this is the displacement interpolation (McCann, Adv. Math. 128, 1997): every row
    moves on a straight line, at ``alpha = 1`` the rows are distributed as the target is, and between they are Gaussian.

    Parameters
    ----------
    x : Tensor (..., D)
    route : TransportMap
    alpha : float in [0, 1]
    """
    if alpha == 0:
        return x
    route = route.to(x)
    bend = ((x - route.origin) @ route.right) @ route.left.mT
    return x + alpha * (route.step + bend)
