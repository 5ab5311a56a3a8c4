"""Work in order behind what goes on: the last piece is finished by another thread while this one makes the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

Item = TypeVar("Item")


class Behind:
    """One thread that does one piece of work at a time; see `behind`."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._last: Future[Any] | None = None

    def do(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Begin `work`, after the piece before it, whose error is raised here."""
        self.wait()
        self._last = self._pool.submit(copy_context().run, work, *arguments)

    def wait(self) -> Any:
        """What the last piece of work gave, once it is done, or its error; None if that was told already."""
        last, self._last = self._last, None
        return None if last is None else last.result()


@contextmanager
def behind() -> Iterator[Behind]:
    """A thread for work that follows; it has ended when the block is left, however that is.

    So an interrupt waits for the piece of work in hand, and so does a second one.

    Yields
    ------
    Behind
        What it does must not depend on what belongs to the calling thread, such as torch's modes.

    Examples
    --------
    >>> with behind() as worker:
    ...     worker.do(sum, [1, 2])
    ...     worker.wait()
    3
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="mfa-sklearn-behind")
    try:
        worker = Behind(pool)
        yield worker
        worker.wait()
    finally:
        _end(pool)


def _end(pool: ThreadPoolExecutor) -> None:
    """Wait for a thread, also while interrupts come, which are raised then."""
    interrupt = None
    while True:
        try:
            pool.shutdown()
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def with_next(items: Iterable[Item]) -> Iterator[tuple[Item, Item | None]]:
    """Each item with the one after it, which is None for the last; none of the items may be None.

    An error of what gives the items is raised when the item that it stands for is due, so that those before it are
    worked on. An interrupt is raised at once.

    Examples
    --------
    >>> list(with_next("abc"))
    [('a', 'b'), ('b', 'c'), ('c', None)]
    """
    left = iter(items)
    item, error = _pulled(left)
    while item is not None:
        following, error = _pulled(left)
        yield item, following
        item = following
    if error is not None:
        raise error


def _pulled(left: Iterator[Item]) -> tuple[Item | None, Exception | None]:
    try:
        return next(left, None), None
    except Exception as error:
        return None, error
