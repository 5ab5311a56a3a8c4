"""Ragged work in rectangular pieces.

Components own different numbers of rows. Going over them one at a time leaves a matrix-product machine waiting, and
padding all to the largest wastes it; so components with about as many rows are worked on together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# What a block's rows may take: the second-level caches of a processor, or enough to keep a GPU busy.
_BLOCK_BYTES = {"cpu": 2 * 2**20, "cuda": 2**28}
# Share of a block's rows that may be padding: a block costs something however small it is.
_PADDING = 0.25


class Block(NamedTuple):
    """Pieces of components, padded to one size."""

    components: Tensor  # (G,)  one may come twice, with other members
    place: Tensor  # (G, m)  where their members stand in the sorted list; its length, one past the end, for padding
    numbers: Tensor  # (G, m)  which rows the members are; for padding the first member's


def blocks(counts: Sequence[int], X: Tensor, rows: Tensor) -> Iterator[Block]:
    """All members of a list sorted by component, in blocks.

    Parameters
    ----------
    counts : sequence of K int
        How many members each component has.
    X : Tensor (n, D)
        What members are rows of: its width and kind set the size of a block.
    rows : Tensor (P,)
        Which row each member is.
    """
    device, numbers = X.device, with_filler(rows)
    budget = max(1, _BLOCK_BYTES.get(device.type, 2**28) // (max(1, X.shape[1]) * X.element_size()))
    components, starts, sizes = _pieces(np.asarray(counts, dtype=np.int64), budget)
    nowhere = int(np.sum(counts))
    first = 0
    while first < len(sizes):
        largest = int(sizes[first])
        padding = (largest - sizes[first : first + max(1, budget // largest)]).cumsum()
        last = first + int(np.searchsorted(padding, _PADDING * budget, side="right"))
        offsets = np.arange(largest)
        place = np.where(offsets < sizes[first:last, None], starts[first:last, None] + offsets, nowhere)
        there = torch.from_numpy(place).to(device)
        yield Block(torch.from_numpy(components[first:last]).to(device), there, numbers[there])
        first = last


def with_filler(values: Tensor, filler: float | None = None) -> Tensor:
    """Values (P,) and one more for what only fills a block: the first of them, of which any will do, or a number."""
    return torch.cat([values, values[:1] if filler is None else values.new_full((1,), filler)])


def slices(n_components: int, numbers: int, like: Tensor) -> Iterator[slice]:
    """All components, as many at a time as fill a block with `numbers` numbers each of the kind of `like`."""
    budget = _BLOCK_BYTES.get(like.device.type, 2**28)
    step = max(1, budget // (max(1, numbers) * like.element_size()))
    for start in range(0, n_components, step):
        yield slice(start, min(start + step, n_components))


def gather(X: Tensor, rows: Tensor) -> Tensor:
    """Rows (G, m, D) by number (G, m)."""
    return X.index_select(0, rows.reshape(-1)).view(*rows.shape, X.shape[1])


def _pieces(counts: np.ndarray, budget: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Components, first members and sizes, largest first, of pieces that fit the budget."""
    starts = np.cumsum(counts) - counts
    cuts = -(-counts // budget)  # pieces of each component; none where it has no member
    components = np.repeat(np.arange(len(counts)), cuts)
    turn = np.arange(len(components)) - np.repeat(np.cumsum(cuts) - cuts, cuts)
    size = -(-counts[components] // np.maximum(cuts[components], 1))
    begin = turn * size
    sizes = np.minimum(size, counts[components] - begin)
    order = np.argsort(-sizes, kind="stable")
    return components[order], (starts[components] + begin)[order], sizes[order]
