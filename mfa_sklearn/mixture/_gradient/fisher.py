"""The gradient of the log-likelihood where posteriors are sharp: one product finds the pairs, and only they are summed.

By Fisher's identity the gradient is that of the expected complete-data log-likelihood. With e = x - mu_k - W_k z at the
posterior mean z, responsibilities r (rows' weights included), mass_k = sum r, and the factorization in `lowrank`,

    d mu_k = Psi^-1 sum r e        d W_k = Psi^-1 sum r e z^T - mass_k B_k L_k^-1        d log w_k = mass_k
    2 d Psi_k = Psi^-2 sum r e^2 + mass_k (sum over factors of B_k^2 - Psi^-1)

where the parameters are taken as free; what ties or bounds them is the chain rule's. Automatic differentiation would
multiply all rows with all components once more, and go back through the factorization.

On a GPU the product with all components may round its factors to ten bits (TF32). It says which pairs there are and
where about z is; their densities follow from what is left over, in full precision, and are stationary in z.
Shapes: n rows, P pairs of a row and a component, K components, D features, q factors.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from .._model.density import Density, prepare, scores_and_log_joint
from .._model.pairs import Pairs, contenders, noise_of, normalize
from .._model.params import MFAParams
from .._model.rounding import TF32_EPS, coarse_products

# A pair's work, in units of what automatic differentiation does for a row and a component.
_PAIR_WORK = 16


def sharp_pays(n_pairs: int, n_rows: int, n_components: int) -> bool:
    """Whether going through pairs is less work than automatic differentiation over all components."""
    return _PAIR_WORK * n_pairs <= n_rows * n_components


@torch.no_grad()
def sharp_gradient(params: MFAParams, X: Tensor, weights: Tensor) -> tuple[Tensor, MFAParams, int]:
    """Weighted sum of the log densities of complete rows (n, D), its gradient, and how many pairs entered it."""
    density = prepare(params)
    pairs, residual = _find(density, X)
    responsibility, log_prob = normalize(pairs, len(X))
    gradient = _gradient(density, pairs, responsibility * weights[pairs.rows], residual)
    return weights @ log_prob, gradient, len(pairs.rows)


def _may_be_coarse(X: Tensor) -> bool:
    return X.is_cuda and X.dtype == torch.float32


def _axes(params: MFAParams) -> Tensor:
    """Loadings and, last, the mean of each component as rows, (K (q + 1), D)."""
    return torch.cat([params.loadings, params.means[:, :, None]], 2).mT.reshape(-1, params.means.shape[1])


def _find(density: Density, X: Tensor) -> tuple[Pairs, Tensor]:
    """The pairs that matter, and what each leaves over: ``x - mu - W z``, (P, D)."""
    coarse = _may_be_coarse(X)
    with coarse_products(X.device, coarse):
        u, joint = scores_and_log_joint(density, X)
    keep = contenders(density, X, joint, eps=TF32_EPS / 2 if coarse else None)
    components, rows = keep.T.nonzero(as_tuple=True)
    scores = (u[rows, :, components][:, None] @ density.cov.whitener[components])[:, 0]
    width = scores.shape[1] + 1
    places = components[:, None] * width + torch.arange(width, device=X.device)
    combine = torch.cat([scores, scores.new_ones(len(rows), 1)], 1)
    residual = X[rows] - embedding_bag(places, _axes(density.params), mode="sum", per_sample_weights=combine)
    distance = (residual.square() / noise_of(density, components)).sum(1) + scores.square().sum(1)
    counts = torch.bincount(components, minlength=joint.shape[1]).tolist()
    return Pairs(rows, components, counts, density.log_peak[components] - 0.5 * distance, scores), residual


def _gradient(density: Density, pairs: Pairs, r: Tensor, residual: Tensor) -> MFAParams:
    noise, basis = density.cov.noise_variance, density.cov.basis
    n_components, n_features, n_factors = basis.shape
    mass = r.new_zeros(n_components).index_add_(0, pairs.components, r)
    moments = _moments(pairs, r, residual).view(n_components, n_factors + 1, n_features)
    explained = mass[:, None] * basis.square().sum(2)
    if len(noise) == 1:
        square, mass_of_noise, explained = r[None] @ residual.square(), mass.sum(), explained.sum(0, keepdim=True)
    else:
        square = torch.zeros_like(noise).index_add_(0, pairs.components, r[:, None] * residual.square())
        mass_of_noise = mass[:, None]
    return MFAParams(
        mass,
        moments[:, -1] / noise,
        torch.baddbmm(
            moments[:, :-1].mT / noise[:, :, None], mass[:, None, None] * basis, density.cov.whitener, alpha=-1
        ),
        0.5 * (square / noise.square() + explained - mass_of_noise / noise),
    )


def _moments(pairs: Pairs, r: Tensor, residual: Tensor) -> Tensor:
    """``sum r e z^T`` and, last, ``sum r e`` of each component as rows, (K (q + 1), D)."""
    n_pairs, width = pairs.scores.shape[0], pairs.scores.shape[1] + 1
    counts = torch.tensor(pairs.counts, device=r.device).repeat_interleave(width)
    # A bag for each component and axis, of all the component's pairs.
    bags = pairs.components * width + torch.arange(width, device=r.device)[:, None]
    order = bags.reshape(-1).argsort(stable=True)
    weight = (torch.cat([pairs.scores, pairs.scores.new_ones(n_pairs, 1)], 1) * r[:, None]).T.reshape(-1)[order]
    members = order % max(n_pairs, 1)
    return embedding_bag(members, residual, counts.cumsum(0) - counts, mode="sum", per_sample_weights=weight)
