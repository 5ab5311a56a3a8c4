"""Where a fit starts: labels or centres to parameters, by principal components of each cluster.

All in the conditioned space of `_arrays`. The start of component k is the probabilistic PCA of its cluster (Tipping &
Bishop, "Mixtures of probabilistic principal component analysers", Neural Comput. 11, 1999), in units of the features'
deviations inside the cluster, with the noise left per feature: W = V (S^2 - sigma^2)^(1/2), Psi = diag(cov - W W^T).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._em import Structure
from ._missing import has_missing
from ._model import MFAParams

# Clusters up to this size get an exact decomposition, larger ones a randomised one.
_EXACT_SIZE = 96
# Turns of loadings and noise, and the smallest share of a feature's variance that they leave to its noise.
_TURNS = 4
_SMALLEST_SHARE = 0.01


def nearest_centre(X: Tensor, centres: Tensor) -> Tensor:
    """Index (n,) of the centre closest to each row, in the features that it has."""
    step = max(16, 2**24 // len(centres))
    half = centres.square() / 2
    labels = []
    for chunk in X.split(step):
        offset = (~chunk.isnan()).to(half) @ half.T if has_missing(chunk) else half.sum(1)
        labels.append((chunk.nan_to_num() @ centres.T - offset).argmax(1))
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
    blocks = order.split(sizes.tolist())
    count = torch.zeros(n_components, dtype=torch.float64, device=X.device).index_add_(0, labels, w)
    if has_missing(X):
        X = _fill(X, labels, n_components, w)
    centres = _cluster_means(X, w, blocks, means)
    variances = torch.stack([_weighted_variance(X[rows], w[rows], m) for rows, m in zip(blocks, centres, strict=True)])
    pooled = (count[:, None] * variances).sum(0) / count.sum()
    # Few rows say little about a variance: lend them as many rows of the pooled one as there are factors.
    borrowed = float(n_factors + 1)
    variances = (count[:, None] * variances + borrowed * pooled) / (count + borrowed)[:, None]
    if structure.isotropic_noise:
        variances, pooled = variances.mean(1, keepdim=True).expand_as(variances), pooled.mean().expand_as(pooled)
    if structure.common_loadings:
        deviations = torch.cat(
            [(X[rows] - m.to(X)) * w[rows, None].sqrt().to(X) for rows, m in zip(blocks, centres, strict=True)]
        )
        loadings = _principal_loadings(deviations, float(w.sum()), n_factors, pooled, generator)
        loadings = loadings.expand(n_components, *loadings.shape)
    else:
        loadings = torch.stack(
            [
                _principal_loadings((X[rows] - m.to(X)) * w[rows, None].sqrt().to(X), float(c), n_factors, v, generator)
                for rows, m, c, v in zip(blocks, centres, count, variances, strict=True)
            ]
        )
    noise = _residual_noise(variances, loadings, count, structure, floor)
    log_weights = (count.clamp(min=1e-3) / count.clamp(min=1e-3).sum()).log()
    return MFAParams(log_weights, centres, loadings.contiguous(), noise)


def _fill(X: Tensor, labels: Tensor, n_components: int, weights: Tensor) -> Tensor:
    """Rows with each missing value put at the mean of its cluster, or at zero, the mean of all, where that has none."""
    seen = ~X.isnan()
    w = weights[:, None]
    total = w.new_zeros(n_components, X.shape[1]).index_add_(0, labels, w * X.nan_to_num())
    mass = torch.zeros_like(total).index_add_(0, labels, w * seen)
    means = total / torch.where(mass > 0, mass, 1.0)
    return torch.where(seen, X, means.to(X)[labels])


def _cluster_means(X: Tensor, w: Tensor, blocks: tuple[Tensor, ...], means: Tensor | None) -> Tensor:
    centres = torch.zeros(len(blocks), X.shape[1], dtype=torch.float64, device=X.device)
    if means is not None:
        centres = means.double().clone()
    for k, rows in enumerate(blocks):
        mass = w[rows].sum()
        if mass > 0:
            centres[k] = (w[rows] / mass) @ X[rows].double()
    return centres


def _weighted_variance(rows: Tensor, w: Tensor, mean: Tensor) -> Tensor:
    mass = w.sum()
    if mass == 0:
        return torch.zeros_like(mean)
    return ((w / mass).to(rows) @ (rows - mean.to(rows)).square()).double()


def _principal_loadings(
    deviations: Tensor, mass: float, n_factors: int, variance: Tensor, generator: torch.Generator
) -> Tensor:
    """Loadings (D, q) of a cluster's deviations (n, D), already weighted by the root of each row's weight.

    Given the noise, the best loadings are principal components in units of it, ``Psi^(1/2) V (S^2 - 1)^(1/2)``
    (Joereskog, Psychometrika 32, 1967); given the loadings, the noise is what is left. A few turns, from noise that is
    what the other features do not explain, keep clear of the poor optima that EM falls into from the first components.
    """
    n_rows, n_features = deviations.shape
    size = torch.where(variance > 0, variance, 1.0).sqrt()
    axes = torch.randn(n_features, n_factors, generator=generator, dtype=torch.float64, device=generator.device)
    # A direction that holds no more than noise starts small, not at zero, where EM would leave it.
    start = 0.1 * axes.to(deviations.device) / n_features**0.5
    rank = min(n_factors, n_rows, n_features)
    if rank == 0 or mass == 0:
        return start * variance.sqrt()[:, None]
    standard = deviations / size.to(deviations)
    noise = _unique_share(standard, mass, n_factors)
    for _ in range(_TURNS):
        s, v = _top_singular(standard / noise.sqrt().to(deviations), rank, generator)
        signal = (s.double().square() / mass - 1).clamp(min=0)
        found = torch.where(signal > 1e-3, v.double() * signal.sqrt(), start[:, :rank]) * noise.sqrt()[:, None]
        noise = (1 - found.square().sum(1)).clamp(min=_SMALLEST_SHARE)
    start[:, :rank] = found
    return start * variance.sqrt()[:, None]


def _unique_share(standard: Tensor, mass: float, n_factors: int) -> Tensor:
    """Share (D,) of each feature's variance that the other features do not explain, ``1 / (R^-1)_dd``.

    R is the correlation matrix. Of many features a cluster's rows do not tell it, and it is one.
    """
    n_features = standard.shape[1]
    if n_features > _EXACT_SIZE:
        return torch.ones(n_features, dtype=torch.float64, device=standard.device)
    gram = standard.double().T @ standard.double()
    unit = torch.where(gram.diagonal() > 0, gram.diagonal(), 1.0).rsqrt()
    # Few rows explain a feature by chance: correlations shrink the more, the fewer rows there are to a feature.
    correlation = gram * unit[:, None] * unit / (1.00001 + (n_factors + 1) * n_features / mass**2)
    correlation.fill_diagonal_(1)
    return (1 / torch.linalg.inv(correlation).diagonal()).clamp(min=1e-3, max=1)


def _top_singular(matrix: Tensor, rank: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    if min(matrix.shape) <= max(_EXACT_SIZE, 4 * rank):
        _, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        return s[:rank], vh[:rank].T
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    devices = [matrix.device] if matrix.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        _, s, v = torch.svd_lowrank(matrix, q=rank + 6, niter=2)
    return s[:rank], v[:, :rank]


def _residual_noise(variances: Tensor, loadings: Tensor, count: Tensor, structure: Structure, floor: float) -> Tensor:
    noise = variances - loadings.square().sum(-1)
    noise = torch.maximum(noise, _SMALLEST_SHARE * variances)
    if structure.shared_noise:
        noise = ((count[:, None] * noise).sum(0) / count.sum())[None]
    if structure.isotropic_noise:
        noise = noise.mean(1, keepdim=True).expand_as(noise)
    return noise.clamp(min=max(floor, 1e-6)).contiguous()
