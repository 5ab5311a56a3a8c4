"""How many rows of a wider pool the noise is lent: read off the data by leaving rows out.

The more alike the components' noise, and the fewer rows a component has, the more the pooled noise says about it. How
much is seen from rows that are left out one by one: a row of component k, with residual e, leverage h, factor scores z
and what these are uncertain by, v = diag(W M^-1 W^T), would have left the component

    S_k - e^2 / (1 - h) - v    of    n_k - 1 rows,    itself with    e^2 / (1 - h)^2 + v,    h = (1 + |z|^2) / n_k,

(Allen's prediction sum of squares, Technometrics 16, 1974), and `a` is what gives the rows the highest mean log density
under noise estimated without them. Hoffbeck & Landgrebe choose the share of the pooled covariance in a class's own so
("Covariance matrix estimation and classification with limited training data", IEEE Trans. PAMI 18, 1996). Estimates
from the spread of the components' variances alone, as in Smyth's model, come out ten times too low on activations,
whose rows have heavier tails than a Gaussian.

Shared noise is lent rows of the columns' variance in the same way; S is then what the rows of all components leave
over, and the leverage still that in the row's own.
Shapes: n rows, K components, D features, q factors; in a block, G components with m rows each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._model.blocks import with_filler
from .._model.density import Density, prepare
from .._model.missing import missing_rows
from .._model.pairs import Evaluated, evaluated, posterior_pairs
from .._model.params import MFAParams, Structure, mixture_moments
from .._model.prior import NoisePrior
from .._rows import Batches
from .statistics import Statistics, m_step

# Steps at temperature one after which the prior stays as it is: what it is read off has settled by then.
SETTLED_AFTER = 5
# Rows that are left out.
_SAMPLE_ROWS = 4000
# Rows to be lent, from none up to where only the pooled noise is left.
_GRID = (0.0, *(2.0**e for e in range(13)))
# The largest leverage of a row: above it, a component has too few rows for what is left of a row to mean much.
_LARGEST_LEVERAGE = 0.9


class FixedPrior:
    """A prior that stays as it is: by default none."""

    settled = True
    steps = 0  # made at temperature one

    def __init__(self, prior: NoisePrior | None = None) -> None:
        self.prior = prior

    def follow(self, params: MFAParams, take: Callable[[], Statistics]) -> None:
        """Learn nothing."""

    def go_on(self, prior: NoisePrior | None, steps: int) -> None:
        """Take over the prior of an earlier fit to the same rows, and how far it had settled."""
        self.prior, self.steps = prior, steps

    def state(self) -> tuple[Any, ...]:
        """What `go_on` takes, the prior as a plain tuple."""
        return None if self.prior is None else tuple(self.prior), self.steps

    def restore(self, state: tuple[Any, ...]) -> None:
        """Go on from such a state."""
        self.go_on(None if state[0] is None else NoisePrior(*state[0]), state[1])

    def log_density(self, params: MFAParams) -> float:
        """Log density of the noise under the prior, summed over components and features."""
        return 0.0 if self.prior is None else self.prior.log_density(params.noise_variance)


class LearnedPrior(FixedPrior):
    """The prior of the noise while a fit goes on: it follows the parameters for a few steps and then stays.

    Parameters
    ----------
    asked : "auto" or float
        Rows to be lent.
    batches : Batches
    structure : Structure
        With noise per component, or shared and diagonal.
    floor : float
        Smallest noise variance.
    rng : RandomState
        Draws the rows that are left out.
    n_factors : int
    """

    def __init__(
        self,
        asked: float | Literal["auto"],
        batches: Batches,
        structure: Structure,
        floor: float,
        rng: np.random.RandomState,
        n_factors: int,
    ) -> None:
        # Until it is known, as many rows as a component has parameters per feature: the loan of the start.
        rows = float(n_factors + 1) if asked == "auto" else float(asked)
        super().__init__(None if structure.shared_noise else NoisePrior(rows))
        self._rows, self._settled_after = rows, 1 if structure.shared_noise else SETTLED_AFTER
        self._asked, self._batches, self._structure, self._floor, self._rng = asked, batches, structure, floor, rng

    @property
    def settled(self) -> bool:  # type: ignore[override]
        """Whether the prior stays as it is, so that bounds may be compared."""
        return self.steps >= self._settled_after

    def follow(self, params: MFAParams, take: Callable[[], Statistics]) -> None:
        """Learn from statistics taken at parameters, at the first of these steps and when all has settled."""
        if self.settled:
            return
        self.steps += 1
        if self.steps not in (1, self._settled_after):
            return
        statistics, shared = take(), self._structure.shared_noise
        own = m_step(params, statistics, self._structure, self._floor)
        tied = self._structure._replace(shared_noise=True)
        wider = m_step(params, statistics, tied, self._floor).noise_variance[0]
        pooled = mixture_moments(own)[1] if shared else wider
        rows = self._rows
        if self._asked == "auto":
            rows = self._left_out(own, statistics.mass, pooled, rows)
        self.prior = None if shared and rows == 0 else NoisePrior(rows, pooled)

    def _left_out(self, params: MFAParams, mass: Tensor, pooled: Tensor, otherwise: float) -> float:
        size = _SAMPLE_ROWS * self._batches.n_features * self._batches.dtype.itemsize
        X, weights = self._batches.sampled(self._batches.draw(self._rng, size))

        def best() -> float:
            complete = ~missing_rows(X)
            if not bool(complete.any()):
                return otherwise
            some, isotropic = X[complete], self._structure.isotropic_noise
            w = torch.ones(len(some), device=X.device) if weights is None else weights[complete]
            return best_pseudo_rows(params, mass, pooled, some, w.to(some), isotropic, self._floor)

        return self._batches.group.decided(best)


@torch.no_grad()
def best_pseudo_rows(
    params: MFAParams, mass: Tensor, pooled: Tensor, X: Tensor, weights: Tensor, isotropic: bool, floor: float
) -> float:
    """Rows of the pooled noise under which rows that are left out one by one are most probable.

    Parameters
    ----------
    params : MFAParams
        With the noise, (K, D) or (1, D), of the rows alone.
    mass : Tensor (K,)
        Rows of each component.
    pooled : Tensor (D,)
    X, weights : Tensor (n, D), (n,)
        Complete rows of those fitted on.
    """
    density = prepare(params, X.dtype)
    pairs, responsibility, _ = posterior_pairs(density, X)
    weight = with_filler(responsibility * weights[pairs.rows], 0)
    # A component with hardly more rows than parameters says nothing without one of them.
    enough = mass > params.loadings.shape[2] + 2
    spread = factor_spread(density)
    noise = params.noise_variance
    behind = mass if len(noise) > 1 else mass.sum().expand_as(mass)
    loss = torch.zeros(len(_GRID), dtype=torch.float64, device=X.device)
    for block in evaluated(density, X, pairs.rows, pairs.counts):
        w = weight[block.place] * enough[block.components, None]
        loss += _losses(block, w, Known(mass, behind, noise.expand_as(spread), pooled, spread), isotropic, floor)
    return _lowest(loss.tolist())


class Known(NamedTuple):
    """What rows are left out of."""

    mass: Tensor  # (K,)
    behind: Tensor  # (K,)  rows that the noise is of
    noise: Tensor  # (K, D)  of each component's own rows
    pooled: Tensor  # (D,)
    spread: Tensor  # (K, D)  variance that comes of not knowing the factors


def factor_spread(density: Density) -> Tensor:
    """Variances (K, D) of ``W z`` given a row."""
    W = density.cov.loadings
    return (W @ density.cov.whitener.mT).square().sum(-1)


def _losses(block: Evaluated, weight: Tensor, known: Known, isotropic: bool, floor: float) -> Tensor:
    """Weighted sums of ``log psi + e^2 / psi`` over rows and features, noise estimated without the row, (grid,)."""
    k = block.components
    n, mass = known.behind[k, None, None].to(weight), known.mass[k, None, None].to(weight)
    leverage = ((1 + block.scores.square().sum(-1, keepdim=True)) / mass).clamp(max=_LARGEST_LEVERAGE)
    parts = block.squares, known.spread[k, None].to(weight), known.noise[k, None].to(weight), known.pooled.to(weight)
    # Noise that is alike in all features is what they are on average.
    n_alike = block.squares.shape[-1] if isotropic else 1
    squares, spread, own, pooled = (part.mean(-1, keepdim=True) if isotropic else part for part in parts)
    left = (n * own - squares / (1 - leverage) - spread).clamp(min=0)
    distance, losses = squares / (1 - leverage).square() + spread, []
    for a in _GRID:
        without = ((left + a * pooled) / (n - 1 + a)).clamp(min=floor)
        losses.append((weight * n_alike * (without.log() + distance / without).sum(-1)).sum(dtype=torch.float64))
    return torch.stack(losses)


def _lowest(losses: list[float]) -> float:
    """Where the losses on the grid are lowest; between its points by a parabola on the scale of logarithms."""
    best = int(np.argmin(losses))
    if best < 2 or best == len(_GRID) - 1:
        return _GRID[best]
    before, here, after = losses[best - 1 : best + 2]
    curvature = before - 2 * here + after
    shift = 0.5 * (before - after) / curvature if curvature > 0 else 0.0
    return _GRID[best] * 2.0**shift
