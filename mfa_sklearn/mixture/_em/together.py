"""Statistics of the rows of all processes, and the M-step that they make of them.

Small mixtures are summed whole, and every process makes the same M-step. Of large ones each process sums, and makes the
M-step of, its own share of the components only, and the parameters are gathered: what is sent is the same, the work and
the memory are divided.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..._base.group import AnyGroup
from .._model.params import MFAParams, Structure
from .._model.prior import NoisePrior
from .statistics import Statistics, m_step

# Numbers in the statistics from which the M-step is shared out: below, the exchanges take longer than they save.
_SHARED_FROM = 2**19


class Together:
    """What the processes of a group have found of their rows.

    Parameters
    ----------
    mine : Statistics
        Of this process's rows.
    group : Alone or Group
    structure : Structure

    Attributes
    ----------
    mass : Tensor (K,)
    log_likelihood, weight : Tensor ()
        As in `Statistics`, of all rows.
    """

    def __init__(self, mine: Statistics, group: AnyGroup, structure: Structure) -> None:
        self._mine, self._group, self._structure = mine, group, structure
        self._shared = _is_shared(mine, group, structure)
        self._whole: Statistics | None = None if self._shared else mine.summed(group)
        if self._whole is not None:
            self.mass, self.log_likelihood, self.weight = self._whole.mass, *self._whole[-2:]
        else:
            self.mass, self.log_likelihood, self.weight = group.sum(mine.mass, *mine[-2:])

    def whole(self) -> Statistics:
        """Statistics of all rows."""
        if self._whole is None:
            self._whole = self._mine.summed(self._group)
        return self._whole

    def m_step(self, params: MFAParams, floor: Tensor | float, prior: NoisePrior | None) -> MFAParams:
        """Parameters that maximize the expected complete-data log-likelihood of all rows, and the prior."""
        if not self._shared:
            return m_step(params, self.whole(), self._structure, floor, prior)
        group, own = self._group, self._group.own(len(self.mass))
        mine, ends = self._mine, (self.log_likelihood, self.weight)
        # Cross moments as they lie in memory: factor by factor, as loadings do.
        summed = group.sum_own(mine.residual, mine.score, mine.cross.mT, mine.scatter, mine.square)
        residual, score, cross, scatter, square = summed
        statistics = Statistics(self.mass[own], residual, score, cross.mT, scatter, square, *ends)
        found = m_step(_of(params, own), statistics, self._structure, floor, prior, group)
        weights = self.mass.clamp(min=torch.finfo(torch.float64).tiny)
        return MFAParams(
            (weights / weights.sum()).log(),
            group.all_gather(found.means),
            group.all_gather(found.loadings.mT).mT,
            found.noise_variance if self._structure.shared_noise else group.all_gather(found.noise_variance),
        )


def _is_shared(mine: Statistics, group: AnyGroup, structure: Structure) -> bool:
    """Whether each process is to make the M-step of some components; common loadings are made of all."""
    enough = len(mine.mass) >= group.size > 1 and sum(moment.numel() for moment in mine) >= _SHARED_FROM
    return enough and not structure.common_loadings


def _of(params: MFAParams, own: slice) -> MFAParams:
    noise = params.noise_variance
    return MFAParams(
        params.log_weights[own], params.means[own], params.loadings[own], noise if len(noise) == 1 else noise[own]
    )
