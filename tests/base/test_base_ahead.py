"""Reading ahead: what is read, in which order, how far, and that the thread ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mfa_sklearn._base.ahead import _N_AHEAD, read_ahead


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mfa-sklearn-read-ahead")]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    assert threads() == []
    yield
    assert threads() == []


@pytest.mark.parametrize("n_places", [0, 1, 2, 3, 50])
def test_everything_comes_in_its_order(n_places: int) -> None:
    assert list(read_ahead(lambda place: (place, place**2), range(n_places))) == [(i, i**2) for i in range(n_places)]


def test_another_thread_reads_a_few_places_further_and_no_more() -> None:
    began: list[int] = []
    reached = threading.Condition()
    readers = set()

    def read(place: int) -> int:
        with reached:
            began.append(place)
            readers.add(threading.get_ident())
            reached.notify_all()
        return place

    for place in read_ahead(read, range(20)):
        with reached:
            least = min(place + _N_AHEAD, 19)
            assert reached.wait_for(lambda: max(began) >= least, timeout=100)  # noqa: B023 - called here
            assert max(began) <= place + _N_AHEAD
    assert began == list(range(20)) and readers.isdisjoint({threading.get_ident()}) and len(readers) == 1


@pytest.mark.parametrize("error", [OSError("the disk is gone"), KeyboardInterrupt(), MemoryError()])
def test_an_error_is_raised_where_its_place_comes_up(error: BaseException) -> None:
    def read(place: int) -> int:
        if place == 3:
            raise error
        return place

    came = []
    with pytest.raises(type(error)) as caught:
        for place in read_ahead(read, range(9)):
            came.append(place)
    assert came == [0, 1, 2] and caught.value is error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, GeneratorExit])
def test_the_thread_ends_where_the_iteration_is_given_up(error: type[BaseException]) -> None:
    began: list[int] = []
    rows = read_ahead(lambda place: began.append(place), range(1000))
    next(rows)
    assert len(threads()) == 1
    with pytest.raises(error):
        rows.throw(error())
    assert threads() == [] and len(began) <= 1 + _N_AHEAD + 1
    next(read_ahead(lambda place: place, range(1000)))  # dropped where it stands
