"""One pass over the rows for any number of tables.

Every table of this folder is an accumulator that is shown the log joint densities chunk by chunk, so that several of
them cost one evaluation of the mixture and nothing of size N x K exists whole. Posteriors are nearly one-hot: only the
(row, component) pairs that matter are normalised and handed on.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

# Posteriors below this are left out of every table; sums of n posteriors are therefore too low by at most n times it.
POSTERIOR_FLOOR = 1e-6
# Components this many nats below a row's best are left out of its normaliser: 1e-9 of it each.
_MARGIN = 20.7


class Pairs(NamedTuple):
    """Rows and the components that they may belong to, ordered by row."""

    rows: np.ndarray  # (P,) int64, row numbers in the whole array
    components: np.ndarray  # (P,) int64
    posterior: np.ndarray  # (P,) float64, at least POSTERIOR_FLOOR
    log_joint: np.ndarray  # (P,) float64


class Chunk:
    """Log joint densities of some consecutive rows.

    Parameters
    ----------
    rows : slice
        Where the rows stand in the whole array.
    log_joint : ndarray of shape (b, K)
        ``log w_k + log N(x | k)``.
    """

    def __init__(self, rows: slice, log_joint: np.ndarray) -> None:
        self.rows = rows
        self.log_joint = np.ascontiguousarray(log_joint)

    @cached_property
    def assigned(self) -> np.ndarray:
        """The most probable component of each row, (b,); the lower one of two equals."""
        return self.log_joint.argmax(1)

    @cached_property
    def pairs(self) -> Pairs:
        """The pairs whose posterior is at least `POSTERIOR_FLOOR`."""
        n_rows, n_components = self.log_joint.shape
        best = self.log_joint[np.arange(n_rows), self.assigned]
        flat = np.flatnonzero(self.log_joint >= (best - np.float32(_MARGIN))[:, None])
        rows, components = np.divmod(flat, n_components)
        joint = self.log_joint.ravel()[flat].astype(np.float64)
        relative = np.exp(joint - best[rows])
        starts = np.searchsorted(rows, np.arange(n_rows))
        posterior = relative / np.add.reduceat(relative, starts)[rows]
        keep = posterior >= POSTERIOR_FLOOR
        return Pairs(rows[keep] + self.rows.start, components[keep], posterior[keep], joint[keep])


class Accumulator(Protocol):
    """Something that takes in the rows chunk by chunk, in order."""

    def update(self, chunk: Chunk) -> None: ...


def scan(mfa: Any, activations: Any, *accumulators: Accumulator) -> None:
    """Show all rows to all accumulators in one pass."""
    for rows, log_joint in mfa.iter_log_joint(activations):
        chunk = Chunk(rows, log_joint)
        for accumulator in accumulators:
            accumulator.update(chunk)


class Assignments:
    """Accumulates the most probable component of each row."""

    def __init__(self, n_rows: int) -> None:
        self.components = np.empty(n_rows, dtype=np.int64)

    def update(self, chunk: Chunk) -> None:
        self.components[chunk.rows] = chunk.assigned
