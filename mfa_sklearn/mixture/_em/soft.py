"""Expected statistics where posteriors are soft: dense matrix products, whatever the temperature.

At a temperature above one a row belongs to tens of components, and going through its pairs one by one costs far more
than the densities did. Moments of x itself need no deviations from each component's mean: with u = B^T (x - mu) and
r = p(k | x)^(1 / T), renormalized,

    sum r u x^T        sum r x        sum r x * x        sum r

are matrix products with all components side by side, and all other moments follow from them, u being linear in x.
`rebase` turns them into the moments of what is left over that `statistics` updates parameters from. Squares cancel on
the way, which single precision feels: good enough for a search, and not used at temperature one.
Shapes: n rows, K components, D features, q factors.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .._model.density import Density, prepare
from .._model.lowrank import explained
from .._model.params import MFAParams
from .._model.rounding import coarse_products, search_may_be_coarse
from .._rows import Batches
from .sharp import add_factor_covariance
from .statistics import Statistics, rebase, zero_statistics

# What an intermediate (n, (q + 1) K) may take: about a processor's outer cache, or enough to keep a GPU busy.
_CHUNK_BYTES = {"cpu": 16 * 2**20, "cuda": 2**29}


@torch.no_grad()
def soft_statistics(params: MFAParams, batches: Batches, rows: np.ndarray | None, temperature: float) -> Statistics:
    """Statistics of rows, all or by number, under all components at a temperature at which many matter."""
    density = prepare(params, batches.dtype)
    sums = SoftSums(density, temperature)
    with coarse_products(batches.device, search_may_be_coarse(density.precision, temperature)):
        for _, X, weights in batches.chunks(rows):
            for start in range(0, len(X), sums.step):
                some = slice(start, start + sums.step)
                sums.add(X[some], None if weights is None else weights[some])
    return sums.statistics(params)


class SoftSums:
    """Sums over rows, under all components."""

    def __init__(self, density: Density, temperature: float) -> None:
        n_components, n_features = density.params.means.shape
        self._density, self._temperature = density, temperature
        # After all axes the precision-weighted means, whose product with a row has no offset: (D, (q + 1) K).
        self._axes = torch.cat([density.basis.T, density.cross.T]).T
        self._offset = torch.cat([density.basis_offset, density.constant.new_zeros(n_components)])
        self._firsts = density.constant.new_zeros(self._axes.shape[1], n_features)
        self._squares = density.constant.new_zeros(n_components, n_features)
        self._mass = torch.zeros(n_components, dtype=torch.float64, device=density.constant.device)
        self._log_likelihood, self._weight = self._mass.new_zeros(()), self._mass.new_zeros(())
        row_bytes = self._axes.shape[1] * self._axes.element_size()
        self.step = max(64, _CHUNK_BYTES.get(self._axes.device.type, 2**24) // row_bytes)

    def add(self, X: Tensor, weights: Tensor | None) -> None:
        """Add rows (n, D) with weights (n,)."""
        d = self._density
        u = torch.addmm(self._offset, X, self._axes, beta=-1).view(len(X), -1, len(d.constant))  # (n, q + 1, K)
        squares = X.square()
        joint = explained(u[:, :-1]).sub_(squares @ d.precision).mul_(0.5)
        joint += u[:, -1] + d.constant
        log_prob = joint.logsumexp(1).double()
        r = joint.div_(self._temperature).softmax(1)
        if weights is not None:
            r *= weights[:, None].to(r)
            log_prob *= weights
        u[:, -1] = 1
        self._firsts.addmm_(u.mul_(r[:, None]).view(len(X), -1).T, X)
        self._squares.addmm_(r.T, squares)
        self._mass += r.sum(0, dtype=torch.float64)
        self._log_likelihood += log_prob.sum()
        self._weight += len(X) if weights is None else weights.sum()

    def statistics(self, params: MFAParams) -> Statistics:
        """What the sums amount to."""
        cov, mass = self._density.cov, self._mass
        whitener, basis = cov.whitener.double(), cov.basis.double()
        n_components, n_features, n_factors = basis.shape
        firsts = self._firsts.view(n_factors + 1, n_components, n_features).permute(1, 2, 0).double()
        cross, total = firsts[:, :, :-1], firsts[:, :, -1]  # sum r x u^T, sum r x
        mean_score = (params.means[:, None] @ basis)[:, 0]  # mu^T B
        score = (total[:, None] @ basis)[:, 0] - mass[:, None] * mean_score  # sum r u
        scatter = cross.mT @ basis - score[:, :, None] * mean_score[:, None]  # sum r u u^T
        about_origin = zero_statistics(params)._replace(
            mass=mass,
            residual=total,
            score=(score[:, None] @ whitener)[:, 0],
            cross=cross @ whitener,
            scatter=whitener.mT @ scatter @ whitener,
            square=self._squares.double(),
            log_likelihood=self._log_likelihood,
            weight=self._weight,
        )
        origin = params._replace(means=torch.zeros_like(params.means), loadings=torch.zeros_like(params.loadings))
        statistics = rebase(about_origin, origin, params)
        add_factor_covariance(self._density, statistics)
        return statistics
