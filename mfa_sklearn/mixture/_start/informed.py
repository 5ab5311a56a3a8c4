"""k-means for the start of a mixture: columns weighed by what clusters tell of them, the best of a few drawings.

On rows whose columns have one size, k-means minds a column that only holds noise as much as one that clusters explain.
Here a first clustering of a sample tells them apart. With W_d the variance of a column within its clusters and T_d that
of all rows, the column is stretched by ``sqrt(F_d)``, ``F_d = (T_d - W_d) / W_d``, and k-means goes on in that metric.
It is a relative of sparse k-means, whose weights are the explained variances ``T_d - W_d`` (Witten & Tibshirani, "A
framework for feature selection in clustering", J. Am. Stat. Assoc. 105, 2010); both depend on no column's unit.

Drawings in the two metrics are compared by the likelihood that rows have in a mixture of factor analyzers made of the
clusters, as a fit would start from it. That follows where EM ends (correlation 0.8 on activations); inertia and
likelihoods without factors do not. Its number of factors depends on the number of columns alone, so that fits with
other numbers of factors share their start.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._model.density import log_joint, prepare
from .._model.params import Structure
from .._rows import Batches
from .clusters import params_from_labels
from .kmeans import POOL_ROWS_PER_CLUSTER, Clustering, Plan, best_start, k_means, sampling_tol
from .samples import Sample, StretchedBatches, nested_samples

# Rows that the drawings are made on and compared by, where there are more.
_SAMPLE_ROWS = 10_000
# Drawings in the metric that the first one, in that of the rows as they come, gives.
_INFORMED_DRAWINGS = 2
# The mixture that drawings are compared by has one factor to so many columns, but no more than so many, and this share
# of a column's variance for noise at least.
_COLUMNS_PER_FACTOR, _MOST_FACTORS = 4, 10
_LEAST_NOISE = 0.01
# Nats per row that likelihoods of the same clusters may differ by.
_ROUNDING = 1e-4
# Of a column's variance no less than this counts as unexplained, and as explained: clusters of single rows far out
# explain a column that is otherwise constant altogether, and are to win nothing by it.
_LEAST_SHARE = 0.05
# Numbers of rows that deviations are taken of at a time.
_BLOCK_NUMBERS = 2**20


class _Drawing(NamedTuple):
    """Clusters of the sample, and the metric that they were found in."""

    clusters: Clustering
    stretch: Tensor | None  # (D,), of the columns; None for the rows as they come
    likelihood: float


def informed_k_means(batches: Batches, n_clusters: int, rng: np.random.RandomState, plan: Plan) -> Clustering:
    """Centers (K, D) of `batches`, in their space, and labels of all rows, the nearest in the metric that was best.

    Parameters
    ----------
    batches : Batches
        Finite rows.
    n_clusters : int
    rng : RandomState
    plan : Plan
        For the passes after the drawings.
    """
    best = _best_drawing(batches, n_clusters, rng, plan)
    if best.stretch is None:
        return k_means(batches, n_clusters, rng, plan, seeds=best.clusters.centers)
    stretched = StretchedBatches(batches, best.stretch)
    found = k_means(stretched, n_clusters, rng, plan, seeds=best.clusters.centers)
    return found._replace(centers=found.centers / best.stretch)


def _best_drawing(batches: Batches, n_clusters: int, rng: np.random.RandomState, plan: Plan) -> _Drawing:
    size = min(batches.n_rows, max(_SAMPLE_ROWS, POOL_ROWS_PER_CLUSTER * n_clusters))
    rows, weights = next(nested_samples(batches, [size], rng))
    sample = Sample(batches.read(rows), weights)
    plan = plan._replace(tol=max(plan.tol, sampling_tol(sample, batches, n_clusters)))
    clusters = best_start(sample, n_clusters, rng, plan)
    if n_clusters == 1:
        return _Drawing(clusters, None, 0.0)
    drawings = [_Drawing(clusters, None, starting_likelihood(sample, clusters, rng))]
    share = unexplained_share(sample, clusters.labels, n_clusters)
    stretch = ((1 - share) / share).sqrt()
    stretched = Sample(sample.X * stretch.to(sample.X), weights)
    for _ in range(_INFORMED_DRAWINGS):
        clusters = best_start(stretched, n_clusters, rng, plan)
        drawings.append(_Drawing(clusters, stretch, starting_likelihood(sample, clusters, rng)))
    # The same clusters found twice differ by rounding, which is not to choose between them.
    enough = max(drawing.likelihood for drawing in drawings) - _ROUNDING
    return next(drawing for drawing in drawings if drawing.likelihood >= enough)


def unexplained_share(sample: Sample, labels: Tensor, n_clusters: int) -> Tensor:
    """``W_d / T_d`` (D,): the share of each column's variance that is left within clusters; away from none and all."""
    w = _weights(sample)
    everything = torch.zeros_like(labels)
    within, total = _scatter(sample, labels, n_clusters, w), _scatter(sample, everything, 1, w)
    share = torch.where(total > 0, within / torch.where(total > 0, total, 1.0), 1.0)
    return share.clamp(min=_LEAST_SHARE, max=1 - _LEAST_SHARE)


def starting_likelihood(sample: Sample, clusters: Clustering, rng: np.random.RandomState) -> float:
    """Mean log-likelihood of rows in the mixture of factor analyzers that local principal components make of clusters.

    Parameters
    ----------
    sample : Sample
    clusters : Clustering
        Of its rows.
    rng : RandomState
        For the randomized decompositions.
    """
    n_factors = min(_MOST_FACTORS, sample.X.shape[1] // _COLUMNS_PER_FACTOR)
    generator = torch.Generator().manual_seed(int(rng.randint(2**31 - 1)))
    labels, n_clusters = clusters.labels.long(), len(clusters.centers)
    params = params_from_labels(
        sample.X, labels, n_clusters, n_factors, Structure(), _LEAST_NOISE, generator, sample.weights
    )
    parts = prepare(params, sample.X.dtype)
    step = max(1, _BLOCK_NUMBERS // n_clusters)
    log_p = torch.cat([log_joint(parts, X).logsumexp(1).double() for X in sample.X.split(step)])
    w = _weights(sample)
    return float(w @ log_p / w.sum())


def _weights(sample: Sample) -> Tensor:
    return sample.X.new_ones(sample.n_rows, dtype=torch.float64) if sample.weights is None else sample.weights


def _scatter(sample: Sample, labels: Tensor, n_clusters: int, w: Tensor) -> Tensor:
    """Weighted squares of deviations (D,) from the means of the clusters, in double precision."""
    means = torch.zeros(n_clusters, sample.X.shape[1], dtype=torch.float64, device=w.device)
    mass = torch.bincount(labels, weights=w, minlength=n_clusters)
    places = torch.arange(sample.n_rows, device=w.device).split(max(1, _BLOCK_NUMBERS // sample.X.shape[1]))
    for some in places:
        means.index_add_(0, labels[some], w[some, None] * sample.X[some])
    means /= torch.where(mass > 0, mass, 1.0)[:, None]
    return torch.stack([w[some] @ (sample.X[some] - means[labels[some]]).square() for some in places]).sum(0)
