"""Rows for k-means: all of them batch by batch, or a sample in memory, in a space that is safe in single precision.

Euclidean rows are centered and share one unit; the rows of spherical k-means have length one. Samples are nested and
weighted so that any sum over them estimates the sum over all rows without bias (priority sampling: Duffield, Lund &
Thorup, "Priority sampling for estimation of arbitrary subset sums", J. ACM 54, 2007).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..._base.devices import to_tensor
from ..._base.group import ALONE, AnyGroup
from ..._base.mapped import read_rows
from .._rows import BATCH_BYTES, Batches, Conditioner, own_numbers
from .._validation import RowWeights


class Rows(Protocol):
    """What a pass reads: `Batches`, or a `Sample`."""

    n_rows: int  # of this process
    first_row: int  # the number of its first among those of all processes
    total_rows: int
    dtype: torch.dtype
    weights: Tensor | None
    group: AnyGroup

    def __iter__(self) -> Iterator[tuple[slice, Tensor, Tensor | None]]: ...

    def read(self, index: Any) -> Tensor: ...


class Sample:
    """Rows (m, D) in memory with their weights (m,); of each process of a group its own."""

    def __init__(self, X: Tensor, weights: Tensor | None, group: AnyGroup = ALONE) -> None:
        self.X, self.weights, self.group = X, weights, group
        self.n_rows, self.dtype = len(X), X.dtype
        counts = group.numbers(self.n_rows)
        self.total_rows, self.first_row = sum(counts), sum(counts[: group.rank])

    def __iter__(self) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
        yield slice(0, self.n_rows), self.X, self.weights

    def read(self, index: Any) -> Tensor:
        """Rows by index."""
        return self.X[torch.as_tensor(index)]


class FiniteBatches(Batches):
    """Batches that refuse what is not finite."""

    def _fresh(self, index: Any, rows: Tensor | None = None) -> Tensor:
        rows = super()._fresh(index, rows)
        check_finite(rows, self.numbers(index))
        return rows


class UnitBatches(FiniteBatches):
    """Batches of rows scaled to length one."""

    def _fresh(self, index: Any, rows: Tensor | None = None) -> Tensor:
        rows = super()._fresh(index, rows)
        # Scaled by the largest entry first: the squares of a short row would underflow.
        largest = rows.abs().amax(1, keepdim=True)
        if bool((largest == 0).any()):
            number = _row_number(self.numbers(index), largest[:, 0] == 0)
            raise ValueError(f"row {number} of X is all zeros and has no direction: drop it, or use metric='euclidean'")
        rows = rows / largest
        return rows.div_(rows.norm(dim=1, keepdim=True))


def check_finite(rows: Tensor, index: Any) -> None:
    """Refuse rows, read from `index`, that hold NaN or infinity."""
    # A sum is finite only if its terms are; one that overflows is looked at again.
    suspect = ~rows.sum(1).isfinite()
    if not bool(suspect.any()):
        return
    wrong = ~rows.isfinite().all(1)
    if bool(wrong.any()):
        kind = "NaN" if bool(rows[wrong][0].isnan().any()) else "infinity"
        raise ValueError(
            f"Input X contains {kind} (first at row {_row_number(index, wrong)}): drop or impute such rows."
        )


def check_all_finite(X: np.ndarray) -> None:
    """`check_finite` for all rows of an array, batch by batch."""
    step = max(1, BATCH_BYTES // max(1, X[:1].nbytes))
    for start in range(0, len(X) if X.dtype.kind == "f" else 0, step):
        rows = slice(start, min(start + step, len(X)))
        check_finite(read_rows(X, rows, torch.device("cpu")), rows)


def _row_number(index: Any, where: Tensor) -> int:
    place = int(where.nonzero()[0])
    return place + (index.start or 0) if isinstance(index, slice) else int(index[place])


def row_conditioner(
    X: Any,
    weights: RowWeights,
    device: torch.device,
    rng: np.random.RandomState,
    centered: bool,
    group: AnyGroup = ALONE,
) -> Conditioner:
    """A center (the origin, if not `centered`) and one unit for all columns, from a sample of many rows of all."""
    n_own, size = weights.count(X.shape[0]), max(1, BATCH_BYTES // (8 * X.shape[1]))
    values, index = weights.values, weights.places
    counts = group.numbers(n_own)
    if sum(counts) > size:
        own = _drawn_by_weight(values, counts, size, rng, group)
        values, index = None, weights.row_numbers(own)
    rows = read_rows(X, slice(0, n_own) if index is None else index, device)
    check_finite(rows, slice(0, n_own) if index is None else index)
    rows = group.gather(rows.double())
    w = rows.new_ones(len(rows)) if values is None else group.gather(to_tensor(values, device))
    return group.decided(lambda: _conditioner_of(rows, w, centered))


def _drawn_by_weight(
    values: np.ndarray | None, counts: list[int], size: int, rng: np.random.RandomState, group: AnyGroup
) -> np.ndarray:
    """Ascending numbers of this process's rows among `size` that are drawn, with repetition, from those of all."""
    if values is None or group.size == 1:
        drawn = np.unique(rng.choice(sum(counts), size, p=None if values is None else values / values.sum()))
        return own_numbers(drawn, sum(counts[: group.rank]), counts[group.rank])
    # As numpy draws, by the cumulative sums of the weights, of which each process has its part.
    masses = np.cumsum([0.0, *group.objects(float(values.sum()))])
    places = rng.random_sample(size) * masses[-1]
    places = places[(places >= masses[group.rank]) & (places < masses[group.rank + 1])] - masses[group.rank]
    return np.unique(np.searchsorted(values.cumsum(), places, side="right").clip(max=len(values) - 1))


def _conditioner_of(rows: Tensor, w: Tensor, centered: bool) -> Conditioner:
    n_features = rows.shape[1]
    mean = (w / w.sum()) @ rows if centered else rows.new_zeros(n_features)
    unit = ((w / w.sum()) @ (rows - mean).square()).mean().sqrt()
    # Constant rows differ by rounding alone; their own unit is as good as any.
    if not unit > torch.finfo(torch.float64).eps * mean.abs().max():
        unit = torch.ones_like(unit)
    return Conditioner(mean, unit.expand(n_features))


def nested_samples(
    batches: Batches, sizes: list[int], rng: np.random.RandomState
) -> Iterator[tuple[slice | np.ndarray, Tensor | None]]:
    """This process's rows of samples of ascending `sizes` from those of all, each part of the next, and their weights.

    Row i has priority w_i / u_i with u_i uniform; the m highest are sampled, and their weights are raised to the
    highest priority that is not among them.
    """
    if sizes[0] == batches.total_rows:
        yield slice(0, batches.n_rows), batches.weights
        return
    w = None if batches.weights is None else batches.weights.cpu().numpy()
    uniform = rng.random_sample(batches.total_rows)[batches.first_row : batches.first_row + batches.n_rows]
    priority = (1.0 if w is None else w) / (1 - uniform)
    for size in sizes:
        rows, highest_left = _highest(priority, size, batches.group)
        raised = None if w is None else np.maximum(w[rows], highest_left)
        yield rows, None if raised is None else torch.as_tensor(raised, device=batches.device)


def _highest(priority: np.ndarray, size: int, group: AnyGroup) -> tuple[np.ndarray, float]:
    """Ascending numbers of this process's rows among the `size` of highest priority on all, and the next priority."""
    if group.size == 1:
        split = np.argpartition(-priority, size)
        return np.sort(split[:size]), priority[split[size]]
    # No process has more of them than it could have alone.
    mine = np.partition(priority, len(priority) - size - 1)[-size - 1 :] if len(priority) > size + 1 else priority
    theirs = group.all_gather(torch.as_tensor(mine)).numpy()
    least = np.partition(theirs, len(theirs) - size - 1)[len(theirs) - size - 1]
    return np.flatnonzero(priority > least), float(least)
