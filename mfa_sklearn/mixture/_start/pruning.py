"""Nearest centers with fewer multiplications, by proof: most centers are seen to be too far from a few directions.

With orthonormal directions P (D, d), what they do not see of a row x and a center c has lengths r(x) and r(c), and

    x.c  =  (x P).(c P) + rest  <=  (x P).(c P) + r(x) r(c)

by Cauchy and Schwarz: a product over d + 1 columns. It bounds ``x.c - |c|^2 / 2`` of all centers from above. One likely
center, the row's last one, is measured, and so are centers whose bound reaches it; the others cannot be nearer.
The directions are the principal ones of the centers. A sample of the rows says how many pay, if any do: centers of few
dimensions, or spread evenly over all of them, are faster compared at once. Pruning of dimensions in k-means, by random
directions and estimates: Kuffo, Hepkema & Boncz, "A super fast k-means for indexing vector embeddings", 2026,
arXiv:2603.20009.
Shapes: n rows, K centers, D features, d directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .samples import Rows

# Rows (m, D) at a place of the data, to their nearest centers (m,) and the differences (m, D) from these.
Search = Callable[[slice, Tensor], tuple[Tensor, Tensor]]

# Numbers of directions to choose from, as shares of what the centers can span, descending.
_SHARES = (1, 1 / 2, 1 / 3, 1 / 4, 1 / 6, 1 / 8)
# Rows that say what pruning is worth, and what it must save.
_SAMPLE = 128
_LEAST_SAVING = 0.2
# Multiplications of rows, centers and features, below which time goes elsewhere.
_LEAST_WORK = 2**30
# In terms of a number in a product: what comparing a bound costs, a number of a row for whatever is done to rows one by
# one, and a number of a pair of a row and a center that is measured.
_BOUND_COST = 12
_ROW_COST = 16
_PAIR_COST = 32
# Likewise: principal directions, in terms of the third power of their number.
_DIRECTIONS_COST = 30
# Passes over the same rows share the cost of seeing them from the directions, if that is kept.
_PASSES = 3
_SEEN_BYTES = 2**28
# Numbers of pairs that are measured at once.
_PAIR_NUMBERS = 2**18
# Products of rows with centers err by no more than so many units of rounding.
_ROUNDING = 64
# torch's own search of a row for its largest number is many times slower than numpy's, which has one thread.
_NUMPY_THREADS = 8


def among_all(centers: Tensor, dtype: torch.dtype) -> Search:
    """Compares every row with all `centers` (K, D), double."""
    c, offset = _cast(centers, dtype)

    def search(place: slice, X: Tensor) -> tuple[Tensor, Tensor]:
        nearest = _largest(torch.addmm(-offset, X, c.T))
        return nearest, X - c.index_select(0, nearest)

    return search


class Pruning:
    """What is known of the rows between passes: how they look from the directions, and their last labels.

    Parameters
    ----------
    directions : Tensor (D, d)
        Orthonormal, in the precision of the rows.
    kept_rows : int
        How many rows the data have, if what is seen of them is to be kept; otherwise 0.
    """

    def __init__(self, directions: Tensor, kept_rows: int = 0) -> None:
        self.directions = directions
        self.labels: Tensor | None = None
        self._seen = directions.new_full((kept_rows, directions.shape[1] + 1), torch.nan)

    def search(self, centers: Tensor) -> Search:
        """Compares a row with those of the `centers` (K, D), double, that may be nearer than the one it had."""
        c, offset = _cast(centers, self.directions.dtype)
        shift, views = _slack(offset) - offset, _seen(c, self.directions).T

        def search(place: slice, X: Tensor) -> tuple[Tensor, Tensor]:
            bounds = torch.addmm(shift, self._seen_rows(place, X), views)
            nearest = _largest(bounds) if self.labels is None else self.labels[place].long()
            deviations = X - c.index_select(0, nearest)
            halves, own = _halved_squares(X), _halved_squares(deviations)
            bounds.scatter_(1, nearest[:, None], -torch.inf)
            rows, others = _pairs(bounds, halves - own - _slack(halves), X, c, offset)
            _correct(X, c, nearest, deviations, own, rows, others)
            return nearest, deviations

        return search

    def _seen_rows(self, place: slice, X: Tensor) -> Tensor:
        if not len(self._seen):
            return _seen(X, self.directions)
        kept = self._seen[place]
        if bool(kept[:1, 0].isnan().any()):
            kept.copy_(_seen(X, self.directions))
        return kept


def _pairs(bounds: Tensor, least: Tensor, X: Tensor, c: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and centers to be measured: those whose bound (m, K) is not below the row's `least` (m,)."""
    left = (bounds.amax(1) >= least).nonzero()[:, 0]
    rows, others = (bounds[left] >= least[left, None]).nonzero(as_tuple=True)
    if _PAIR_COST * len(rows) > len(left) * len(c):
        return left, _largest(torch.addmm(-offset, X[left], c.T))
    return left[rows], others


def _correct(
    X: Tensor, c: Tensor, nearest: Tensor, deviations: Tensor, own: Tensor, rows: Tensor, others: Tensor
) -> None:
    """Move rows, in place, to the `others` that are nearer than half a squared distance of `own` (m,)."""
    step = max(1, _PAIR_NUMBERS // X.shape[1])
    pairs = zip(rows.split(step), others.split(step), strict=True)
    found = torch.cat([_halved_squares(X.index_select(0, i) - c.index_select(0, k)) for i, k in pairs])
    best = own.scatter_reduce(0, rows, found, "amin")
    won = found == best[rows]
    # Of centers equally near the first, as a search among all has it.
    first = nearest.where(own == best, len(c)).scatter_reduce_(0, rows[won], others[won], "amin")
    moved = (first != nearest).nonzero()[:, 0]
    nearest[moved] = first[moved]
    deviations[moved] = X[moved] - c[first[moved]]


@torch.no_grad()
def best_pruning(data: Rows, centers: Tensor, n_passes: int = _PASSES) -> Pruning | None:
    """What saves most work in passes over the data with centers like these (K, D), double; None if nothing does."""
    n_centers, n_features = centers.shape
    # On a GPU products are so much faster than anything else that nothing pays.
    if centers.device.type != "cpu" or data.n_rows * centers.numel() < _LEAST_WORK:
        return None
    cost = (1 - _LEAST_SAVING) * n_centers * (n_features + _BOUND_COST)
    cost -= _DIRECTIONS_COST * min(centers.shape) ** 3 / (data.n_rows * n_passes)
    if cost <= n_centers * _BOUND_COST + n_features * _ROW_COST:
        return None
    X = data.read(np.linspace(0, data.n_rows - 1, min(data.n_rows, _SAMPLE)).astype(np.int64))
    ordered = _principal(centers).to(X.dtype)
    chosen = None
    for share in _SHARES:
        directions = ordered[:, : math.ceil(share * ordered.shape[1])].contiguous()
        width = directions.shape[1] + 1
        kept = data.n_rows if n_passes > 1 and data.n_rows * width * X.dtype.itemsize <= _SEEN_BYTES else 0
        own = n_centers * (width + _BOUND_COST) + n_features * (_ROW_COST + width / (n_passes if kept else 1))
        if own < cost:
            own += _PAIR_COST * n_features * _pairs_left(X, centers, directions)
        if own < cost:
            chosen, cost = (directions, kept), own
    return None if chosen is None else Pruning(*chosen)


def _pairs_left(X: Tensor, centers: Tensor, directions: Tensor) -> float:
    """Centers per row of a sample (m, D) that the bounds do not rule out, besides the nearest if that is known."""
    c, offset = _cast(centers, X.dtype)
    least = torch.addmm(-offset, X, c.T).amax(1) - _slack(_halved_squares(X))
    bounds = torch.addmm(_slack(offset) - offset, _seen(X, directions), _seen(c, directions).T)
    return int((bounds >= least[:, None]).sum()) / len(X) - 1


def _principal(centers: Tensor) -> Tensor:
    """Orthonormal directions (D, min(K, D)) of the centers, those in which they are longest first."""
    wide = len(centers) < centers.shape[1]
    vectors = torch.linalg.eigh(centers @ centers.T if wide else centers.T @ centers).eigenvectors.flip(1)
    return torch.linalg.qr(centers.T @ vectors).Q if wide else vectors


def _seen(points: Tensor, directions: Tensor) -> Tensor:
    """Points (m, D) from the directions (D, d), and beside it the length of what these do not see: (m, d + 1)."""
    found = points @ directions
    halves = _halved_squares(points)
    # What is left of two squares that nearly cancel is rounding; a little more is an upper bound all the same.
    unseen = (halves - _halved_squares(found)).clamp_(min=0) + _slack(halves)
    return torch.cat([found, (2 * unseen).sqrt_()[:, None]], 1)


def _cast(centers: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Centers (K, D) and half their squares (K,), in the precision of the rows."""
    return centers.to(dtype), (centers.square().sum(1) / 2).to(dtype)


def _slack(halved_squares: Tensor) -> Tensor:
    return _ROUNDING * torch.finfo(halved_squares.dtype).eps * halved_squares


def _halved_squares(points: Tensor) -> Tensor:
    return torch.linalg.vector_norm(points, dim=1).square_().div_(2)


def _largest(scores: Tensor) -> Tensor:
    """Where each row of `scores` (m, K) is largest, first (m,)."""
    if scores.device.type == "cpu" and torch.get_num_threads() <= _NUMPY_THREADS:
        return torch.from_numpy(scores.numpy().argmax(1))
    return scores.argmax(1)
