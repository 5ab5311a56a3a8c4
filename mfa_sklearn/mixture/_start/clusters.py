"""Where a fit starts: labels or centers to parameters, by principal components of each cluster.

All in the conditioned space of `_rows`. The start of component k is the probabilistic PCA of its cluster (Tipping &
Bishop, "Mixtures of probabilistic principal component analysers", Neural Comput. 11, 1999), in units of the features'
deviations inside the cluster, with the noise left per feature: W = V (S^2 - sigma^2)^(1/2), Psi = diag(cov - W W^T).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .._model.missing import has_missing
from .._model.params import MFAParams, Structure

# Up to so many features, correlations inside a cluster are inverted and more turns are affordable.
_FEW_FEATURES = 96
# Matrices with no more rows or columns than this, or than four times the rank asked for, are decomposed exactly.
_EXACT_RANK = 96
# Of larger ones the randomized decomposition draws so many directions beyond the rank, and refines them so many times.
_EXTRA_DIRECTIONS, _REFINEMENTS = 6, 2
# Numbers in a table of rows by centers, or of rows by features, that nearest centers are looked up in at a time.
_LOOKUP_SIZE = 2**22
# A cluster's deviations, and what is computed from all rows at a time, take no more than this; loadings of a larger
# cluster are taken from rows spread evenly over it.
_BLOCK_BYTES = 64 * 2**20
# Turns of loadings and noise, of few features and of many, and the smallest share of a feature's variance that they
# leave to its noise; before the first turn a feature that others explain may have less.
_TURNS, _WIDE_TURNS = 4, 2
_SMALLEST_SHARE, _SMALLEST_UNIQUE_SHARE = 0.01, 1e-3
# A direction whose variance exceeds the noise by no more than this share of it holds only noise; the loadings of such
# directions start with this share of a feature's deviation, in directions drawn at random.
_LEAST_SIGNAL, _RANDOM_LOADING = 1e-3, 0.1
# Keeps the correlation matrix of features that repeat each other invertible.
_RIDGE = 1e-5
# Rows that a component without any counts as, so that its weight has a logarithm; and the smallest noise, in the
# conditioned space, where every feature's variance is about one.
_LEAST_COUNT, _LEAST_NOISE = 1e-3, 1e-6


class Draws(NamedTuple):
    """Generators on the processor, so that a start is the same whatever device it is for."""

    axes: torch.Generator
    projections: torch.Generator


def nearest_center(X: Tensor, centers: Tensor, scale: Tensor | None = None) -> Tensor:
    """Index (n,) of the center closest to each row, times `scale` (D,) if given, in the features that it has."""
    step = max(16, _LOOKUP_SIZE // max(centers.shape))
    half = centers.square() / 2
    labels = []
    for chunk in X.split(step):
        chunk = chunk if scale is None else chunk * scale
        offset = (~chunk.isnan()).to(half) @ half.T if has_missing(chunk) else half.sum(1)
        labels.append((chunk.nan_to_num() @ centers.T - offset).argmax(1))
    return torch.cat(labels)


def params_from_labels(
    X: Tensor,
    labels: Tensor,
    n_components: int,
    n_factors: int,
    structure: Structure,
    floor: float,
    generator: torch.Generator,
    weights: Tensor | None = None,
    means: Tensor | None = None,
) -> MFAParams:
    """Parameters from rows (n, D) and a label (n,) for each; a cluster without rows takes its place from `means`."""
    w = X.new_ones(len(X), dtype=torch.float64) if weights is None else weights.double()
    order = labels.sort(stable=True).indices
    sizes = torch.bincount(labels, minlength=n_components)
    clusters = order.split(sizes.tolist())
    count = torch.zeros(n_components, dtype=torch.float64, device=X.device).index_add_(0, labels, w)
    if has_missing(X):
        X = _fill(X, labels, n_components, w)
    centers = _cluster_means(X, w, clusters, means)
    variances = _cluster_variances(X, w, clusters, centers)
    pooled = (count[:, None] * variances).sum(0) / count.sum()
    # Few rows say little about a variance: lend them as many rows of the pooled one as there are factors.
    borrowed = float(n_factors + 1)
    variances = (count[:, None] * variances + borrowed * pooled) / (count + borrowed)[:, None]
    if structure.isotropic_noise:
        variances, pooled = variances.mean(1, keepdim=True).expand_as(variances), pooled.mean().expand_as(pooled)
    common = structure.common_loadings
    spread = [_spread(rows, len(X) if common else len(rows), X) for rows in clusters]
    deviations = (_deviations(X, rows, m, w) for rows, m in zip(spread, centers, strict=True))
    draws = Draws(generator, torch.Generator().manual_seed(int(torch.randint(2**31, (), generator=generator))))
    if common:
        mass = float(w[torch.cat(spread)].sum())
        shared = _principal_loadings(torch.cat(list(deviations)), mass, n_factors, pooled, draws)
        loadings = shared.expand(n_components, *shared.shape)
    else:
        mass_of = [float(w[rows].sum()) for rows in spread]
        each = zip(deviations, mass_of, variances, strict=True)
        loadings = torch.stack([_principal_loadings(d, mass, n_factors, v, draws) for d, mass, v in each])
    noise = _residual_noise(variances, loadings, count, structure, floor)
    log_weights = (count.clamp(min=_LEAST_COUNT) / count.clamp(min=_LEAST_COUNT).sum()).log()
    return MFAParams(log_weights, centers, loadings.contiguous(), noise)


def _fill(X: Tensor, labels: Tensor, n_components: int, weights: Tensor) -> Tensor:
    """Rows with each missing value put at the mean of its cluster, or at zero, the mean of all, where that has none."""
    total = weights.new_zeros(n_components, X.shape[1])
    mass = torch.zeros_like(total)
    for rows in _chunks(X):
        w, chunk = weights[rows, None], X[rows]
        total.index_add_(0, labels[rows], w * chunk.nan_to_num())
        mass.index_add_(0, labels[rows], w * ~chunk.isnan())
    means = (total / torch.where(mass > 0, mass, 1.0)).to(X)
    filled = torch.empty_like(X)
    for rows in _chunks(X):
        filled[rows] = torch.where(X[rows].isnan(), means[labels[rows]], X[rows])
    return filled


def _chunk_rows(X: Tensor) -> int:
    """How many rows to work on at once in double precision."""
    return max(1, _BLOCK_BYTES // (8 * X.shape[1]))


def _chunks(X: Tensor) -> list[slice]:
    return [slice(start, start + _chunk_rows(X)) for start in range(0, len(X), _chunk_rows(X))]


def _spread(rows: Tensor, n_rows: int, X: Tensor) -> Tensor:
    """A cluster's rows, or every second, third, ... of them: thinned so that `n_rows` rows would fit the budget."""
    most = max(1, _BLOCK_BYTES // (X.shape[1] * X.element_size()))
    return rows[:: max(1, -(-n_rows // most))]


def _deviations(X: Tensor, rows: Tensor, mean: Tensor, weights: Tensor) -> Tensor:
    """Rows (m, D) less their mean, times the roots of their weights."""
    return X[rows].sub_(mean.to(X)).mul_(weights[rows, None].sqrt().to(X))


def _cluster_means(X: Tensor, w: Tensor, clusters: tuple[Tensor, ...], means: Tensor | None) -> Tensor:
    centers = torch.zeros(len(clusters), X.shape[1], dtype=torch.float64, device=X.device)
    if means is not None:
        centers = means.double().clone()
    for k, rows in enumerate(clusters):
        mass = w[rows].sum()
        if mass > 0:
            parts = [(w[some] / mass) @ X[some].double() for some in rows.split(_chunk_rows(X))]
            centers[k] = torch.stack(parts).sum(0)
    return centers


def _cluster_variances(X: Tensor, w: Tensor, clusters: tuple[Tensor, ...], centers: Tensor) -> Tensor:
    variances = torch.zeros_like(centers)
    for k, rows in enumerate(clusters):
        mass = w[rows].sum()
        if mass > 0:
            parts = [
                (w[some] / mass).to(X) @ (X[some] - centers[k].to(X)).square_() for some in rows.split(_chunk_rows(X))
            ]
            variances[k] = torch.stack(parts).double().sum(0)
    return variances


def _principal_loadings(deviations: Tensor, mass: float, n_factors: int, variance: Tensor, draws: Draws) -> Tensor:
    """Loadings (D, q) of a cluster's deviations (n, D), already weighted by the root of each row's weight.

    Given the noise, the best loadings are principal components in units of it, ``Psi^(1/2) V (S^2 - 1)^(1/2)``
    (Joereskog, Psychometrika 32, 1967); given the loadings, the noise is what is left. A few turns, from noise that is
    what the other features do not explain, keep clear of the poor optima that EM falls into from the first components.
    """
    n_rows, n_features = deviations.shape
    size = torch.where(variance > 0, variance, 1.0).sqrt()
    axes = torch.randn(n_features, n_factors, generator=draws.axes, dtype=torch.float64)
    # A direction that holds no more than noise starts small, not at zero, where EM would leave it.
    start = _RANDOM_LOADING * axes.to(deviations.device) / n_features**0.5
    rank = min(n_factors, n_rows, n_features)
    if rank == 0 or mass == 0:
        return start * variance.sqrt()[:, None]
    standard = deviations / size.to(deviations)
    noise = _unique_share(standard, mass, n_factors)
    for _ in range(_TURNS if n_features <= _FEW_FEATURES else _WIDE_TURNS):
        s, v = _top_singular(standard / noise.sqrt().to(deviations), rank, draws.projections)
        signal = (s.double().square() / mass - 1).clamp(min=0)
        found = torch.where(signal > _LEAST_SIGNAL, v.double() * signal.sqrt(), start[:, :rank]) * noise.sqrt()[:, None]
        noise = (1 - found.square().sum(1)).clamp(min=_SMALLEST_SHARE)
    start[:, :rank] = found
    return start * variance.sqrt()[:, None]


def _unique_share(standard: Tensor, mass: float, n_factors: int) -> Tensor:
    """Share (D,) of each feature's variance that the other features do not explain, ``1 / (R^-1)_dd``.

    R is the correlation matrix. Of many features a cluster's rows do not tell it, and it is one.
    """
    n_features = standard.shape[1]
    if n_features > _FEW_FEATURES:
        return torch.ones(n_features, dtype=torch.float64, device=standard.device)
    gram = standard.double().T @ standard.double()
    unit = torch.where(gram.diagonal() > 0, gram.diagonal(), 1.0).rsqrt()
    # Few rows explain a feature by chance: correlations shrink the more, the fewer rows there are to a feature.
    correlation = gram * unit[:, None] * unit / (1 + _RIDGE + (n_factors + 1) * n_features / mass**2)
    correlation.fill_diagonal_(1)
    return (1 / torch.linalg.inv(correlation).diagonal()).clamp(min=_SMALLEST_UNIQUE_SHARE, max=1)


def _top_singular(matrix: Tensor, rank: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    if min(matrix.shape) <= max(_EXACT_RANK, 4 * rank):
        return _gram_svd(matrix, rank)
    return _randomized_svd(matrix, rank, generator)


def _gram_svd(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Largest singular values (r,) and right vectors (D, r), by the eigenvectors of the smaller Gram matrix.

    In double precision, so that squares lose nothing that matters beside the largest. With several threads LAPACK's
    singular values of a small matrix take ten times as long as with one; these do not.
    """
    wide, few_rows = matrix.double(), matrix.shape[0] <= matrix.shape[1]
    values, vectors = torch.linalg.eigh(wide @ wide.T if few_rows else wide.T @ wide)
    s, axes = values[-rank:].flip(0).clamp(min=0).sqrt(), vectors[:, -rank:].flip(1)
    if few_rows:
        axes = (wide.T @ axes) / s.clamp(min=torch.finfo(torch.float64).tiny)
    return s.to(matrix), axes.to(matrix)


def _randomized_svd(matrix: Tensor, rank: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """About the largest singular values (r,) and right vectors (D, r), by products with a few random directions.

    Halko, Martinsson & Tropp, "Finding structure with randomness", SIAM Rev. 53, 2011, algorithms 4.4 and 5.1.
    `torch.svd_lowrank` is the same, but draws from the generators of the whole process, which threads share.
    """
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    random = torch.randn(tall.shape[1], rank + _EXTRA_DIRECTIONS, generator=generator, dtype=matrix.dtype).to(
        matrix.device
    )
    basis = torch.linalg.qr(tall @ random).Q
    for _ in range(_REFINEMENTS):
        basis = torch.linalg.qr(tall.T @ basis).Q
        basis = torch.linalg.qr(tall @ basis).Q
    u, s, vh = torch.linalg.svd(basis.T @ tall, full_matrices=False)
    right = vh.T if tall is matrix else basis @ u
    return s[:rank], right[:, :rank]


def _residual_noise(variances: Tensor, loadings: Tensor, count: Tensor, structure: Structure, floor: float) -> Tensor:
    noise = variances - loadings.square().sum(-1)
    noise = torch.maximum(noise, _SMALLEST_SHARE * variances)
    if structure.shared_noise:
        noise = ((count[:, None] * noise).sum(0) / count.sum())[None]
    if structure.isotropic_noise:
        noise = noise.mean(1, keepdim=True).expand_as(noise)
    return noise.clamp(min=max(floor, _LEAST_NOISE)).contiguous()
