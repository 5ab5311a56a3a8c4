"""Expected statistics where posteriors are soft: dense matrix products, whatever the temperature.

At a temperature above one a row belongs to tens of components, and going through its pairs one by one costs far more
than the densities did. Moments of x itself need no deviations from each component's mean: with u = B^T (x - mu) and
r = p(k | x)^(1 / T), renormalized,

    sum r u x^T        sum r x        sum r x * x        sum r

are matrix products with all components side by side, and all other moments follow from them, u being linear in x.
`rebase` turns them into the moments of what is left over that `statistics` works with. Squares cancel on the way, which
single precision feels: good enough for a search, and not used at temperature one. It is not good enough for a component
of a few rows with little noise of its own. What its factors span exceeds that noise so far that what is left of a
direction without rows is rounding, and the M-step divides by it. These few components are summed in double precision.
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
    sums = SoftSums(params, batches.dtype, temperature)
    with coarse_products(batches.device, search_may_be_coarse(sums.precision, temperature)):
        for _, X, weights in batches.chunks(rows):
            for start in range(0, len(X), sums.step):
                some = slice(start, start + sums.step)
                sums.add(X[some], None if weights is None else weights[some])
    return sums.statistics()


class SoftSums:
    """Sums over rows, under all components.

    Components whose squares cancel below the digits of the rows, few if any, are summed in double precision.

    Parameters
    ----------
    params : MFAParams
    dtype : torch.dtype
        Of the rows.
    temperature : float
    """

    def __init__(self, params: MFAParams, dtype: torch.dtype, temperature: float) -> None:
        density = prepare(params, dtype)
        self._params, self._temperature, self.precision = params, temperature, density.precision
        self._log_likelihood = torch.zeros((), dtype=torch.float64, device=params.means.device)
        self._weight = torch.zeros_like(self._log_likelihood)
        single = dtype != torch.float64 and density.any_delicate
        split = single and not bool(density.delicate.all())
        # The components of each part, where there are two: those in the rows' precision, and those in double.
        self._members = [m.nonzero()[:, 0] for m in (~density.delicate, density.delicate)] if split else []
        if split:
            most, few = (_of(params, members) for members in self._members)
            self._parts = [PartSums(most, prepare(most, dtype)), PartSums(few, prepare(few))]
        else:
            self._parts = [PartSums(params, prepare(params) if single else density)]
        row_bytes = sum(part.row_bytes for part in self._parts)
        self.step = max(64, _CHUNK_BYTES.get(params.means.device.type, 2**24) // row_bytes)

    def add(self, X: Tensor, weights: Tensor | None) -> None:
        """Add rows (n, D) with weights (n,)."""
        joints = [part.compare(X) for part in self._parts]
        joint = joints[0] if len(joints) == 1 else torch.cat([j.to(X) for j in joints], 1)
        log_prob = joint.logsumexp(1).double()
        r = joint.div_(self._temperature).softmax(1)
        if weights is not None:
            r *= weights[:, None].to(r)
            log_prob *= weights
        for part, share in zip(self._parts, r.split([j.shape[1] for j in joints], 1), strict=True):
            part.add(share)
        self._log_likelihood += log_prob.sum()
        self._weight += len(X) if weights is None else weights.sum()

    def statistics(self) -> Statistics:
        """What the sums amount to."""
        whole = self._parts[0].statistics() if not self._members else zero_statistics(self._params)
        for members, part in zip(self._members, self._parts, strict=False):
            for total, moment in zip(whole, part.statistics(), strict=True):
                if total.ndim:
                    total[members] = moment
        return whole._replace(log_likelihood=self._log_likelihood, weight=self._weight)


def _of(params: MFAParams, members: Tensor) -> MFAParams:
    """The parameters of some components."""
    noise = params.noise_variance if len(params.noise_variance) == 1 else params.noise_variance[members]
    return MFAParams(params.log_weights[members], params.means[members], params.loadings[members], noise)


class PartSums:
    """Sums over rows under some of the components, in a precision of their own.

    Parameters
    ----------
    params : MFAParams
        Of these components, in double precision.
    density : Density
        The same, prepared.
    """

    def __init__(self, params: MFAParams, density: Density) -> None:
        n_components, n_features = density.params.means.shape
        self._params, self._density = params, density
        # After all axes the precision-weighted means, whose product with a row has no offset: (D, (q + 1) K).
        self._axes = torch.cat([density.basis.T, density.cross.T]).T
        self._offset = torch.cat([density.basis_offset, density.constant.new_zeros(n_components)])
        self._firsts = density.constant.new_zeros(self._axes.shape[1], n_features)
        self._squares = density.constant.new_zeros(n_components, n_features)
        self._mass = torch.zeros(n_components, dtype=torch.float64, device=density.constant.device)
        self._rows: tuple[Tensor, Tensor, Tensor] | None = None  # rows, their squares and scores, being compared
        self.row_bytes = self._axes.shape[1] * self._axes.element_size()

    def compare(self, X: Tensor) -> Tensor:
        """Log joint densities (n, K) of rows (n, D), which are to be added next."""
        d, X = self._density, X.to(self._axes)
        u = torch.addmm(self._offset, X, self._axes, beta=-1).view(len(X), -1, len(d.constant))  # (n, q + 1, K)
        squares = X.square()
        joint = explained(u[:, :-1]).sub_(squares @ d.precision).mul_(0.5)
        joint += u[:, -1] + d.constant
        self._rows = X, squares, u
        return joint

    def add(self, r: Tensor) -> None:
        """Add the rows last compared, with responsibilities times weights (n, K)."""
        assert self._rows is not None
        (X, squares, u), self._rows = self._rows, None
        self._mass += r.sum(0, dtype=torch.float64)
        r, u[:, -1] = r.to(X), 1
        self._firsts.addmm_(u.mul_(r[:, None]).view(len(X), -1).T, X)
        self._squares.addmm_(r.T, squares)

    def statistics(self) -> Statistics:
        """What the sums amount to, without log-likelihood and weight."""
        params, cov, mass = self._params, self._density.cov, self._mass
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
        )
        origin = params._replace(means=torch.zeros_like(params.means), loadings=torch.zeros_like(params.loadings))
        statistics = rebase(about_origin, origin, params)
        add_factor_covariance(self._density, statistics)
        return statistics
