"""Attention sinks: rows that are many times as long as the median row of a call, and how long that is.

The median is one of the call, never of the part of a store that is being written. So that it is known before the first
part, and costs a pass over a few texts at most, it is taken over runs of texts spread evenly over the call: over all
texts where there are no more than `RUN * RUNS`. In memory it is taken over the same texts, and so it is by each of
several processes that extract a part. Of a stream of texts it is taken over the first ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count

import numpy as np

RUN = 50
RUNS = 20


def norm_limits(norms_of: Callable[[range], list[np.ndarray]], n_texts: int, ratio: float) -> list[float]:
    """The longest norm that is kept, per layer.

    Parameters
    ----------
    norms_of : callable
        From a run of texts, as their numbers, to the norms (n,) of their rows, per layer.
    n_texts : int
    ratio : float
        To the median norm.
    """
    for runs in _samples(n_texts):
        norms = [np.concatenate(layer) for layer in zip(*map(norms_of, runs), strict=True)]
        if len(norms[0]) or sum(map(len, runs)) >= n_texts:
            break
    return [ratio * float(np.median(norm)) if len(norm) else np.inf for norm in norms]


def row_norms(layers: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Norms (n,) of the rows of each layer."""
    return [np.linalg.norm(layer, axis=1) for layer in layers]


def without_sinks(
    layers: list[np.ndarray], facts: dict[str, np.ndarray], limits: Sequence[float]
) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Leave out the rows whose norm is above the limit in any layer."""
    kept = np.logical_and.reduce([n <= limit for n, limit in zip(row_norms(layers), limits, strict=True)])
    return [layer[kept] for layer in layers], {name: fact[kept] for name, fact in facts.items()}


def _samples(n_texts: int) -> Iterator[list[range]]:
    """Runs of texts, more and more of them: `keep` may leave no row of the first few."""
    for power in count():
        n_runs = RUNS * 4**power
        if n_runs * RUN >= n_texts:
            yield [range(start, min(start + RUN, n_texts)) for start in range(0, n_texts, RUN)]
            return
        starts = np.linspace(0, n_texts - RUN, n_runs).astype(int).tolist()
        yield [range(start, start + RUN) for start in starts]
