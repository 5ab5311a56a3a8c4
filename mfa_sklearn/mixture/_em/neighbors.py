"""Which components a row may belong to.

Most rows belong to one component, and which ones are worth a look changes little from one pass to the next. So each
row has a home, the component that suited it best when it was last seen, and is compared with the home's neighbors
only: components that suited the home's rows well in earlier passes, and a few that are tried. Homes and neighborhoods
are learned as the passes go (compare Exarchakis, Oubari & Lenz, "A sampling-based approach for efficient clustering in
large datasets", CVPR 2022, and Salwig et al., arXiv 2501.12299).
Shapes: n rows, K components, g candidates of a home, D features, q factors.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..._base.group import ALONE, AnyGroup

# Candidates that a home keeps from pass to pass, and those that it tries.
N_NEIGHBORS = 24
N_TRIED = 4


def pays(n_components: int) -> bool:
    """Whether a truncated pass does less work than an exact one; half its products' rate is lost to their size."""
    return n_components >= 3 * (N_NEIGHBORS + N_TRIED)


def with_some_tried(neighbors: Tensor, rng: np.random.RandomState) -> Tensor:
    """Candidates (K, g + tried): neighbors (K, g), then some of their neighbors and some at random.

    One that is there already may come again; a `Lookup` leaves it out.
    """
    n_components, g = neighbors.shape
    if n_components <= g:
        return neighbors

    def draw(high: int, n: int) -> Tensor:
        return torch.from_numpy(rng.randint(high, size=(n_components, n))).to(neighbors.device)

    n_random = max(1, N_TRIED // 4)
    via = neighbors.gather(1, draw(g, N_TRIED - n_random))
    return torch.cat([neighbors, neighbors[via, draw(g, via.shape[1])], draw(n_components, n_random)], 1)


class Closeness:
    """How much of the rows of each home its candidates (K, g) would hold, if posteriors were somewhat flatter.

    Parameters
    ----------
    candidates : Tensor (K, g)
        First the home itself.
    temperature : float
        What flattens the posteriors; near one, only a row's best component would count.
    """

    def __init__(self, candidates: Tensor, temperature: float) -> None:
        self._candidates, self._temperature = candidates, temperature
        # In double precision, so that which candidates are close does not depend on the order of the rows.
        self._share = torch.zeros(candidates.shape, dtype=torch.float64, device=candidates.device)

    def add(self, home: Tensor, joint: Tensor) -> None:
        """Take in log joint densities (n, g) of the candidates of homes (n,)."""
        self._share.index_add_(0, home, (joint / self._temperature).softmax(-1).double())

    def add_block(self, homes: Tensor, joint: Tensor, filled: Tensor) -> None:
        """The same in groups (G, m, g) of homes (G,); only what is filled (G, m) counts."""
        share = (joint / self._temperature).softmax(-1).double()
        self._share.index_add_(0, homes, (filled[:, None].double() @ share)[:, 0])

    def best(self, group: AnyGroup = ALONE) -> Tensor:
        """The home itself, then the candidates that hold most of all processes' rows, (K, N_NEIGHBORS)."""
        # A home without rows says nothing of its neighbors: they stay in order, as do equal ones.
        order = torch.arange(self._share.shape[1], device=self._share.device)
        share = group.sum(self._share)[0] - torch.finfo(torch.float32).tiny * order
        own = self._candidates == torch.arange(len(share), device=share.device)[:, None]
        # Once: a home that was tried again would take a place for good.
        share = torch.where(own & (own.cumsum(1) == 1), torch.inf, share)
        best = share.topk(min(N_NEIGHBORS, share.shape[1]), dim=1).indices
        return self._candidates.gather(1, best)
