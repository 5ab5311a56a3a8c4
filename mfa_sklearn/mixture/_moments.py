"""Moments of the columns of a table, in one pass over its rows, of one process or of several."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._base.group import ALONE, AnyGroup
from .._base.mapped import read_in_turn
from ._model.missing import has_missing
from ._rows import check_not_infinite

# Numbers that are read at once: about what a processor's caches take.
_NUMBERS = 2**20


class ColumnMoments(NamedTuple):
    """What is known of the columns of a table."""

    mean: Tensor  # (D,) of the observed values
    variance: Tensor  # (D,)
    observed: Tensor  # (D,)  share of the rows' weight that has a value there
    missing: bool  # whether any row misses a value
    low: Tensor  # (D,) of the observed values
    high: Tensor  # (D,)


def column_moments(
    X: Any,
    weights: np.ndarray | None,
    device: torch.device,
    places: np.ndarray | None = None,
    group: AnyGroup = ALONE,
    tell: Callable[[int], Any] | None = None,
) -> ColumnMoments:
    """Moments of the columns' observed values, in double precision, in one pass over batches.

    Parameters
    ----------
    X : array-like of shape (n, D)
    weights : ndarray (m,), optional
        Positive, of the rows that count.
    device : torch.device
    places : ndarray (m,), optional
        Ascending numbers of the rows that count, by default all; of the others only infinity is refused.
    group : Alone or Group
        Of the processes that have the other rows.
    tell : callable, optional
        Told how many more rows have been gone through.

    Raises
    ------
    ValueError
        If a value is infinite, or so large that the variance of its column is.
    """
    n_rows, n_features = X.shape
    step = max(1, _NUMBERS // n_features)
    found = _no_moments(n_features, device)
    every = [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]
    for some, read in zip(every, read_in_turn(X, every, device), strict=True):
        rows, w = _counted(read.double(), some, weights, places)
        if len(rows):
            found = _merged(found, _partial_moments(rows, w))
        if tell is not None:
            tell(some.stop - some.start)
    n_counted = n_rows if places is None else len(places)
    weight = torch.tensor(float(n_counted if weights is None else weights.sum()), dtype=torch.float64, device=device)
    found, (weight,) = _of_all(found, group), group.sum(weight)
    total, low, high = found.mass, found.low, found.high
    # Rounding is no variance: what a sum makes of a constant would be taken for the unit of its column.
    constant = low == high
    mean, square = torch.where(constant, low, found.mean), torch.where(constant, 0.0, found.square)
    variance = square / torch.where(total > 0, total, 1.0)
    _check_variance(variance, low, high)
    return ColumnMoments(mean, variance, total / weight, found.missing, low, high)


def _counted(rows: Tensor, some: slice, weights: np.ndarray | None, places: np.ndarray | None) -> tuple[Tensor, Tensor]:
    """Of some rows of a table, in double precision, those that count, and their weights."""
    check_not_infinite(rows, some)
    if places is not None:
        first = some.start
        some = slice(*np.searchsorted(places, [some.start, some.stop]).tolist())
        rows = rows[torch.as_tensor(places[some] - first, device=rows.device)]
    return rows, rows.new_ones(len(rows)) if weights is None else torch.as_tensor(weights[some]).to(rows)


def _check_variance(variance: Tensor, low: Tensor, high: Tensor) -> None:
    """Refuse columns whose variance double precision cannot hold, with room for products of a few."""
    too_large = (~(variance < torch.finfo(torch.float64).max * torch.finfo(torch.float64).eps)).nonzero()[:, 0].tolist()
    if too_large:
        d = too_large[0]
        raise ValueError(
            f"column {d} of X goes from {float(low[d]):.3g} to {float(high[d]):.3g}: its variance overflows. "
            "Drop the rows that are not measurements, or scale the column down."
        )


class _PartialMoments(NamedTuple):
    mass: Tensor  # (D,)  weight of the rows that have a value
    mean: Tensor  # (D,)
    square: Tensor  # (D,)  weighted sum of squared deviations from the mean
    low: Tensor  # (D,)  of the rows that have a weight
    high: Tensor  # (D,)
    missing: bool


def _partial_moments(rows: Tensor, w: Tensor) -> _PartialMoments:
    """Moments of some rows (n, D) with positive weights (n,)."""
    missing = has_missing(rows)
    if not missing:
        mean = (w @ rows) / w.sum()
        square = w @ (rows - mean).square_()
        return _PartialMoments(w.sum().expand_as(mean), mean, square, rows.amin(0), rows.amax(0), missing)
    seen = ~rows.isnan()
    mass = w @ seen.double()
    mean = (w @ rows.nan_to_num()) / torch.where(mass > 0, mass, 1.0)
    square = w @ torch.where(seen, rows - mean, 0.0).square_()
    low = torch.where(seen, rows, torch.inf).amin(0)
    return _PartialMoments(mass, mean, square, low, torch.where(seen, rows, -torch.inf).amax(0), missing)


def _no_moments(n_features: int, device: torch.device) -> _PartialMoments:
    zeros = torch.zeros(n_features, dtype=torch.float64, device=device)
    nothing = torch.full_like(zeros, torch.inf)
    return _PartialMoments(zeros, zeros, zeros, nothing, -nothing, False)


def _merged(one: _PartialMoments, other: _PartialMoments) -> _PartialMoments:
    """Moments of the rows of both."""
    shift, mass = other.mean - one.mean, one.mass + other.mass
    both = torch.where(mass > 0, mass, 1.0)
    return _PartialMoments(
        mass=mass,
        mean=one.mean + shift * (other.mass / both),
        square=one.square + (other.square + shift.square() * (one.mass * other.mass / both)),
        low=torch.minimum(one.low, other.low),
        high=torch.maximum(one.high, other.high),
        missing=one.missing or other.missing,
    )


def _of_all(mine: _PartialMoments, group: AnyGroup) -> _PartialMoments:
    """Moments of the rows of all processes, put together in their order."""
    if group.size == 1:
        return mine
    missing = group.any(mine.missing)
    theirs = group.all_gather(torch.stack(mine[:-1])[None])
    parts = ([*part.unbind(), missing] for part in theirs)
    return reduce(_merged, (_PartialMoments(*part) for part in parts))
