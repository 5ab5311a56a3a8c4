"""The door between what users hold and torch: devices, precision, batches of rows, and their conditioning.

Rows come from numpy arrays, memory maps, torch tensors on any device, or anything with ``shape`` and row slicing (the
on-disk activation store). They are read batch by batch, centered and scaled on the way, so that single precision is
safe whatever the units of the columns; what fits a budget is kept so that later passes need not read it again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._base.ahead import read_ahead
from .._base.devices import to_tensor
from .._base.mapped import as_tensor, is_on_disk, read_rows, read_values
from ._model.missing import has_missing
from ._model.params import MFAParams

BATCH_BYTES = 64 * 2**20
KEEP_BYTES = 2**30
# What a sample of the rows may take, whatever it is for.
SAMPLE_BYTES = 8 * BATCH_BYTES
# What is read and conditioned at once on a processor: about what its caches take.
_PIECE_BYTES = 2**21
# Numbers that the pass for the columns' moments reads at once: about what a processor's caches take.
_MOMENT_NUMBERS = 2**20


class Conditioner(NamedTuple):
    """An affine map to columns of mean zero and unit size: ``(x - center) / scale``."""

    center: Tensor  # (D,) double
    scale: Tensor  # (D,) double, positive

    def log_scale(self, X: Tensor) -> Tensor:
        """``sum(log scale)`` over the observed features: what the log density of each original row (n,) is lower by."""
        log_scale = self.scale.log()
        return (~X.isnan()).double() @ log_scale if has_missing(X) else log_scale.sum().expand(len(X))

    def rows(self, X: Tensor, dtype: torch.dtype) -> Tensor:
        """Conditioned rows; the center is taken off in two parts, so that single precision loses nothing."""
        work = X.to(torch.promote_types(X.dtype, dtype))
        high = self.center.to(work.dtype)
        low = (self.center - high.double()).to(work.dtype)
        return (work - high).sub_(low).div_(self.scale.to(work.dtype)).to(dtype)

    def inward_points(self, points: np.ndarray) -> Tensor:
        """Points (K, D) of the data in conditioned space, in double precision."""
        return (to_tensor(points, self.center.device, torch.float64) - self.center) / self.scale

    def inward(self, params: MFAParams) -> MFAParams:
        """Parameters of the conditioned rows from those of the original ones."""
        return params._replace(
            means=(params.means - self.center) / self.scale,
            loadings=params.loadings / self.scale[:, None],
            noise_variance=params.noise_variance / self.scale.square(),
        )

    def outward(self, params: MFAParams) -> MFAParams:
        """Parameters of the original rows from those of the conditioned ones."""
        return params._replace(
            means=params.means * self.scale + self.center,
            loadings=params.loadings * self.scale[:, None],
            noise_variance=params.noise_variance * self.scale.square(),
        )


class Batches:
    """Conditioned rows of `X` in batches, with their weights.

    Parameters
    ----------
    X : array-like of shape (n, D)
    conditioner : Conditioner
    dtype, device
        Of the batches.
    weights : ndarray (n,), optional
    batch_rows : int, optional
        Rows per batch; by default what `BATCH_BYTES` holds.
    keep : bool
        Keep all conditioned rows if they fit `KEEP_BYTES`; for data that are gone through more than once.
    places : ndarray (n,), optional
        Ascending numbers of the rows of `X` that these batches are of; by default all. `weights` are theirs.
    """

    def __init__(
        self,
        X: Any,
        conditioner: Conditioner,
        dtype: torch.dtype,
        device: torch.device,
        weights: np.ndarray | None = None,
        batch_rows: int | None = None,
        keep: bool = False,
        places: np.ndarray | None = None,
    ) -> None:
        self.n_rows, self.n_features = int(X.shape[0]) if places is None else len(places), int(X.shape[1])
        self.dtype, self.device = dtype, device
        self.weights = None if weights is None else to_tensor(weights, device, torch.float64)
        self._X, self._places, self._conditioner = X, places, Conditioner(*(t.to(device) for t in conditioner))
        row_bytes = self.n_features * dtype.itemsize
        self.batch_rows = batch_rows or max(1, min(self.n_rows, BATCH_BYTES // row_bytes))
        self._kept: Tensor | None = None
        if keep and self.n_rows * row_bytes <= KEEP_BYTES:
            self._kept = self.read(slice(0, self.n_rows))
            self._X = None

    def slices(self) -> Iterator[slice]:
        """The batches' places, in order."""
        for start in range(0, self.n_rows, self.batch_rows):
            yield slice(start, min(start + self.batch_rows, self.n_rows))

    def read(self, index: Any, values: np.ndarray | None = None) -> Tensor:
        """Conditioned rows by slice or by ascending indices; of numbers that have been read, if they are given."""
        if self._kept is not None:
            return self._kept[torch.as_tensor(index) if isinstance(index, np.ndarray) else index]
        places = range(self.n_rows)[index] if isinstance(index, slice) else index
        # Piece by piece, so that only the result is large and a processor's caches hold what is worked on.
        step = self.batch_rows
        if self.device.type == "cpu":
            step = min(step, max(1, _PIECE_BYTES // (self.n_features * self.dtype.itemsize)))
        if len(places) <= step:
            return self._fresh(index, values)
        rows = torch.empty(len(places), self.n_features, dtype=self.dtype, device=self.device)
        for start in range(0, len(places), step):
            some = places[start : start + step]
            rows[start : start + len(some)] = self._fresh(
                slice(some.start, some.stop, some.step) if isinstance(some, range) else some,
                None if values is None else values[start : start + len(some)],
            )
        return rows

    def _fresh(self, index: Any, values: np.ndarray | None = None) -> Tensor:
        """Rows as they are read, if they have not been, and conditioned."""
        if values is not None:
            return self._conditioner.rows(as_tensor(values, self.device), self.dtype)
        return self._conditioner.rows(read_rows(self._X, self._there(index), self.device), self.dtype)

    def _there(self, index: Any) -> Any:
        """The numbers in `X` of some rows."""
        return index if self._places is None else self._places[index]

    def _in_turn(self, places: list[Any]) -> Iterator[tuple[Any, Tensor, Tensor | None]]:
        """Rows of one place after the other, and their weights; those on disk are read ahead."""
        read: Iterator[Any] = repeat(None)
        if self._kept is None and len(places) > 1 and is_on_disk(self._X):
            read = read_ahead(lambda place: read_values(self._X, self._there(place)), places)
        for place, values in zip(places, read, strict=False):
            yield place, self.read(place, values), self.weights_of(place)

    @property
    def mean_weight(self) -> float:
        """Of a row."""
        return 1.0 if self.weights is None else float(self.weights.mean())

    def numbers(self, place: slice) -> slice | np.ndarray:
        """The numbers in `X` of the rows at a place."""
        return place if self._places is None else self._places[place]

    def weights_of(self, index: Any) -> Tensor | None:
        """Weights of rows by slice or indices."""
        if self.weights is None:
            return None
        return self.weights[torch.as_tensor(index) if isinstance(index, np.ndarray) else index]

    def __iter__(self) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
        return self._in_turn(list(self.slices()))

    def chunks(self, rows: np.ndarray | None = None) -> Iterator[tuple[Any, Tensor, Tensor | None]]:
        """Rows, all or by ascending numbers, and where they are, in one piece if they are kept, else in batches."""
        n_rows = self.n_rows if rows is None else len(rows)
        step = max(1, n_rows if self._kept is not None else self.batch_rows)
        places = [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]
        return self._in_turn(places if rows is None else [rows[place] for place in places])

    def draw(self, rng: np.random.RandomState, n_bytes: int = SAMPLE_BYTES) -> np.ndarray:
        """Ascending numbers of a uniform sample of rows that fits `n_bytes`; of all rows if they do."""
        size = min(self.n_rows, max(1, n_bytes // (self.n_features * self.dtype.itemsize)))
        return np.arange(self.n_rows) if size == self.n_rows else np.sort(rng.choice(self.n_rows, size, replace=False))

    def drawn(self, rows: np.ndarray) -> Tensor:
        """The rows that `draw` gave the numbers of; not to be written to, they may be the ones that are kept."""
        return self.read(slice(0, self.n_rows) if len(rows) == self.n_rows else rows)

    def shuffled(self, size: int, rng: np.random.RandomState) -> Iterator[tuple[Tensor, Tensor | None]]:
        """One epoch of minibatches in random order: rows shuffled in large blocks, and the blocks among themselves."""
        block = self.n_rows if self._kept is not None else max(size, self.batch_rows)
        starts = rng.permutation(np.arange(0, self.n_rows, block))
        for start in starts:
            place = slice(int(start), int(min(start + block, self.n_rows)))
            rows, weights = self.read(place), self.weights_of(place)
            for chosen in torch.from_numpy(rng.permutation(len(rows))).to(rows.device).split(size):
                yield rows[chosen], None if weights is None else weights[chosen]


class ColumnMoments(NamedTuple):
    """What is known of the columns of a table."""

    mean: Tensor  # (D,) of the observed values
    variance: Tensor  # (D,)
    observed: Tensor  # (D,)  share of the rows' weight that has a value there
    missing: bool  # whether any row misses a value
    low: Tensor  # (D,) of the observed values
    high: Tensor  # (D,)


def column_moments(
    X: Any, weights: np.ndarray | None, device: torch.device, places: np.ndarray | None = None
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

    Raises
    ------
    ValueError
        If a value is infinite, or so large that the variance of its column is.
    """
    n_rows, n_features = X.shape
    step = max(1, _MOMENT_NUMBERS // n_features)
    mean = torch.zeros(n_features, dtype=torch.float64, device=device)
    square, total = torch.zeros_like(mean), torch.zeros_like(mean)
    low, high = torch.full_like(mean, torch.inf), torch.full_like(mean, -torch.inf)
    missing = False
    for start in range(0, n_rows, step):
        rows, w = _counted(X, slice(start, min(start + step, n_rows)), weights, places, device)
        if not len(rows):
            continue
        part = _partial_moments(rows, w)
        missing = missing or part.missing
        shift = part.mean - mean
        both = torch.where(total + part.mass > 0, total + part.mass, 1.0)
        square += part.square + shift.square() * (total * part.mass / both)
        mean = mean + shift * (part.mass / both)
        total = total + part.mass
        low, high = torch.minimum(low, part.low), torch.maximum(high, part.high)
    # Rounding is no variance: what a sum makes of a constant would be taken for the unit of its column.
    constant = low == high
    mean, square = torch.where(constant, low, mean), torch.where(constant, 0.0, square)
    variance = square / torch.where(total > 0, total, 1.0)
    _check_variance(variance, low, high)
    n_counted = n_rows if places is None else len(places)
    observed = total / (n_counted if weights is None else weights.sum())
    return ColumnMoments(mean, variance, observed, missing, low, high)


def _counted(
    X: Any, some: slice, weights: np.ndarray | None, places: np.ndarray | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Of some rows of a table those that count, in double precision, and their weights."""
    rows = read_rows(X, some, device).double()
    check_not_infinite(rows, some)
    if places is not None:
        first = some.start
        some = slice(*np.searchsorted(places, [some.start, some.stop]).tolist())
        rows = rows[torch.as_tensor(places[some] - first, device=device)]
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
    """ColumnMoments of some rows (n, D) with positive weights (n,)."""
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


def check_not_infinite(rows: Tensor, numbers: slice | np.ndarray) -> None:
    """Refuse rows, known to the user by `numbers`, that hold infinity; NaN stands for a missing value."""
    # A finite sum says that all are finite, in one pass; another may come of NaN.
    if bool(rows.sum().isfinite()) or not bool(rows.isinf().any()):
        return
    row, column = rows.isinf().nonzero()[0].tolist()
    raise ValueError(
        f"Input X contains infinity (first at row {_number(numbers, row)}, column {column}). Drop such rows first."
    )


def reach(noise_variance: Tensor, dtype: torch.dtype) -> float:
    """How large a conditioned value may be for its squared distances to be finite in a precision."""
    return math.sqrt(torch.finfo(dtype).max * float(noise_variance.min()) / noise_variance.shape[1]) / 4


def check_within_reach(rows: Tensor, farthest: float, numbers: slice | np.ndarray) -> None:
    """Refuse conditioned rows (n, D) beyond `reach`, the infinite among them; NaN stands for a missing value.

    `numbers` are those that a user knows the rows by: a slice that begins with the first, or all of them.
    """
    # Without a copy as large as the rows; a value missing among them makes both ends NaN.
    low, high = rows.aminmax() if rows.numel() else (rows.new_zeros(()), rows.new_zeros(()))
    if bool(low >= -farthest) and bool(high <= farthest):
        return
    beyond = rows.abs() > farthest
    if not bool(beyond.any()):
        return
    check_not_infinite(rows, numbers)
    row, column = beyond.nonzero()[0].tolist()
    raise too_far(_number(numbers, row), column, float(rows[row, column].abs()), farthest, rows.dtype)


def too_far(row: int, column: int, distance: float, farthest: float, dtype: torch.dtype) -> ValueError:
    """That a row is beyond `reach` in a column, by its distance from the mean in standard deviations."""
    name = str(dtype).removeprefix("torch.")
    remedy = "Drop such rows" if farthest > 1 else "The least noise variance is too small for that: raise noise_floor"
    return ValueError(
        f"row {row} of X lies {distance:.1e} standard deviations from the mean in column {column}: squared distances "
        f"overflow in {name}. {remedy}" + (", or set dtype='float64'." if dtype == torch.float32 else ".")
    )


def _number(numbers: slice | np.ndarray, row: int) -> int:
    return numbers.start + row if isinstance(numbers, slice) else int(numbers[row])


def conditioner_for(mean: Tensor, variance: Tensor, isotropic: bool) -> Conditioner:
    """The map that centers columns and scales each by its deviation (all by one, where noise is to be isotropic)."""
    if isotropic:
        variance = variance.mean().expand_as(variance)
    # A constant column has rounding for a variance; its own unit is as good as any. A variance below 1e-292 counts as
    # rounding too: a noise that is a millionth of it has no digits left.
    double = torch.finfo(torch.float64)
    tiny = (double.eps * mean.abs()).square().clamp(min=double.tiny / double.eps)
    scale = torch.where(variance > 4 * tiny, variance, torch.ones_like(variance)).sqrt()
    return Conditioner(mean, scale)
