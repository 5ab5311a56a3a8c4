"""k-means as pure functions: seeds on a sample, Lloyd's steps on samples that grow, then passes over all rows.

The objective is sum_i w_i |x_i - c_(l_i)|^2 over centers c and labels l. A pass assigns rows by the largest
``x.c - |c|^2 / 2``, one matrix product, and measures the distances themselves directly, so that tight clusters keep
their digits. On rows of length one, half the squared distance to a center of length one is the cosine distance, which
makes spherical k-means (Dhillon & Modha, Mach. Learn. 42, 2001) the same computation with centers scaled to length one.

Centers from m rows can be no better than about K / m of the inertia, so steps on a small sample stop early and the
sample doubles (Newling & Fleuret, "Nested mini-batch k-means", NIPS 2016).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._rows import KEEP_BYTES, Batches, own_numbers
from .pruning import Pruning, among_all, best_pruning
from .samples import Rows, Sample, nested_samples
from .watching import UNWATCHED, Stage, Watching

POOL_ROWS = 20_000
POOL_ROWS_PER_CLUSTER = 32
# Steps on a sample of m rows stop at a gain of this many times K / m.
_SAMPLING_SHARE = 0.2
# Scores, or features of rows, held at once: what a processor's caches take.
_BLOCK_NUMBERS = 2**20
# More passes than asked for, at most, while clusters are still empty.
_EXTRA_PASSES = 10


class Assignment(NamedTuple):
    """This process's rows with their nearest centers, and the sums over all rows that give the next centers."""

    labels: Tensor  # (n,) int32
    distances: Tensor  # (n,) double, squared distance to the nearest center
    sums: Tensor  # (K, D) double, weighted rows per cluster
    mass: Tensor  # (K,) double, weights per cluster
    inertia: float


class Plan(NamedTuple):
    """How to go about it; the parameters of `KMeansInitializer`."""

    pool_size: int | None = None
    projection: int | None = 128
    n_init: int = 1
    max_iter: int = 300
    refine_iter: int = 3
    tol: float = 1e-4
    unit: bool = False


class Clustering(NamedTuple):
    """Centers and the assignment to them."""

    centers: Tensor  # (K, D) double
    labels: Tensor  # (n,) int32
    inertia: float
    n_iter: int


def assign(data: Rows, centers: Tensor, pruning: Pruning | None = None, told: Stage = UNWATCHED) -> Assignment:
    """One pass over the rows of all processes: the nearest of `centers` (K, D), double, for each."""
    labels = torch.empty(data.n_rows, dtype=torch.int32, device=centers.device)
    distances = torch.empty(data.n_rows, dtype=torch.float64, device=centers.device)
    sums, mass = torch.zeros_like(centers), centers.new_zeros(len(centers))
    search = among_all(centers, data.dtype) if pruning is None else pruning.search(centers)
    step = max(256, _BLOCK_NUMBERS // max(centers.shape))
    for place, batch, weights in data:
        # Deviations are small, so those of some rows may be summed in their own precision before all are in double.
        some, held = batch.new_zeros(centers.shape), 0
        for start in range(0, len(batch), step):
            X = batch[start : start + step]
            here = slice(place.start + start, place.start + start + len(X))
            nearest, deviations = search(here, X)
            labels[here] = nearest.int()
            w = mass.new_ones(len(X)) if weights is None else weights[start : start + step]
            mass.index_add_(0, nearest, w)
            some.index_add_(0, nearest, deviations if weights is None else deviations * w[:, None].to(X))
            distances[here] = deviations.square_().sum(1).double()
            held += len(X)
            if held >= len(centers) or start + step >= len(batch):
                sums += some
                some.zero_()
                held = 0
        told.rows(len(batch))
    sums += mass[:, None] * centers.to(data.dtype).double()
    inertia = distances.sum() if data.weights is None else data.weights @ distances
    sums, mass, inertia = data.group.sum(sums, mass, inertia)
    return Assignment(labels, distances, sums, mass, float(inertia))


def lloyd(
    data: Rows, centers: Tensor, max_iter: int, tol: float, unit: bool = False, told: Stage = UNWATCHED
) -> Clustering:
    """Lloyd's steps from `centers` (K, D), until one gains no more than `tol` of the inertia; labels fit the centers.

    An empty cluster takes over a row that is far from its center. `unit` scales centers to length one.
    """
    pruning = best_pruning(data, centers)
    inertia = np.inf
    last = max_iter + _EXTRA_PASSES
    for n_iter in range(last + 1):
        found = assign(data, centers, pruning, told)
        told.step(n_iter, found.inertia)
        if pruning is not None:
            pruning.labels = found.labels
        empty = (found.mass == 0).nonzero()[:, 0]
        far = _far_rows(data, found, centers, len(empty))
        done = n_iter >= max_iter or inertia - found.inertia <= tol * found.inertia
        if n_iter == last or (done and not len(far)):
            break
        centers = _updated(found, centers, unit)
        if len(far):
            centers[empty[: len(far)]] = data.group.all_gather(
                data.read(own_numbers(far, data.first_row, data.n_rows)).double()
            )
        inertia = found.inertia
    return Clustering(centers, found.labels, found.inertia, n_iter)


def _updated(found: Assignment, centers: Tensor, unit: bool) -> Tensor:
    """Weighted means of the clusters; one without rows keeps its center."""
    means = found.sums / found.mass.clamp(min=torch.finfo(torch.float64).tiny)[:, None]
    held = found.mass > 0
    if unit:
        length = means.norm(dim=1)
        held &= length > 0
        means = means / length.clamp(min=torch.finfo(torch.float64).tiny)[:, None]
    return torch.where(held[:, None], means, centers)


def _far_rows(data: Rows, found: Assignment, centers: Tensor, count: int) -> np.ndarray:
    """Up to `count` rows of all processes, farthest from their centers; none that lie on them but for rounding.

    Their numbers in the table of all, ascending.
    """
    if count == 0:
        return np.empty(0, dtype=np.int64)
    rounding = (64 * torch.finfo(data.dtype).eps) ** 2 * centers.square().sum(1)
    apart = found.distances > rounding[found.labels.long()]
    if data.weights is not None:
        apart &= data.weights > 0
    far = found.distances.where(apart, -1.0).topk(min(count, int(apart.sum())))
    distances = data.group.all_gather(far.values)
    numbers = data.group.all_gather(far.indices + data.first_row)
    if data.group.size > 1:
        numbers = numbers[distances.topk(min(count, len(distances))).indices]
    return np.sort(numbers.cpu().numpy())


def draw_seeds(
    X: Tensor,
    n_clusters: int,
    weights: Tensor | None,
    rng: np.random.RandomState,
    projection: int | None,
    told: Stage = UNWATCHED,
) -> Tensor:
    """Indices (K,) of rows of `X` (m, D), drawn by greedy k-means++ (Arthur & Vassilvitskii, SODA 2007).

    Distances are those after a random orthonormal projection to `projection` dimensions. Rows are gone through in the
    order of their place on a random line, so that what is drawn depends neither on the order of the rows nor on whether
    a row has weight two or is there twice.
    """
    n_rows, n_features = X.shape
    if projection is not None and projection < n_features:
        axes, _ = np.linalg.qr(rng.standard_normal((n_features, projection)))
        X = X @ torch.as_tensor(axes, device=X.device).to(X)
    order = (X @ torch.as_tensor(rng.standard_normal(X.shape[1]), device=X.device).to(X)).argsort()
    X = X[order]
    w = X.new_ones(n_rows, dtype=torch.float64) if weights is None else weights[order]
    n_trials = 2 + int(np.log(n_clusters))
    levels = torch.as_tensor(rng.random_sample((n_clusters, n_trials)), device=X.device)
    squares = X.square().sum(1)
    seeds = torch.searchsorted(w.cumsum(0), levels[0, :1] * w.sum(), right=True).clamp(max=n_rows - 1)
    closest = _squared_distances(X, squares, seeds)[0]
    for level in levels[1:]:
        reach = (closest.double() * w).cumsum(0)
        trials = torch.searchsorted(reach, level * reach[-1], right=True).clamp(max=n_rows - 1)
        remaining = torch.minimum(closest, _squared_distances(X, squares, trials))
        best = (remaining @ w.to(remaining)).argmin()
        closest = remaining[best]
        seeds = torch.cat([seeds, trials[best, None]])
        told.seeds(len(seeds))
    told.seeds(None)
    return order[seeds]


def _squared_distances(X: Tensor, squares: Tensor, chosen: Tensor) -> Tensor:
    """Squared distances (c, m) of all rows from the `chosen` ones (c,)."""
    return torch.addmm(squares, X[chosen], X.T, alpha=-2).add_(squares[chosen, None]).clamp_(min=0)


def sample_sizes(batches: Batches, n_clusters: int, plan: Plan) -> list[int]:
    """Rows of the pool, and of the samples after it: doubled up to half of all rows, as far as memory is granted."""
    n_rows = batches.total_rows
    size = min(n_rows, plan.pool_size or max(POOL_ROWS, POOL_ROWS_PER_CLUSTER * n_clusters))
    most = min(n_rows // 2, KEEP_BYTES // (2 * batches.n_features * batches.dtype.itemsize))
    sizes = [size]
    while plan.refine_iter and 2 * sizes[-1] <= most:
        sizes.append(2 * sizes[-1])
    return sizes


def k_means(
    batches: Batches,
    n_clusters: int,
    rng: np.random.RandomState,
    plan: Plan | None = None,
    watching: Watching | None = None,
) -> Clustering:
    """Centers of `batches`, in their space, and the labels of all rows. Rows must be finite."""
    plan, watching = plan or Plan(), watching or Watching()
    sizes = sample_sizes(batches, n_clusters, plan)
    whole = sizes[0] == batches.total_rows
    found: Clustering | None = None
    sample: Sample | None = None
    n_iter = 0
    for rows, weights in nested_samples(batches, sizes, rng):
        sample = None  # two at a time would be more than is granted
        sample = Sample(batches.read(rows), weights, batches.group)
        # Sampling error hides smaller gains; without passes over all rows the sample is all there is.
        hidden = 0.0 if whole or not plan.refine_iter else _SAMPLING_SHARE * n_clusters / sample.total_rows
        here = plan._replace(tol=max(plan.tol, hidden))
        with watching.stage(sample.total_rows) as told:
            if found is None:
                found = _best_start(sample, n_clusters, rng, here, told)
            else:
                found = _steps(sample, found, here, told)
        n_iter += found.n_iter
    assert found is not None
    if not whole:
        with watching.stage(batches.total_rows, plan.refine_iter + 1) as told:
            found = _steps(batches, found, plan._replace(max_iter=plan.refine_iter), told)
        n_iter += found.n_iter
    return found._replace(n_iter=n_iter)


def _steps(data: Rows, start: Clustering, plan: Plan, told: Stage) -> Clustering:
    return lloyd(data, start.centers, plan.max_iter, plan.tol, plan.unit, told)


def _best_start(sample: Sample, n_clusters: int, rng: np.random.RandomState, plan: Plan, told: Stage) -> Clustering:
    """The clustering of least inertia among those from `n_init` drawings of seeds."""
    starts = _seeds(sample, n_clusters, rng, plan, told)
    found = [lloyd(sample, centers, plan.max_iter, plan.tol, plan.unit, told) for centers in starts]
    best = min(found, key=lambda clustering: clustering.inertia)
    told.step(best.n_iter, best.inertia)
    return best


def _seeds(sample: Sample, n_clusters: int, rng: np.random.RandomState, plan: Plan, told: Stage) -> list[Tensor]:
    """Seeds (K, D), double, of each of `n_init` starts, drawn by the first process from the sample of all."""
    group = sample.group
    X = group.gather(sample.X)
    weights = None if sample.weights is None else group.gather(sample.weights)

    def draw() -> list[Tensor]:
        drawn = (draw_seeds(X, n_clusters, weights, rng, plan.projection, told) for _ in range(plan.n_init))
        return [X[seeds].double() for seeds in drawn]

    return group.decided(draw, rng)
