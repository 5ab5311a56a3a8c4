"""Reading ahead: what comes next is read by another thread while this one works on what came before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Place = TypeVar("_Place")
_Read = TypeVar("_Read")
# What is read, or being read, beside what is worked on.
_N_AHEAD = 2


def read_ahead(read: Callable[[_Place], _Read], places: Iterable[_Place]) -> Iterator[_Read]:
    """What lies at each place, in their order.

    One thread reads at most two places further than the one that is worked on. It ends with the iteration, also where
    that is given up. What reading raises is raised when its place comes up.

    Parameters
    ----------
    read : callable
        From a place to what lies there. It runs in another thread, so it must not depend on what belongs to this one,
        such as torch's modes.
    places : iterable

    Examples
    --------
    >>> list(read_ahead(lambda place: place**2, range(4)))
    [0, 1, 4, 9]
    """
    with ThreadPoolExecutor(1, thread_name_prefix="mfa-sklearn-read-ahead") as pool:
        waiting: deque[Future[_Read]] = deque()
        try:
            for place in places:
                waiting.append(pool.submit(read, place))
                if len(waiting) > _N_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
