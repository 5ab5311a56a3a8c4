"""Work behind what goes on: in order, one piece at a time, its errors told, and waited for whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mfa_sklearn._base.behind import behind, with_next


def test_work_is_done_in_order_by_one_other_thread() -> None:
    found: list[tuple[int, int]] = []
    with behind() as worker:
        for number in range(9):
            worker.do(lambda number=number: found.append((number, threading.get_ident())))
    assert [number for number, _ in found] == list(range(9))
    assert len({thread for _, thread in found} - {threading.get_ident()}) == 1


def test_one_piece_is_worked_on_at_a_time() -> None:
    begun = []
    with behind() as worker:
        for number in range(3):
            worker.do(begun.append, number)
            assert len(begun) >= number  # the pieces before have ended


def test_an_error_comes_with_the_next_piece_and_at_the_end() -> None:
    with pytest.raises(ZeroDivisionError), behind() as worker:
        worker.do(lambda: 1 / 0)
        worker.do(pytest.fail)
    with pytest.raises(ZeroDivisionError), behind() as worker:
        worker.do(lambda: 1 / 0)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_what_goes_wrong_meanwhile_waits_for_the_work_and_goes_before_its_errors(kind: type[BaseException]) -> None:
    go_on, done = threading.Event(), threading.Event()

    def work() -> None:
        go_on.wait(300)
        done.set()
        raise ZeroDivisionError

    with pytest.raises(kind), behind() as worker:
        worker.do(work)
        threading.Timer(0.05, go_on.set).start()
        raise kind
    assert done.is_set()


def test_a_second_interrupt_waits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), behind() as worker:
        pool = worker._pool
        shutdown, interrupts = pool.shutdown, [KeyboardInterrupt("second"), KeyboardInterrupt("third")]

        def interrupted() -> None:
            if interrupts:
                raise interrupts.pop()
            shutdown()

        monkeypatch.setattr(pool, "shutdown", interrupted)
        worker.do(done.append, 1)
        raise KeyboardInterrupt("first")
    assert done == [1] and not interrupts


def test_an_error_of_the_items_comes_when_it_is_due() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("the third")

    found = []
    with pytest.raises(ValueError, match="the third"):
        for pair in with_next(items()):
            found.append(pair)
    assert found == [(1, 2), (2, None)]
    assert list(with_next([])) == []


def test_an_interrupt_of_the_items_comes_at_once() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(with_next(items()))
