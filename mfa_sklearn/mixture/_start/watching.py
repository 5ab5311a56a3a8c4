"""What k-means says of itself while it works: a stage of it is a bar, or lines, of rows that were gone through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

from ..._base.progress import Progress, progress


class Stage(NamedTuple):
    """One sample, or all rows."""

    bar: Progress
    unit: float  # that inertia is shown in

    def rows(self, count: int) -> None:
        """So many more rows have their nearest center."""
        self.bar.update(count)

    def seeds(self, count: int | None) -> None:
        """So many seeds are drawn; None where they are no longer of interest."""
        self.bar.update(0, seeds=count)

    def step(self, number: int, inertia: float) -> None:
        """A step began with centers of this inertia."""
        self.bar.update(0, step=number, inertia=inertia * self.unit)


UNWATCHED = Stage(Progress(None), 1.0)


class Watching(NamedTuple):
    """Whether, and in which unit, k-means is told of."""

    shown: bool = False
    unit: float = 1.0
    what: str = "k-means"
    during: Callable[[str], AbstractContextManager[Any]] = nullcontext  # a block for a callback's task

    @contextmanager
    def stage(self, n_rows: int, passes: int | None = None) -> Iterator[Stage]:
        """Show work on `n_rows` rows, in so many passes over them at most; None where nobody knows."""
        total = None if passes is None else n_rows * passes
        name = f"{self.what} on {n_rows:,} rows"
        with self.during("stage"), progress(total, name, "row", shown=self.shown, at_most=True) as bar:
            yield Stage(bar, self.unit)
