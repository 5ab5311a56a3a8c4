"""Moves of whole components: one that is hardly missed is taken where another should be two.

EM moves components continuously and cannot take one past others to where rows need it. Once it has settled, every
component k is asked two things about the rows that it suits best: what they would lose if it were gone and the next
best component took them, ::

    cost_k = sum log(1 + p(x, k) / p(x, next best)),

and what they would gain if it were two, one for each half of them, with the half's principal components as loadings, ::

    gain_k = sum log p(x, own half) - log p(x).

The best gains are paired with the least costs as long as they exceed them, and EM goes on from there. Both are
estimates before the others adapt, so a round of moves counts only if the bound has risen when EM has settled again
(Ueda, Nakano, Ghahramani & Hinton, "SMEM algorithm for mixture models", Neural Comput. 12, 2000, who merge pairs and
judge by local densities). Shapes: n rows, K components, D features, q factors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._model.density import Density, prepare
from .._model.pairs import compared, noise_of, refine
from .._model.params import MFAParams, Structure
from .._rows import SAMPLE_BYTES, Batches
from .._start.clusters import params_from_labels

# Rows that moves are judged by, and rows per component if that is more.
_LEAST_ROWS, _ROWS_PER_COMPONENT = 10_000, 100
# Rows per parameter of a feature that a half must have.
_ROWS_PER_PARAMETER = 3
# The largest share of the components that change places at a time.
_MOST = 0.2
# Steps of the power iteration, and of k-means with two centers, that halve a component's rows.
_DIRECTION_STEPS, _HALVING_STEPS = 6, 4


class Move(NamedTuple):
    """Parameters after some components have been split in two, each with another one taken for its second half."""

    params: MFAParams
    split: list[int]
    taken: list[int]


class Moves:
    """Proposes better places for a few components.

    Parameters
    ----------
    batches : Batches
        Of complete rows.
    structure : Structure
        With loadings of each component's own.
    floor : float
        Smallest noise variance.
    rng : RandomState
    """

    def __init__(self, batches: Batches, structure: Structure, floor: float, rng: np.random.RandomState) -> None:
        self._batches, self._structure, self._floor, self._rng = batches, structure, floor, rng

    def propose(self, params: MFAParams) -> Move | None:
        """A few components put at other places; None where nothing is to be gained."""
        n_rows = max(_LEAST_ROWS, _ROWS_PER_COMPONENT * len(params.means))
        size = n_rows * self._batches.n_features * self._batches.dtype.itemsize
        rows = self._batches.draw(self._rng, min(size, SAMPLE_BYTES))
        X, weights = self._batches.sampled(rows)
        w = torch.ones(len(X), dtype=torch.float64, device=X.device) if weights is None else weights.double()
        seed = int(self._rng.randint(2**31 - 1))
        return self._batches.group.decided(lambda: moved(params, X, w, self._structure, self._floor, seed))


@torch.no_grad()
def moved(params: MFAParams, X: Tensor, weights: Tensor, structure: Structure, floor: float, seed: int) -> Move | None:
    """What rows (n, D) of weights (n,) speak for; None if it is nothing."""
    n_components, _, n_factors = params.loadings.shape
    density = prepare(params, X.dtype)
    home, lead, log_prob = _homes(density, X)
    cost = _by_component(home, weights * torch.nn.functional.softplus(lead), n_components)
    labels = 2 * home + _halves(density, X, home, seed)
    counts = _by_component(labels, weights, 2 * n_components)
    halves = _half_params(params, X, labels, weights, structure, floor, seed)
    order = labels.sort(stable=True).indices
    pairs = refine(prepare(halves, X.dtype), X, order, labels[order])
    gain = _by_component(home[order], weights[order] * (pairs.log_joint - log_prob[order]).double(), n_components)
    enough = counts.view(-1, 2).amin(1) >= _ROWS_PER_PARAMETER * (n_factors + 1) * weights.mean()
    chosen = _paired(torch.where(enough, gain, -torch.inf).tolist(), cost.tolist())
    return Move(_with(params, halves, chosen), *map(list, zip(*chosen, strict=True))) if chosen else None


def _homes(density: Density, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Best component (n,) of each row, by how much it is better than the next, and log densities (n,)."""
    parts = []
    for _, _, joint in compared(density, X):
        best = joint.topk(2, dim=1)
        parts.append((best.indices[:, 0], best.values[:, 0] - best.values[:, 1], joint.logsumexp(1)))
    home, lead, log_prob = map(torch.cat, zip(*parts, strict=True))
    return home, lead, log_prob


def _by_component(components: Tensor, values: Tensor, n_components: int) -> Tensor:
    total = torch.zeros(n_components, dtype=torch.float64, device=values.device)
    return total.index_add_(0, components, values.double())


def _halves(density: Density, X: Tensor, home: Tensor, seed: int) -> Tensor:
    """Zero or one for each row (n,): k-means with two centers among a component's rows, in units of its noise."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(X.shape[1], generator=generator, dtype=torch.float64).to(X)
    half = torch.zeros_like(home)
    for k, rows in enumerate(home.sort(stable=True).indices.split(torch.bincount(home).tolist())):
        if len(rows) > 1:
            one = torch.tensor([k], device=X.device)
            half[rows] = _halved((X[rows] - density.params.means[k]) / noise_of(density, one).sqrt(), start)
    return half


def _halved(Y: Tensor, start: Tensor) -> Tensor:
    """Labels (m,) of rows (m, D) by two means, which start on either side of the mean along the leading direction."""
    Y, direction = Y - Y.mean(0), start
    for _ in range(_DIRECTION_STEPS):
        direction = Y.T @ (Y @ direction)
        direction = direction / direction.norm().clamp(min=torch.finfo(Y.dtype).tiny)
    label = Y @ direction > 0
    for _ in range(_HALVING_STEPS):
        if bool(label.all()) or not bool(label.any()):
            break
        one, other = Y[label].mean(0), Y[~label].mean(0)
        label = Y @ (one - other) > (one.square().sum() - other.square().sum()) / 2
    return label.long()


def _half_params(
    params: MFAParams, X: Tensor, labels: Tensor, weights: Tensor, structure: Structure, floor: float, seed: int
) -> MFAParams:
    """Parameters of 2 K halves as a mixture."""
    n_components, _, n_factors = params.loadings.shape
    generator = torch.Generator().manual_seed(seed)
    means = params.means.repeat_interleave(2, 0)
    found = params_from_labels(
        X, labels, 2 * n_components, n_factors, structure, floor, generator, weights, means.to(X.device)
    )
    return found._replace(noise_variance=params.noise_variance) if structure.shared_noise else found


def _paired(gain: list[float], cost: list[float]) -> list[tuple[int, int]]:
    """Components to split and, each with one, components to take; every one once."""
    to_split, used = iter(np.argsort(gain)[::-1].tolist()), set[int]()
    chosen: list[tuple[int, int]] = []
    most = max(1, int(_MOST * len(gain)))
    for k in np.argsort(cost).tolist():
        if k in used or len(chosen) == most:
            continue
        other = next((j for j in to_split if j not in used and j != k), None)
        if other is None or not gain[other] > cost[k]:
            break
        chosen.append((other, k))
        used |= {other, k}
    return chosen


def _with(params: MFAParams, halves: MFAParams, chosen: list[tuple[int, int]]) -> MFAParams:
    split, taken = map(list, zip(*chosen, strict=True))
    places = split + taken
    sources = [2 * k for k in split] + [2 * k + 1 for k in split]
    parts = []
    for mine, theirs in zip(params, halves, strict=True):
        new = mine.clone()
        if len(mine) == len(params.means):
            new[places] = theirs[sources].to(new)
        parts.append(new)
    log_weights, means, loadings, noise = parts
    return MFAParams(log_weights.log_softmax(0), means, loadings.mT.contiguous().mT, noise)
