"""Activations that are read when rows of them are asked for: what those of a store and of others' files can do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .._base.checks import check_count
from .._base.lazy_rows import LazyRows
from ._array import ActivationArray
from ._store_manifest import FACTS

# Facts per row that are attributes too, as those of `ActivationArray` are.
NAMES = (*FACTS, "tokens")


class ActivationRows(LazyRows):
    """Activations of shape (n, d) on disk.

    Selecting rows by a slice, an array of indices or a mask reads them and gives an `ActivationArray`; an integer gives
    one plain row. `numpy.asarray` reads everything. The attributes of `ActivationArray` (``tokens``, ``labels``, ...)
    are here too, for all rows, read when first used.
    """

    @property
    def array_type(self) -> type[ActivationArray]:
        """Of what a selection of rows gives."""
        return ActivationArray

    @property
    def texts(self) -> Sequence[str] | None:
        """The texts, indexed by ``text_index``."""
        return self.shared.get("texts")

    @property
    def source(self) -> dict[str, Any] | None:
        """Where the activations come from, as in `ActivationArray`."""
        return self.shared.get("source")

    def __getattr__(self, name: str) -> np.ndarray | None:
        if name in NAMES:
            return self.rows.get(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def batches(
        self, batch_size: int, shuffle: bool = False, random_state: int | np.random.RandomState | None = None
    ) -> Iterator[ActivationArray]:
        """All rows, `batch_size` at a time.

        Parameters
        ----------
        batch_size : int
        shuffle : bool, default=False
            Whether in random order over all rows. This reads single rows, so it suits a fast disk or activations
            that fit the page cache.
        random_state : int, RandomState or None

        Yields
        ------
        ActivationArray of shape (at most batch_size, d)

        Raises
        ------
        TypeError, ValueError
            If `batch_size` is no whole number of at least 1.
        """
        from sklearn.utils import check_random_state

        check_count("batch_size", batch_size)
        order = check_random_state(random_state).permutation(len(self)) if shuffle else None
        for start in range(0, len(self), batch_size):
            rows = slice(start, min(start + batch_size, len(self)))
            yield self[rows if order is None else order[rows]]
