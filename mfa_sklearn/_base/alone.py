"""A group of one process: what `group.Group` is where nobody else computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

_T = TypeVar("_T")


class Alone:
    """A group of one process, which has nobody to talk to: nothing is copied or sent."""

    rank, size, first = 0, 1, True

    def sum(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Tensors summed over the ranks."""
        return tensors

    def own(self, n: int) -> slice:
        """This rank's part of `n` things that are shared out evenly."""
        return slice(0, n)

    def sum_own(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Tensors (n, ...) summed over the ranks, of each this rank's `own` part."""
        return tensors

    def all_gather(self, rows: Tensor) -> Tensor:
        """The rows (n, ...) of all ranks, in their order."""
        return rows

    def gather(self, rows: Tensor) -> Tensor:
        """The same on the first rank, and no rows on the others."""
        return rows

    def tell(self, value: _T) -> _T:
        """The first rank's value."""
        return value

    def decided(self, work: Callable[[], _T], rng: np.random.RandomState | None = None) -> _T:
        """What the first rank's work gives, and the generator `rng` as that left it."""
        return work()

    def numbers(self, value: int) -> list[int]:
        """Each rank's whole number."""
        return [value]

    def objects(self, value: _T) -> list[_T]:
        """Each rank's value."""
        return [value]

    def any(self, value: bool) -> bool:
        """Whether it is true on a rank."""
        return bool(value)

    def max(self, value: float) -> float:
        """The largest of the ranks' numbers."""
        return value

    def barrier(self) -> None:
        """Wait for all ranks."""

    def check_alike(self, facts: dict[str, Any]) -> None:
        """Refuse facts that differ from rank to rank."""

    @contextmanager
    def failing_together(self) -> Iterator[None]:
        """An error inside the block on one rank is one on all."""
        yield


ALONE = Alone()
