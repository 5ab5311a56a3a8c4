"""Posteriors that keep only the components that matter for a row.

The posterior of a row over hundreds of components is nearly one-hot. A matrix product finds, for every row, the
components within rounding of mattering (`find_pairs`); only these (row, component) pairs are evaluated again, with
deviations taken first and squares never subtracted (`refine`), and only they enter the statistics. Nothing of size
n x K outlives a chunk, and in single precision the result is as exact as that of the direct formula.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from . import _lowrank
from ._model import Density, log_joint

# Components whose responsibility is below exp(-margin) contribute less than rounding.
_MARGIN = {torch.float32: 20.0, torch.float64: 40.0}
# At a temperature above one the posterior is a means of the search, not a result: this much is enough.
_TEMPERED_MARGIN = 5.0
_CHUNK_BYTES = 32 * 2**20


class Pairs(NamedTuple):
    """(row, component) pairs, sorted by component."""

    rows: Tensor  # (P,)  row of each pair
    components: Tensor  # (P,)  component of each pair, ascending
    counts: list[int]  # how many pairs each component has
    log_joint: Tensor  # (P,)
    scores: Tensor  # (P, q)  E[z | x, k]

    def blocks(self) -> Iterator[tuple[int, slice]]:
        """Components that have pairs, and where those stand."""
        start = 0
        for k, count in enumerate(self.counts):
            if count:
                yield k, slice(start, start + count)
            start += count


def chunk_rows(density: Density, itemsize: int) -> int:
    """How many rows to evaluate at once so that the intermediate (n, K (q + 1)) stays within its budget."""
    width = density.basis.shape[1] + 2 * len(density.constant)
    return max(16, min(8192, _CHUNK_BYTES // (itemsize * max(width, 1))))


def find_pairs(density: Density, X: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Rows and components of all pairs whose responsibility may matter, sorted by component."""
    rows, components = [], []
    step = chunk_rows(density, X.element_size())
    for start in range(0, len(X), step):
        chunk = X[start : start + step]
        keep = _contenders(density, chunk, log_joint(density, chunk), temperature)
        found = keep.nonzero()
        rows.append(found[:, 0] + start)
        components.append(found[:, 1])
    component, order = torch.cat(components).sort(stable=True)
    return torch.cat(rows)[order], component


def _contenders(density: Density, X: Tensor, joint: Tensor, temperature: float) -> Tensor:
    margin = _MARGIN[X.dtype] if temperature == 1 else _TEMPERED_MARGIN * temperature
    # The screening expands squares; its rounding error grows with the size of what cancels, for each component its own.
    error = 32 * torch.finfo(X.dtype).eps * (X.square() @ density.precision)  # (n, K) or (n, 1)
    return joint + error >= (joint - error).amax(1, keepdim=True) - margin


def refine(density: Density, X: Tensor, rows: Tensor, components: Tensor) -> Pairs:
    """Evaluate pairs without cancellation."""
    n_factors = density.cov.loadings.shape[2]
    counts = torch.bincount(components, minlength=len(density.constant)).tolist()
    pairs = Pairs(rows, components, counts, X.new_empty(len(rows)), X.new_empty(len(rows), n_factors))
    for k, block in pairs.blocks():
        z, residual = residuals(density, X[rows[block]], k)
        noise = density.cov.noise_variance[min(k, len(density.cov.noise_variance) - 1)]
        distance = (residual.square() @ (1 / noise)) + z.square().sum(1)
        pairs.log_joint[block] = density.log_peak[k] - 0.5 * distance
        pairs.scores[block] = z
    return pairs


def residuals(density: Density, X: Tensor, component: int) -> tuple[Tensor, Tensor]:
    """Factor scores z (n, q) of rows under one component, and what they leave: ``x - mu - W z`` (n, D)."""
    cov = density.cov
    deviations = X - density.params.means[component]
    z = _lowrank.scores_from_projection(_lowrank.select(cov, component), deviations[None] @ cov.basis[component])[0]
    return z, torch.addmm(deviations, z, cov.loadings[component].T, alpha=-1)


def normalise(pairs: Pairs, n_rows: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Responsibilities (P,) at a temperature, and log densities (n,) of the rows at temperature one."""
    log_prob = _logsumexp_by_row(pairs.log_joint, pairs.rows, n_rows)
    if temperature == 1:
        return (pairs.log_joint - log_prob[pairs.rows]).exp(), log_prob
    tempered = pairs.log_joint / temperature
    return (tempered - _logsumexp_by_row(tempered, pairs.rows, n_rows)[pairs.rows]).exp(), log_prob


def _logsumexp_by_row(values: Tensor, rows: Tensor, n_rows: int) -> Tensor:
    top = values.new_full((n_rows,), -torch.inf).scatter_reduce(0, rows, values, "amax")
    total = values.new_zeros(n_rows).index_add_(0, rows, (values - top[rows]).exp())
    return top + total.log()


def posterior_pairs(density: Density, X: Tensor, temperature: float = 1.0) -> tuple[Pairs, Tensor, Tensor]:
    """The pairs of rows `X`, their responsibilities (P,) and the rows' log densities (n,)."""
    pairs = refine(density, X, *find_pairs(density, X, temperature))
    return pairs, *normalise(pairs, len(X), temperature)


def exact_log_joint(density: Density, X: Tensor) -> Tensor:
    """`log_joint` (n, K), with every pair that matters evaluated without cancellation."""
    joint = log_joint(density, X)
    keep = _contenders(density, X, joint, 1.0)
    components, rows = keep.T.nonzero(as_tuple=True)
    pairs = refine(density, X, rows, components)
    joint[pairs.rows, pairs.components] = pairs.log_joint
    return joint
