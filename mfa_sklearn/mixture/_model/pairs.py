"""Posteriors that keep only the components that matter for a row.

The posterior of a row over hundreds of components is nearly one-hot. A matrix product finds, for every row, the
components within rounding of mattering (`find_pairs`); only these (row, component) pairs are evaluated again, with
deviations taken first and squares never subtracted (`refine`), and only they enter the statistics. Nothing of size
n x K outlives a chunk, and in single precision the result is as exact as that of the direct formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from ..._base.group import ALONE, AnyGroup
from .blocks import blocks, gather
from .density import Density, log_joint
from .missing import has_missing, missing_rows, observe, observed_log_joint, rows_at_once

# Components whose responsibility is below exp(-margin) contribute less than rounding.
_MARGIN = {torch.float32: 20.0, torch.float64: 40.0}
# At a temperature above one the posterior is a means of the search, not a result: this much is enough.
_TEMPERED_MARGIN = 5.0
_CHUNK_BYTES = 32 * 2**20
# Roundings that a sum of products may add up to, and what may be added to all bounds in nats without more pairs.
_ROUNDING = 32
_NO_MATTER = 0.25


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

    def runs(self) -> Iterator[tuple[int, slice]]:
        """Components that have pairs, and where those stand."""
        start = 0
        for k, count in enumerate(self.counts):
            if count:
                yield k, slice(start, start + count)
            start += count


class PairList:
    """Pairs of a row and a component, added piece by piece.

    They are kept in one array that doubles when it is full. Kept one by one, small results between large ones that are
    let go would pin the memory of these, and a pass over thousands of components could take all there is.

    Parameters
    ----------
    capacity : int
        Pairs to make room for at first.
    """

    def __init__(self, capacity: int, device: torch.device) -> None:
        self._pairs = torch.empty(2, max(1, capacity), dtype=torch.int64, device=device)
        self._n = 0

    def add(self, rows: Tensor, components: Tensor) -> None:
        """Add pairs (P,)."""
        stop = self._n + len(rows)
        if stop > self._pairs.shape[1]:
            larger = self._pairs.new_empty(2, max(stop, 2 * self._pairs.shape[1]))
            larger[:, : self._n] = self._pairs[:, : self._n]
            self._pairs = larger
        self._pairs[0, self._n : stop] = rows
        self._pairs[1, self._n : stop] = components
        self._n = stop

    def add_where(self, keep: Tensor, first: int) -> None:
        """Add the pairs that a mask (m, K) keeps of rows that are numbered from `first`."""
        rows, components = keep.nonzero(as_tuple=True)
        self.add(rows + first, components)

    def by_component(self) -> tuple[Tensor, Tensor]:
        """Rows and components, sorted by component, in the order they came in within it."""
        components, order = self._pairs[1, : self._n].sort(stable=True)
        return self._pairs[0, : self._n][order], components


# Finds the pairs of complete rows (n, D) that matter, and evaluates them.
Search: TypeAlias = Callable[[Tensor], Pairs]


def chunk_rows(density: Density, itemsize: int) -> int:
    """How many rows to evaluate at once so that the intermediate (n, K (q + 1)) stays within its budget."""
    width = len(density.basis_offset) + 2 * len(density.constant)
    return max(16, min(8192, _CHUNK_BYTES // (itemsize * max(width, 1))))


def compared(density: Density, X: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Where a chunk of rows stands, its rows (m, D), and their log joint densities (m, K), chunk by chunk."""
    step = chunk_rows(density, X.element_size())
    for start in range(0, len(X), step):
        chunk = X[start : start + step]
        yield slice(start, start + len(chunk)), chunk, log_joint(density, chunk)


def find_pairs(density: Density, X: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Rows and components of all pairs whose responsibility may matter, sorted by component."""
    pairs = PairList(2 * len(X), X.device)
    for where, chunk, joint in compared(density, X):
        pairs.add_where(contenders(density, chunk, joint, temperature), where.start)
    return pairs.by_component()


def contenders(
    density: Density, X: Tensor, joint: Tensor, temperature: float = 1.0, eps: float | None = None
) -> Tensor:
    """Which of log joint densities (n, K) are of pairs that may matter, whatever rounding did to them.

    `eps` is the precision they were computed in, if not that of `X`.
    """
    error = rounding(density, X.square() @ density.precision, eps=eps)  # (n, K) or (n, 1)
    return joint + error >= (joint - error).amax(1, keepdim=True) - margin_of(X, temperature)


def margin_of(X: Tensor, temperature: float) -> float:
    """How far below a row's best a log joint density may be and still matter."""
    return _MARGIN[X.dtype] if temperature == 1 else _TEMPERED_MARGIN * temperature


def rounding(density: Density, squares: Tensor, components: Tensor | None = None, eps: float | None = None) -> Tensor:
    """What the screening's log joint densities may be off by: it grows with the size of the squares that cancel.

    These are the row's own, ``x^T Psi^-1 x``, and the component's, ``mu^T Psi^-1 mu``: where a factor is long they
    cancel each other and what the factors explain, and no term is larger than their sum.

    Parameters
    ----------
    squares : Tensor (..., K), or (..., 1) where the noise is shared
        Of the rows; not to be used any more.
    components : Tensor, optional
        Which components stand along the last axis, in a shape that broadcasts; by default all.
    eps : float, optional
        The precision the products were computed in, if not that of `squares`.
    """
    unit = _ROUNDING * (eps or torch.finfo(squares.dtype).eps)
    if squares.shape[-1] < len(density.constant) and unit * density.largest_mean_square < _NO_MATTER:
        return squares.add_(density.largest_mean_square).mul_(unit)  # one bound for all components
    means = density.mean_squares if components is None else density.mean_squares[components]
    if squares.shape[-1] == means.shape[-1]:
        return squares.add_(means).mul_(unit)
    return (squares + means).mul_(unit)


class Evaluated(NamedTuple):
    """A block of pairs, and what each row is under its component."""

    components: Tensor  # (G,)
    place: Tensor  # (G, m)  where the pairs stand in their list; its length for what only fills the block
    scores: Tensor  # (G, m, q)  posterior means z of the factors
    residual: Tensor  # (G, m, D)  x - mu - W z
    squares: Tensor  # (G, m, D)  of the residuals
    log_joint: Tensor  # (G, m)


def evaluated(density: Density, X: Tensor, rows: Tensor, counts: Sequence[int]) -> Iterator[Evaluated]:
    """Pairs evaluated without cancellation, block by block.

    Parameters
    ----------
    rows : Tensor (P,)
        Row of each pair, sorted by component.
    counts : sequence of K int
        How many pairs each component has.
    """
    for block in blocks(counts, X, rows):
        z, e = residuals(density, gather(X, block.numbers), block.components)
        squares = e.square()
        # Multiplied and summed: the product with a single column runs at a tenth of the speed.
        distance = (squares * (1 / noise_of(density, block.components))[:, None]).sum(-1) + z.square().sum(-1)
        joint = density.log_peak[block.components, None] - 0.5 * distance
        yield Evaluated(block.components, block.place, z, e, squares, joint)


class PairValues:
    """Room for what is evaluated of P pairs, block by block."""

    def __init__(self, n_pairs: int, n_factors: int, like: Tensor) -> None:
        # One more place, for what only fills a block.
        self._log_joint, self._scores = like.new_empty(n_pairs + 1), like.new_empty(n_pairs + 1, n_factors)

    def put(self, block: Evaluated) -> None:
        """Keep a block's values at its pairs' places."""
        self._log_joint[block.place] = block.log_joint
        self._scores[block.place] = block.scores

    def pairs(self, rows: Tensor, components: Tensor, counts: list[int]) -> Pairs:
        """The pairs with their values, all of which have been put."""
        return Pairs(rows, components, counts, self._log_joint[:-1], self._scores[:-1])


def count_pairs(density: Density, components: Tensor) -> list[int]:
    """How many of some pairs (P,) each of K components has."""
    return torch.bincount(components, minlength=len(density.constant)).tolist()


def refine(density: Density, X: Tensor, rows: Tensor, components: Tensor) -> Pairs:
    """Pairs (P,), sorted by component, evaluated without cancellation."""
    counts = count_pairs(density, components)
    values = PairValues(len(rows), density.cov.loadings.shape[2], X)
    for block in evaluated(density, X, rows, counts):
        values.put(block)
    return values.pairs(rows, components, counts)


def noise_of(density: Density, components: Tensor) -> Tensor:
    """Noise variances (G, D) of components (G,)."""
    noise = density.cov.noise_variance
    return noise.expand(len(components), -1) if len(noise) == 1 else noise[components]


def residuals(density: Density, rows: Tensor, components: Tensor) -> tuple[Tensor, Tensor]:
    """Factor scores z (G, m, q) of rows (G, m, D) under components (G,), and what they leave: ``x - mu - W z``."""
    cov = density.cov
    deviations = rows - density.params.means[components, None]
    # Transposed, with the few factors as rows of the result, the product is several times faster.
    z = (cov.whitener[components].mT @ (cov.basis[components].mT @ deviations.mT)).mT
    return z, deviations.baddbmm_(z, cov.loadings[components].mT, alpha=-1)


def compare_with_all(density: Density, X: Tensor, temperature: float = 1.0) -> Pairs:
    """The pairs of complete rows (n, D) that matter, whichever they are."""
    return refine(density, X, *find_pairs(density, X, temperature))


def normalize(pairs: Pairs, n_rows: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Responsibilities (P,) at a temperature, and log densities (n,) of the rows at temperature one."""
    log_prob = _logsumexp_by_row(pairs.log_joint, pairs.rows, n_rows)
    if temperature == 1:
        return (pairs.log_joint - log_prob[pairs.rows]).exp(), log_prob
    tempered = pairs.log_joint / temperature
    return (tempered - _logsumexp_by_row(tempered, pairs.rows, n_rows)[pairs.rows]).exp(), log_prob


def best_components(pairs: Pairs, n_rows: int) -> Tensor:
    """The component (n,) with the highest log joint density of each row, first of equals; K for rows without any."""
    top = pairs.log_joint.new_full((n_rows,), -torch.inf).scatter_reduce(0, pairs.rows, pairs.log_joint, "amax")
    is_top = pairs.log_joint >= top[pairs.rows]
    none = pairs.components.new_full((n_rows,), len(pairs.counts))
    return none.scatter_reduce(0, pairs.rows[is_top], pairs.components[is_top], "amin")


def _logsumexp_by_row(values: Tensor, rows: Tensor, n_rows: int) -> Tensor:
    top = values.new_full((n_rows,), -torch.inf).scatter_reduce(0, rows, values, "amax")
    total = values.new_zeros(n_rows).index_add_(0, rows, (values - top[rows]).exp())
    return top + total.log()


def posterior_pairs(
    density: Density, X: Tensor, temperature: float = 1.0, search: Search | None = None
) -> tuple[Pairs, Tensor, Tensor]:
    """The pairs of rows `X`, their responsibilities (P,) and the rows' log densities (n,).

    Complete rows are compared with all components, unless a `search` knows better. Rows that miss values are evaluated
    on what they have, and their pairs merged with the others'.
    """
    search = search or partial(compare_with_all, density, temperature=temperature)
    if not has_missing(X):
        pairs = search(X)
    else:
        missing = missing_rows(X)
        full = (~missing).nonzero()[:, 0]
        complete = search(X[full])
        incomplete = _incomplete_pairs(density, X, missing.nonzero()[:, 0], temperature)
        pairs = merge([complete._replace(rows=full[complete.rows]), incomplete])
    return pairs, *normalize(pairs, len(X), temperature)


def mean_log_prob(
    density: Density, batches: Iterable[tuple[Any, Tensor, Tensor | None]], group: AnyGroup = ALONE
) -> float:
    """Weighted mean log density of rows that come in batches: where they stand, rows (n, D), weights (n,) or None."""
    return mean_over_rows(((posterior_pairs(density, X)[2], weights) for _, X, weights in batches), group)


def mean_over_rows(parts: Iterable[tuple[Tensor, Tensor | None]], group: AnyGroup = ALONE) -> float:
    """Weighted mean of values (n,) that come part by part with their weights, summed in double precision.

    Of the rows of all processes of a group.
    """
    total = mass = 0.0
    for values, weights in parts:
        total += float(values.double().sum() if weights is None else weights.double() @ values.double())
        mass += len(values) if weights is None else float(weights.sum())
    total, mass = group.sum(torch.tensor([total, mass], dtype=torch.float64))[0].tolist()
    return total / mass


def _incomplete_pairs(density: Density, X: Tensor, rows: Tensor, temperature: float) -> Pairs:
    some = X[rows]
    joint = observed_log_joint(density, some)
    components, place = (joint >= joint.amax(1, keepdim=True) - margin_of(X, temperature)).T.nonzero(as_tuple=True)
    counts = count_pairs(density, components)
    scores = X.new_empty(len(place), density.cov.loadings.shape[2])
    pairs = Pairs(rows[place], components, counts, joint[place, components], scores)
    step = rows_at_once(density)
    for k, block in pairs.runs():
        parts = [observe(density, chunk, k).scores for chunk in some[place[block]].split(step)]
        scores[block] = torch.cat(parts)
    return pairs


def merge(parts: Sequence[Pairs]) -> Pairs:
    """The pairs of all parts, sorted by component."""
    if len(parts) == 1:
        return parts[0]
    rows, components, counts, log_joint, scores = zip(*parts, strict=True)
    ascending, order = torch.cat(components).sort(stable=True)
    return Pairs(
        torch.cat(rows)[order],
        ascending,
        [sum(of_parts) for of_parts in zip(*counts, strict=True)],
        torch.cat(log_joint)[order],
        torch.cat(scores)[order],
    )


def factor_scores(density: Density, X: Tensor, component: int) -> Tensor:
    """Posterior means (n, q) of the factors of rows under one component, whatever values they miss."""
    scores = residuals(density, torch.nan_to_num(X)[None], torch.tensor([component], device=X.device))[0][0]
    if has_missing(X):
        missing = missing_rows(X)
        scores[missing] = observe(density, X[missing], component).scores.to(scores)
    return scores


def exact_log_joint(density: Density, X: Tensor) -> Tensor:
    """`log_joint` (n, K), with every pair that matters evaluated without cancellation."""
    if has_missing(X):
        missing = missing_rows(X)
        joint = X.new_empty(len(X), len(density.constant))
        joint[missing] = observed_log_joint(density, X[missing])
        joint[~missing] = exact_log_joint(density, X[~missing])
        return joint
    joint = log_joint(density, X)
    keep = contenders(density, X, joint, 1.0)
    components, rows = keep.T.nonzero(as_tuple=True)
    pairs = refine(density, X, rows, components)
    joint[pairs.rows, pairs.components] = pairs.log_joint
    return joint
