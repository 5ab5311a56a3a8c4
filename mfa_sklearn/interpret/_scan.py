"""One pass over the rows for any number of tables.

Every table of this folder is an accumulator that is shown the rows chunk by chunk, so that several of them cost one
evaluation of the mixture and nothing of size N x K exists whole. Posteriors are nearly one-hot: only the (row,
component) pairs that matter are evaluated in full, normalized and handed on, unless a table asks for all densities.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from .._base.annotated import AnnotatedArray
from .._base.lazy_rows import LazyRows
from .._base.progress import is_showing, progress
from .._base.row_views import RowRange

if TYPE_CHECKING:
    from ..mixture import MFA

# Posteriors below this are left out of every table; sums of n posteriors are therefore too low by at most n times it.
POSTERIOR_FLOOR = 1e-6
# Components this many nats below a row's best are left out of its normalizer: 1e-9 of it each.
_MARGIN = 20.7


class PosteriorPairs(NamedTuple):
    """Rows and the components that they may belong to, ordered by row."""

    rows: np.ndarray  # (P,) int64, row numbers in the whole array
    components: np.ndarray  # (P,) int64
    posterior: np.ndarray  # (P,) float64, at least POSTERIOR_FLOOR
    log_joint: np.ndarray  # (P,) float64


class Chunk:
    """Consecutive rows, and the (row, component) pairs that may matter.

    Parameters
    ----------
    rows : slice
        Where the rows stand in the whole array.
    numbers : ndarray of shape (P,)
        Row of each pair, counted from the chunk's first, ascending; every row has a pair.
    components : ndarray of shape (P,)
        Ascending for each row.
    log_joint : ndarray of shape (P,)
        ``log w_k + log N(x | k)``.
    """

    def __init__(self, rows: slice, numbers: np.ndarray, components: np.ndarray, log_joint: np.ndarray) -> None:
        self.rows = rows
        self._numbers, self._components, self._log_joint = numbers, components, log_joint
        self._starts = np.searchsorted(numbers, np.arange(rows.stop - rows.start))
        self._best = np.maximum.reduceat(log_joint, self._starts)

    @cached_property
    def assigned(self) -> np.ndarray:
        """The most probable component of each row, (b,); the lower one of two equals."""
        best = np.flatnonzero(self._log_joint == self._best[self._numbers])
        first = np.flatnonzero(np.diff(self._numbers[best], prepend=-1))
        return self._components[best[first]]

    @cached_property
    def pairs(self) -> PosteriorPairs:
        """The pairs whose posterior is at least `POSTERIOR_FLOOR`."""
        joint = self._log_joint.astype(np.float64)
        relative = np.exp(joint - self._best[self._numbers])
        posterior = relative / np.add.reduceat(relative, self._starts)[self._numbers]
        keep = posterior >= POSTERIOR_FLOOR
        rows = self._numbers[keep] + self.rows.start
        return PosteriorPairs(rows, self._components[keep], posterior[keep], joint[keep])

    @cached_property
    def own_pairs(self) -> PosteriorPairs:
        """One pair per row, that of its most probable component."""
        own = self.pairs.components == self.assigned[self.pairs.rows - self.rows.start]
        return PosteriorPairs(*(field[own] for field in self.pairs))


class DenseChunk(Chunk):
    """Consecutive rows, and their log joint densities under all components.

    Parameters
    ----------
    rows : slice
        Where the rows stand in the whole array.
    log_joint : ndarray of shape (b, K)
        ``log w_k + log N(x | k)``.
    """

    def __init__(self, rows: slice, log_joint: np.ndarray) -> None:
        self.log_joint = np.ascontiguousarray(log_joint)
        best = self.log_joint.max(1, keepdims=True)
        flat = np.flatnonzero(self.log_joint >= best - np.float32(_MARGIN))
        super().__init__(rows, *np.divmod(flat, self.log_joint.shape[1]), self.log_joint.ravel()[flat])


class Accumulator(Protocol):
    """Something that takes in the rows chunk by chunk, in order."""

    dense: bool  # whether chunks must be dense

    def update(self, chunk: Any) -> None: ...


def scan(mfa: MFA, activations: Any, *accumulators: Accumulator) -> None:
    """Show all rows to all accumulators in one pass.

    What is known of the rows has been looked at before, so that the mixture is given their numbers alone. Commands of
    the shell show how far it has come.
    """
    with progress(len(activations), "posteriors", "row", shown=is_showing()) as bar:
        for chunk in _chunks(mfa, without_facts(activations), any(a.dense for a in accumulators)):
            for accumulator in accumulators:
                accumulator.update(chunk)
            bar.update(chunk.rows.stop - chunk.rows.start)


def without_facts(X: Any) -> Any:
    """A table's numbers alone, of which there is nothing to compare or to warn of."""
    if isinstance(X, AnnotatedArray):
        return np.asarray(X)
    return _Numbers(X, 0, len(X)) if isinstance(X, LazyRows) else X


class _Numbers(RowRange):
    """The numbers of a table that reads its rows."""

    shared: dict[str, Any] = {}  # noqa: RUF012
    fact_names = ()


def _chunks(mfa: MFA, activations: Any, dense: bool) -> Iterator[Chunk]:
    if dense or not hasattr(mfa, "iter_pairs"):
        for rows, log_joint in mfa.iter_log_joint(activations):
            yield DenseChunk(rows, log_joint)
    else:
        for rows, numbers, components, log_joint in mfa.iter_pairs(activations):
            yield Chunk(rows, numbers, components, log_joint)


class Assignments:
    """Accumulates the most probable component of each row."""

    dense = False

    def __init__(self, n_rows: int) -> None:
        self.components = np.empty(n_rows, dtype=np.int64)

    def update(self, chunk: Chunk) -> None:
        self.components[chunk.rows] = chunk.assigned
