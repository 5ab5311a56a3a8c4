"""Which of the equivalent loadings to report. Torch only, pure functions, double precision.

A rotation R of the factors, ``W -> W R``, changes no density. Two choices are made here: the classical identification
of factor analysis, ``W^T Psi^-1 W`` diagonal with decreasing entries (Lawley & Maxwell 1971), and simple structure by
the orthomax criterion (Kaiser, Psychometrika 23, 1958),

    maximize  sum_j [ sum_d W_dj^4 - gamma / D (sum_d W_dj^2)^2 ]        gamma: varimax 1, quartimax 0

as scikit-learn's `FactorAnalysis` has it, without Kaiser's normalization of rows. Both end in the same order and signs.
Shapes: K components, D features, q factors.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from ..._base.checks import warn_user

_GAMMA = {"varimax": 1.0, "quartimax": 0.0}
# Sweeps end when no plane turns by more than this (radians).
_SMALLEST_TURN = 1e-7
_MOST_SWEEPS = 100
# Entries this close to the largest count as equal, so that rounding does not choose a sign.
_TIE = 1e-6
# Share of the strongest column's sum of squares below which a column is rounding.
_NOTHING = 1e-28


def canonical(loadings: Tensor, noise_variance: Tensor, common: bool = False) -> Tensor:
    """Loadings (K, D, q) rotated so that ``W^T Psi^-1 W`` is diagonal with decreasing entries.

    In each column the entry largest in units of its noise deviation is positive, so that the result follows a change
    of a feature's unit. Columns that share an eigenvalue span the same space whatever they are; they stay one of many.

    Parameters
    ----------
    loadings : Tensor (K, D, q)
    noise_variance : Tensor (K, D), or (1, D) for noise that all components share
    common : bool
        All components have the same loadings and keep doing so: they are rotated by their mean precision.
    """
    return rotate(loadings, noise_variance, None, common)


def rotate(loadings: Tensor, noise_variance: Tensor, method: str | None, common: bool = False) -> Tensor:
    """Loadings (K, D, q) rotated to simple structure, or to the canonical form where `method` is None.

    Columns come by decreasing ``sum_d W_dj^2 / Psi_d``, with signs as in `canonical`. The rotation starts from the
    canonical form, so the result depends on the density alone.

    Parameters
    ----------
    loadings : Tensor (K, D, q)
    noise_variance : Tensor (K, D) or (1, D)
    method : {"varimax", "quartimax"} or None
    common : bool
        As in `canonical`.
    """
    if method is not None and method not in _GAMMA:
        raise ValueError(f"rotation={method!r} is not known; use one of {sorted(_GAMMA)} or None")
    if common:
        mean_noise = 1 / (1 / noise_variance).mean(0, keepdim=True)
        return rotate(loadings[:1], mean_noise, method).expand_as(loadings).contiguous()
    if loadings.shape[2] == 0:
        return loadings
    scale = noise_variance.double().sqrt()[:, :, None]
    rotated = _diagonalize(loadings.double(), scale)
    if method is not None:
        rotated = _orthomax(rotated, _GAMMA[method])
    return _arrange(rotated, scale).to(loadings.dtype)


def _diagonalize(loadings: Tensor, scale: Tensor) -> Tensor:
    triangle = torch.linalg.qr(loadings / scale, mode="r").R
    return loadings @ torch.linalg.svd(triangle).Vh.mT


def _arrange(loadings: Tensor, scale: Tensor) -> Tensor:
    whitened = loadings / scale
    strength, order = whitened.square().sum(1, keepdim=True).sort(dim=2, descending=True, stable=True)
    size = whitened.abs()
    leading = (size >= (1 - _TIE) * size.amax(1, keepdim=True)).to(torch.uint8).argmax(1, keepdim=True)
    sign = torch.where(loadings.gather(1, leading) < 0, -1.0, 1.0)
    arranged = (loadings * sign).gather(2, order.expand_as(loadings))
    # What rounding leaves of a factor that is not there; EM keeps a column of zeros at zero, but not this.
    return torch.where(strength > _NOTHING * strength[:, :, :1], arranged, 0.0)


def _orthomax(loadings: Tensor, gamma: float) -> Tensor:
    # Fourth powers are taken: unit size keeps them in range. Columns are stored as rows, which is how they are read.
    unit = loadings.abs().amax((1, 2), keepdim=True)
    columns = (loadings / torch.where(unit > 0, unit, 1.0)).mT.contiguous()
    turning = torch.arange(len(columns), device=columns.device)
    for _ in range(_MOST_SWEEPS):
        columns[turning], turn = _sweep(columns[turning], gamma)
        turning = turning[turn > _SMALLEST_TURN]
        if not len(turning):
            break
    else:
        warn_user(
            f"the rotation of {len(turning)} of {len(loadings)} components still moved after {_MOST_SWEEPS} sweeps; "
            "their densities are right, but their loadings may not have the simplest structure.",
            ConvergenceWarning,
        )
    return columns.mT * unit


def _sweep(columns: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Each pair of columns (K, q, D) turned to its plane's optimum, and the largest angle (K,) that was needed.

    With the pair as one complex column z, the criterion at angle phi is a constant plus a quarter of the real part of
    ``e^(-4 i phi) (sum z^4 - gamma / D (sum z^2)^2)``: the best angle is exact, and no saddle point is stuck at.
    """
    columns, largest = columns.clone(), columns.new_zeros(len(columns))
    for left, right in _rounds(columns.shape[1]):
        z = torch.complex(columns[:, left], columns[:, right])
        square = z * z
        moment = (square * square).sum(2) - gamma / columns.shape[2] * square.sum(2).square()
        size = columns[:, left].square().sum(2) + columns[:, right].square().sum(2)
        # Below rounding the criterion is flat in this plane, and any angle as good as none.
        angle = torch.where(moment.abs() <= 1e-15 * size.square(), 0.0, moment.angle() / 4)
        z = z * torch.polar(torch.ones_like(angle), -angle)[:, :, None]
        columns[:, left], columns[:, right] = z.real, z.imag
        largest = torch.maximum(largest, angle.abs().amax(1))
    return columns, largest


def _rounds(n_columns: int) -> Iterator[tuple[list[int], list[int]]]:
    """All pairs of columns in rounds of disjoint ones, as in a round-robin tournament."""
    players = list(range(n_columns + n_columns % 2))
    half = len(players) // 2
    for _ in range(len(players) - 1):
        pairs = [pair for pair in zip(players[:half], players[: half - 1 : -1], strict=True) if max(pair) < n_columns]
        if pairs:
            yield [a for a, _ in pairs], [b for _, b in pairs]
        players = [players[0], players[-1], *players[1:-1]]
