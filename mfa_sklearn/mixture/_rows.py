"""The door between what users hold and torch: devices, precision, batches of rows, and their conditioning.

Rows come from numpy arrays, memory maps, torch tensors on any device, or anything with ``shape`` and row slicing (the
on-disk activation store). They are read batch by batch, centered and scaled on the way, so that single precision is
safe whatever the units of the columns; what fits a budget is kept so that later passes need not read it again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import accumulate, repeat
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._base.devices import to_tensor
from .._base.group import ALONE, AnyGroup
from .._base.mapped import is_on_disk, read_in_turn, read_rows
from ._model.missing import has_missing
from ._model.params import MFAParams

BATCH_BYTES = 64 * 2**20
KEEP_BYTES = 2**30
# What a sample of the rows may take, whatever it is for.
SAMPLE_BYTES = 8 * BATCH_BYTES
# What is read and conditioned at once on a processor: about what its caches take.
_PIECE_BYTES = 2**21


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
    group : Alone or Group
        Of the processes that have the other rows: all together are one table, in the order of the ranks. What is drawn
        about rows is drawn with their numbers in that table, so that a fit does not depend on who has which.

    Attributes
    ----------
    n_rows, total_rows : int
        Of this process, and of all.
    first_row : int
        The number of this process's first row in the table of all.
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
        group: AnyGroup = ALONE,
    ) -> None:
        self.n_rows, self.n_features = int(X.shape[0]) if places is None else len(places), int(X.shape[1])
        self.dtype, self.device, self.group = dtype, device, group
        self._counts = group.numbers(self.n_rows)
        self.total_rows, self.first_row = sum(self._counts), sum(self._counts[: group.rank])
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

    def read(self, index: Any, found: Tensor | None = None) -> Tensor:
        """Conditioned rows by slice or by ascending indices; of `found`, if they have been read."""
        if self._kept is not None:
            return self._kept[torch.as_tensor(index) if isinstance(index, np.ndarray) else index]
        places = range(self.n_rows)[index] if isinstance(index, slice) else index
        # Piece by piece, so that only the result is large and a processor's caches hold what is worked on.
        step = self.batch_rows
        if self.device.type == "cpu":
            step = min(step, max(1, _PIECE_BYTES // (self.n_features * self.dtype.itemsize)))
        if len(places) <= step:
            return self._fresh(index, found)
        rows = torch.empty(len(places), self.n_features, dtype=self.dtype, device=self.device)
        for start in range(0, len(places), step):
            some = places[start : start + step]
            rows[start : start + len(some)] = self._fresh(
                slice(some.start, some.stop, some.step) if isinstance(some, range) else some,
                None if found is None else found[start : start + len(some)],
            )
        return rows

    def _fresh(self, index: Any, rows: Tensor | None = None) -> Tensor:
        """Rows as they are read, if they have not been, and conditioned."""
        found = read_rows(self._X, self.numbers(index), self.device) if rows is None else rows
        return self._conditioner.rows(found, self.dtype)

    def _in_turn(self, places: list[Any]) -> Iterator[tuple[Any, Tensor, Tensor | None]]:
        """Rows of one place after the other, and their weights; those on disk are read ahead."""
        from_disk = self._kept is None and is_on_disk(self._X)
        found: Any = read_in_turn(self._X, [*map(self.numbers, places)], self.device) if from_disk else repeat(None)
        for place in places:
            # No name, nor a tuple of `zip`, holds what was read while the batch is worked on.
            yield place, self.read(place, next(found)), self.weights_of(place)

    @property
    def mean_weight(self) -> float:
        """Of a row, one of all processes."""
        if self.weights is None:
            return 1.0
        if self.group.size == 1:
            return float(self.weights.mean())
        return float(self.group.sum(self.weights.sum())[0]) / self.total_rows

    def numbers(self, index: Any) -> Any:
        """The numbers in `X` of rows by slice or by indices."""
        return index if self._places is None else self._places[index]

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
        """Ascending numbers of a uniform sample of all processes' rows that fits `n_bytes`; of all rows if they do."""
        n_rows = self.total_rows
        size = min(n_rows, max(1, n_bytes // (self.n_features * self.dtype.itemsize)))
        return np.arange(n_rows) if size == n_rows else np.sort(rng.choice(n_rows, size, replace=False))

    def own(self, rows: np.ndarray) -> np.ndarray:
        """Of ascending numbers in the table of all processes those of this one's rows, counted from its first."""
        return rows if self.group.size == 1 else own_numbers(rows, self.first_row, self.n_rows)

    def sampled(self, rows: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """The rows that `draw` gave the numbers of, and their weights, on the first process; none on the others.

        Not to be written to, they may be the ones that are kept.
        """
        own = self.own(rows)
        X = self.read(slice(0, self.n_rows) if len(own) == self.n_rows else own)
        weights = self.weights_of(own)
        return self.group.gather(X), None if weights is None else self.group.gather(weights)

    def shuffled(self, size: int, rng: np.random.RandomState) -> Iterator[Minibatch]:
        """One epoch of minibatches of all processes' rows in random order: large blocks, shuffled inside.

        A minibatch is of so many rows on all processes together.
        """
        blocks = self._blocks(size)
        order = rng.permutation(len(blocks))
        for b, (_, rows, weights) in zip(order, self._in_turn([blocks[b][0] for b in order]), strict=True):
            ends = blocks[b][1]
            first, last = ends[self.group.rank], ends[self.group.rank + 1]
            shuffled = torch.from_numpy(rng.permutation(ends[-1])).to(rows.device)
            for chosen in shuffled.split(size):
                own = chosen[(chosen >= first) & (chosen < last)] - first if self.group.size > 1 else chosen
                some = None if weights is None else weights[own]
                mass = len(chosen) if some is None else float(self.group.sum(some.double().sum())[0])
                yield Minibatch(rows[own], some, float(mass))

    def _blocks(self, size: int) -> list[tuple[slice, list[int]]]:
        """Blocks that are shuffled in themselves: this process's rows, and where each process's begin among all."""
        kept = self._kept is not None
        if self.group.size == 1:
            block = self.n_rows if kept else max(size, self.batch_rows)
            cuts = [(start, min(start + block, self.n_rows)) for start in range(0, self.n_rows, block)]
            return [(slice(start, stop), [0, stop - start]) for start, stop in cuts]
        # Every process has a part in each block, or a minibatch would be the work of one.
        least = max(1, size // self.group.size)
        n_own = 1 if kept else -(-self.n_rows // max(least, self.batch_rows))
        n_blocks = max(1, *self.group.numbers(n_own))
        cuts_of = [[count * b // n_blocks for b in range(n_blocks + 1)] for count in self._counts]
        mine = cuts_of[self.group.rank]
        sizes = [[cuts[b + 1] - cuts[b] for cuts in cuts_of] for b in range(n_blocks)]
        return [(slice(mine[b], mine[b + 1]), [0, *accumulate(sizes[b])]) for b in range(n_blocks)]


def own_numbers(rows: np.ndarray, first_row: int, n_rows: int) -> np.ndarray:
    """Of ascending numbers in the table of all processes those of `n_rows` from `first_row`, counted from there."""
    low, high = np.searchsorted(rows, [first_row, first_row + n_rows])
    return rows[low:high] - first_row


class Minibatch(NamedTuple):
    """Rows of one step of the gradient solver that this process has."""

    X: Tensor  # (n, D)
    weights: Tensor | None  # (n,)
    mass: float  # weight of all processes' rows of the step


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
