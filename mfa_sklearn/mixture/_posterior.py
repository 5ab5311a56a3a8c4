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

from . import _lowrank, _missing
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

    def where(self, kept: Tensor) -> Pairs:
        """The pairs (P,) that are kept."""
        counts = torch.bincount(self.components[kept], minlength=len(self.counts)).tolist()
        return Pairs(self.rows[kept], self.components[kept], counts, self.log_joint[kept], self.scores[kept])

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
    none = torch.empty(0, dtype=torch.int64, device=X.device)
    rows, components = [none], [none]
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
    """The pairs of rows `X`, their responsibilities (P,) and the rows' log densities (n,).

    Rows that miss values are evaluated on what they have, and their pairs merged with the others'.
    """
    if not _missing.has_missing(X):
        pairs = refine(density, X, *find_pairs(density, X, temperature))
    else:
        missing = _missing.missing_rows(X)
        full = (~missing).nonzero()[:, 0]
        rows, components = find_pairs(density, X[full], temperature)
        complete = refine(density, X[full], rows, components)
        pairs = _merge(
            complete._replace(rows=full[rows]), _incomplete_pairs(density, X, missing.nonzero()[:, 0], temperature)
        )
    return pairs, *normalise(pairs, len(X), temperature)


def _incomplete_pairs(density: Density, X: Tensor, rows: Tensor, temperature: float) -> Pairs:
    some = X[rows]
    joint = _missing.log_joint(density, some)
    margin = _MARGIN[X.dtype] if temperature == 1 else _TEMPERED_MARGIN * temperature
    components, place = (joint >= joint.amax(1, keepdim=True) - margin).T.nonzero(as_tuple=True)
    counts = torch.bincount(components, minlength=joint.shape[1]).tolist()
    scores = X.new_empty(len(place), density.cov.loadings.shape[2])
    pairs = Pairs(rows[place], components, counts, joint[place, components], scores)
    step = _missing.rows_at_once(density)
    for k, block in pairs.blocks():
        parts = [_missing.observe(density, chunk, k).scores for chunk in some[place[block]].split(step)]
        scores[block] = torch.cat(parts)
    return pairs


def _merge(one: Pairs, other: Pairs) -> Pairs:
    components, order = torch.cat([one.components, other.components]).sort(stable=True)
    return Pairs(
        torch.cat([one.rows, other.rows])[order],
        components,
        [a + b for a, b in zip(one.counts, other.counts, strict=True)],
        torch.cat([one.log_joint, other.log_joint])[order],
        torch.cat([one.scores, other.scores])[order],
    )


def factor_scores(density: Density, X: Tensor, component: int) -> Tensor:
    """Posterior means (n, q) of the factors of rows under one component, whatever values they miss."""
    scores = residuals(density, torch.nan_to_num(X), component)[0]
    if _missing.has_missing(X):
        missing = _missing.missing_rows(X)
        scores[missing] = _missing.observe(density, X[missing], component).scores
    return scores


def exact_log_joint(density: Density, X: Tensor) -> Tensor:
    """`log_joint` (n, K), with every pair that matters evaluated without cancellation."""
    if _missing.has_missing(X):
        missing = _missing.missing_rows(X)
        joint = X.new_empty(len(X), len(density.constant))
        joint[missing] = _missing.log_joint(density, X[missing])
        joint[~missing] = exact_log_joint(density, X[~missing])
        return joint
    joint = log_joint(density, X)
    keep = _contenders(density, X, joint, 1.0)
    components, rows = keep.T.nonzero(as_tuple=True)
    pairs = refine(density, X, rows, components)
    joint[pairs.rows, pairs.components] = pairs.log_joint
    return joint
