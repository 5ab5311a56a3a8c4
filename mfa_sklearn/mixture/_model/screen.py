"""Fewer components to evaluate a row under, by proof: seen from a few directions nothing is farther than it is.

With any R (D, d), the Mahalanobis distance of x R from the marginal N(mu_k R, R^T Sigma_k R) is at most that of x from
N(mu_k, Sigma_k), and replacing the covariance by a larger one makes it shorter still. So

    log w_k + log N(x | k)  <=  log w_k + log N(mu_k | k) - 1/2 delta_k(x R)^2

where delta_k is taken under ``nu_k I + (R^T W_k)(R^T W_k)^T``, nu_k the largest eigenvalue of R^T Psi_k R: a mixture of
factor analyzers in d dimensions. A row's components whose bound is too far below what the best has for certain need
no evaluation. The directions are those in which the mixture varies most, in units of its noise. A mixture whose
components are close together, or too few, is not worth it; a sample of the rows says so.
Shapes: n rows, K components, D features, d directions.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from .density import Density, log_joint, prepare
from .missing import missing_rows
from .pairs import Pairs, Search, chunk_rows, compare_with_all, margin_of, merge, refine, rounding
from .params import MFAParams

# Numbers of directions to choose from, as shares of the features, descending.
_SHARES = (1 / 3, 1 / 4, 1 / 6, 1 / 8, 1 / 12)
# Rows that say what a screen is worth, and what it must save.
_SAMPLE = 256
_LEAST_SAVING = 0.2
# What evaluating a pair of a row and a component on its own costs, in terms of one among all in a product.
_PAIR_COST = 16
# Rows times axes of all components, per squared feature, from which choosing takes a twentieth of the work or less.
_LEAST_WORK = 1000
# What the bounds of some rows may take.
_BOUND_BYTES = 64 * 2**20


class Screen:
    """Finds and evaluates the pairs that matter among those whose bound says that they may.

    Parameters
    ----------
    density : Density
    directions : Tensor (D, d)
        Any; linearly independent.
    """

    def __init__(self, density: Density, directions: Tensor) -> None:
        self._density, self._directions = density, directions
        params, noise = density.params, density.cov.noise_variance
        seen = torch.einsum("di,kd,dj->kij", directions, noise, directions)
        largest = torch.linalg.eigvalsh(seen.double())[:, -1:].to(noise)
        marginal = MFAParams(
            params.log_weights,
            (params.means.double() @ directions.double()).to(noise),
            (params.loadings.mT @ directions).mT,
            largest.expand(-1, directions.shape[1]),
        )
        bounds = prepare(marginal)
        # Projecting rounds in proportion to the whole row, of which the directions may see but little.
        self._units = directions.square().sum(1)
        self._bounds = replace(
            bounds,
            # The height of the peak is that of the whole density.
            constant=bounds.constant - bounds.log_peak + density.log_peak,
            mean_squares=params.means.square() @ self._units / largest[:, 0],
        )

    @torch.no_grad()
    def bounds(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """No less than the log joint densities (n, K) of rows (n, D), but for an error of rounding (n, K) or (n, 1)."""
        seen = X @ self._directions
        bound = X.new_empty(len(X), len(self._bounds.constant))
        step = chunk_rows(self._bounds, X.element_size())
        for start in range(0, len(X), step):
            some = slice(start, start + step)
            bound[some] = log_joint(self._bounds, seen[some])
        whole = (X.square() @ self._units)[:, None]
        return bound, rounding(self._bounds, whole * self._bounds.precision[:1])

    @torch.no_grad()
    def __call__(self, X: Tensor) -> Pairs:
        """The pairs of complete rows (n, D) that matter, evaluated without cancellation."""
        size = max(1, _BOUND_BYTES // (X.element_size() * len(self._density.constant)))
        parts = []
        for start in range(0, max(1, len(X)), size):
            pairs = self._some(X[start : start + size])
            parts.append(pairs._replace(rows=pairs.rows + start))
        return merge(parts)

    def _some(self, X: Tensor) -> Pairs:
        bound, error = self.bounds(X)
        likely, rows = (bound if error.shape[1] == 1 else bound - error).argmax(1).sort(stable=True)
        first = refine(self._density, X, rows, likely)
        certain = first.log_joint.new_empty(len(X))
        certain[rows] = first.log_joint
        bound[rows, likely] = -torch.inf
        components, rows = (bound >= (certain - margin_of(X, 1.0))[:, None] - error).T.nonzero(as_tuple=True)
        pairs = merge([first, refine(self._density, X, rows, components)])
        best = certain.scatter_reduce(0, pairs.rows, pairs.log_joint, "amax")
        return pairs.where(pairs.log_joint >= best[pairs.rows] - margin_of(X, 1.0))


def directions(density: Density) -> Tensor:
    """All directions (D, D), those in which the mixture varies most first, in units of its noise."""
    params = density.params
    weights = params.log_weights.double().exp()
    noise = density.cov.noise_variance.double()
    # The geometric mean: larger noise elsewhere should not hide what a component with little noise tells apart.
    scale = ((weights[:, None] * noise.log().expand(len(weights), -1)).sum(0) / 2).exp()
    means = (params.means - weights @ params.means.double()) / scale
    axes = (params.loadings.mT.double() / scale * weights.sqrt()[:, None, None]).flatten(0, 1)
    between = (weights[:, None] * means).T @ means
    vectors = torch.linalg.eigh(between + axes.T @ axes).eigenvectors.flip(1)
    return (vectors / scale[:, None]).to(params.means)


@torch.no_grad()
def best_search(density: Density, X: Tensor, n_rows: int) -> Search:
    """What finds the pairs of `n_rows` rows like those of `X` with the least work: a screen, or comparing with all."""
    everything = partial(compare_with_all, density)
    n_components, n_features, n_factors = density.cov.loadings.shape
    width = n_components * (n_factors + 1)
    # On a GPU products are so much faster than anything else that nothing pays.
    if X.device.type != "cpu" or n_components < 4 * _PAIR_COST or n_rows * width < _LEAST_WORK * n_features**2:
        return everything
    complete = (~missing_rows(X)).nonzero()[:, 0]
    if not len(complete):
        return everything
    sample = X[complete[:: -(-len(complete) // _SAMPLE)]]
    joint = log_joint(density, sample)
    least = joint.amax(1, keepdim=True) - margin_of(X, 1.0)
    pair = _PAIR_COST * n_features / len(sample)
    cost = n_components * n_features + pair * int((joint >= least).sum())
    chosen: Search = everything
    cost *= 1 - _LEAST_SAVING
    ordered = directions(density)
    for n_directions in (math.ceil(share * n_features) for share in _SHARES):
        screen = Screen(density, ordered[:, :n_directions])
        bound, error = screen.bounds(sample)
        left = pair * int((bound + error >= least).sum())
        if left >= cost:  # fewer directions leave more
            break
        if left + n_components * n_directions < cost:
            chosen, cost = screen, left + n_components * n_directions
    return chosen
