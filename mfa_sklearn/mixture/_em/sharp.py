"""The E-step: expected statistics of rows under fixed parameters, by pairs of a row and a component that matter.

A row that a single component claims, as nearly all do at temperature one, has its responsibility before anything is
normalized, so its residuals enter the sums while they are evaluated. Only rows that several components contest are
evaluated, normalized and gone through once more.
Shapes: n rows, K components, D features, q factors; in a block, G components with m pairs each.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .._model.blocks import slices, with_filler
from .._model.density import Density
from .._model.missing import has_missing, missing_moments, missing_rows
from .._model.pairs import (
    Evaluated,
    Pairs,
    PairValues,
    count_pairs,
    evaluated,
    find_pairs,
    normalize,
    posterior_pairs,
    refine,
)
from .statistics import Statistics, zero_statistics


class Claims(NamedTuple):
    """Which components claim which rows."""

    alone: Pairs  # of rows that have one pair, so that its responsibility is one
    contested: Pairs  # of rows that have several
    responsibility: Tensor  # of the contested pairs
    log_prob: Tensor  # (n,)  log densities of the rows, by their pairs


class SharpSums:
    """Expected statistics, row by row added up."""

    def __init__(self, density: Density) -> None:
        K, D, q = density.params.loadings.shape
        device = density.constant.device

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self._density = density
        self._firsts = zeros(K, q + 1, D)  # sum r z e^T and, last, sum r e
        self._seconds = zeros(K, q + 1, q)  # sum r z z^T and, last, sum r z
        self._squares, self._mass = zeros(K, D), zeros(K)
        self._log_likelihood, self._weight = zeros(), zeros()
        self._incomplete: Statistics | None = None  # what rows that miss values amount to

    def add(self, X: Tensor, weights: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Add rows (n, D), which may miss values, under all components; their log densities (n,)."""
        if not has_missing(X):
            return self.add_pairs(X, weights, *find_pairs(self._density, X, temperature), temperature).log_prob
        pairs, responsibility, log_prob = posterior_pairs(self._density, X, temperature)
        if weights is not None:
            responsibility = responsibility * weights[pairs.rows].to(responsibility)
        missing = missing_rows(X)[pairs.rows]
        self._add_evaluated(X, pairs.where(~missing), responsibility[~missing])
        self._add_incomplete(X, pairs.where(missing), responsibility[missing])
        self._add_log_prob(log_prob, weights)
        return log_prob

    def add_pairs(
        self, X: Tensor, weights: Tensor | None, rows: Tensor, components: Tensor, temperature: float = 1.0
    ) -> Claims:
        """Add complete rows (n, D) under given components: pairs (P,) by component, at least one of each row."""
        single = torch.bincount(rows, minlength=len(X))[rows] == 1
        alone = self._add_alone(X, weights, rows[single], components[single])
        contested = refine(self._density, X, rows[~single], components[~single])
        responsibility, log_prob = normalize(contested, len(X), temperature)
        log_prob[alone.rows] = alone.log_joint
        weighted = responsibility if weights is None else responsibility * weights[contested.rows].to(responsibility)
        self._add_evaluated(X, contested, weighted)
        self._add_log_prob(log_prob, weights)
        return Claims(alone, contested, responsibility, log_prob)

    def _add_alone(self, X: Tensor, weights: Tensor | None, rows: Tensor, components: Tensor) -> Pairs:
        weight = with_filler(X.new_ones(len(rows)) if weights is None else weights[rows].to(X), 0)
        counts = count_pairs(self._density, components)
        values = PairValues(len(rows), self._seconds.shape[2], X)
        for block in evaluated(self._density, X, rows, counts):
            values.put(block)
            self._add_block(block, weight[block.place])
        return values.pairs(rows, components, counts)

    def _add_evaluated(self, X: Tensor, pairs: Pairs, responsibility: Tensor) -> None:
        """Add complete pairs whose responsibilities (P,), times weights, are known."""
        weight = with_filler(responsibility, 0)
        for block in evaluated(self._density, X, pairs.rows, pairs.counts):
            self._add_block(block, weight[block.place])

    def _add_block(self, block: Evaluated, weight: Tensor) -> None:
        """Add a block of pairs with weights (G, m), zero for what only fills it."""
        r, components, z = weight[:, None], block.components, block.scores
        weighted, residual = torch.cat([r * z.mT, r], 1), block.residual  # (G, q + 1, m)
        if self._density.any_delicate and bool(self._density.delicate[components].any()):
            weighted, residual, z = weighted.double(), residual.double(), z.double()
        self._firsts.index_add_(0, components, (weighted @ residual).double())
        self._seconds.index_add_(0, components, (weighted @ z).double())
        self._squares.index_add_(0, components, (r @ block.squares)[:, 0].double())
        self._mass.index_add_(0, components, r.sum((1, 2), dtype=torch.float64))

    def _add_incomplete(self, X: Tensor, pairs: Pairs, responsibility: Tensor) -> None:
        if self._incomplete is None:
            self._incomplete = zero_statistics(self._density.params)
        for k, block in pairs.runs():
            r = responsibility[block]
            self._incomplete.mass[k] += r.sum(dtype=torch.float64)
            for name, value in missing_moments(self._density, X[pairs.rows[block]], k, r)._asdict().items():
                getattr(self._incomplete, name)[k] += value

    def _add_log_prob(self, log_prob: Tensor, weights: Tensor | None) -> None:
        double = log_prob.double()
        self._log_likelihood += double.sum() if weights is None else weights.double() @ double
        self._weight += len(log_prob) if weights is None else weights.double().sum()

    def statistics(self) -> Statistics:
        """What the sums amount to; it takes their place, so nothing can be added any more."""
        complete = Statistics(
            mass=self._mass,
            residual=self._firsts[:, -1],
            score=self._seconds[:, -1],
            cross=self._firsts[:, :-1].mT,
            scatter=self._seconds[:, :-1],
            square=self._squares,
            log_likelihood=self._log_likelihood,
            weight=self._weight,
        )
        add_factor_covariance(self._density, complete)
        return complete if self._incomplete is None else complete + self._incomplete


def add_factor_covariance(density: Density, means: Statistics) -> None:
    """Turn statistics of the factors' posterior means into those of the factors, in place."""
    # E[z z^T] = z z^T + M^-1, hence E[e z^T] = e z^T - W M^-1 and E[e^2] = e^2 + diag(W M^-1 W^T)
    cov = density.cov
    n_components, n_features, n_factors = cov.loadings.shape
    whitener = cov.whitener.double()
    covariance = means.mass[:, None, None] * (whitener.mT @ whitener)
    means.scatter.add_(covariance)
    # What a factor that the rows do not span is divided by is its posterior variance alone, and has to match.
    exact = torch.float64 if density.any_delicate else cov.loadings.dtype
    for some in slices(n_components, n_features * n_factors, means.cross):
        W = cov.loadings[some].mT.to(exact)
        spread = covariance[some].to(W) @ W
        means.cross[some].mT.sub_(spread)
        means.square[some].add_(spread.mul_(W).sum(1))
