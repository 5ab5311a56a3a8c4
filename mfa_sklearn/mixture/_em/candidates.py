"""Log joint densities of rows for the few components that each may belong to, by matrix products.

Rows come in groups, and each group has its candidates: all components, where there is one group of all rows, or a
component's neighbors, where rows are grouped by the component they belonged to last (`neighbors`). A pass over n
rows is then a few products of shape (m x D)(D x g (q + 1)) in place of one of (n x D)(D x K (q + 1)).
Shapes: n rows, K components, H groups, g candidates of a group, D features, q factors; in a block, G groups of m rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .._model.blocks import blocks, gather
from .._model.density import Density
from .._model.lowrank import explained
from .._model.pairs import rounding


class GroupBlock(NamedTuple):
    """A block of groups, padded to one number of rows."""

    groups: Tensor  # (G,)
    numbers: Tensor  # (G, m)  of the rows
    filled: Tensor  # (G, m)  false for padding
    rows: Tensor  # (G, m, D)
    candidates: Tensor  # (G, g)
    projections: Tensor  # (G, m, q + 1, g)  whitened scores u = B^T (x - mu), and last x^T Psi^-1 mu
    joint: Tensor  # (G, m, g)  log joint densities, minus infinity for a candidate that stands there twice
    error: Tensor  # (G, m, g) or (G, m, 1)  what rounding may have put them off by


class Lookup:
    """A mixture packed for a table of candidates (H, g), each group's own."""

    def __init__(self, density: Density, candidates: Tensor) -> None:
        self.density, self.candidates = density, candidates
        n_components, _, n_factors = density.cov.basis.shape
        # A candidate's axes and, last, its precision-weighted mean: (K, q + 1, D).
        self._axes = torch.cat([density.cov.basis.mT, density.cross.T[:, None]], 1)
        no_mean = density.constant.new_zeros(n_components, 1)
        self._offset = torch.cat([density.basis_offset.view(n_factors, n_components).T, no_mean], 1)
        earlier = (candidates[:, :, None] == candidates[:, None, :]).tril(-1)
        self.repeated = earlier.any(2)  # (H, g)

    def evaluate(self, X: Tensor, group: Tensor) -> Iterator[GroupBlock]:
        """All rows (n, D), each for the candidates of its group (n,)."""
        counts = torch.bincount(group, minlength=len(self.candidates)).tolist()
        for block in blocks(counts, X, group.sort(stable=True).indices):
            groups = block.components
            rows, chosen = gather(X, block.numbers), self.candidates[groups]
            projections = self._project(rows, chosen)
            joint, error = self._joint(rows, chosen, projections)
            joint.masked_fill_(self.repeated[groups][:, None], -torch.inf)
            yield GroupBlock(groups, block.numbers, block.place < len(X), rows, chosen, projections, joint, error)

    def _project(self, rows: Tensor, chosen: Tensor) -> Tensor:
        n_groups, g = chosen.shape
        width, n_features = self._axes.shape[1:]
        # Candidates side by side within each axis, so that the sum over axes goes over long runs.
        axis = torch.arange(width, device=rows.device)[None, :, None]
        flat = (chosen[:, None, :] * width + axis).reshape(-1)
        axes = self._axes.view(-1, n_features).index_select(0, flat).view(n_groups, width * g, n_features)
        offset = self._offset.view(-1)[flat].view(n_groups, 1, width * g)
        return torch.baddbmm(offset, rows, axes.mT, beta=-1).view(n_groups, -1, width, g)

    def _joint(self, rows: Tensor, chosen: Tensor, projections: Tensor) -> tuple[Tensor, Tensor]:
        d = self.density
        twice = explained(projections[:, :, :-1])
        squares = rows.square()
        sizes = squares @ (d.precision if d.precision.shape[1] == 1 else d.precision.T[chosen].mT)
        joint = d.constant[chosen][:, None] + projections[:, :, -1] + twice.sub_(sizes).mul_(0.5)
        return joint, rounding(d, sizes, chosen[:, None])
