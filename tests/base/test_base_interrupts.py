"""When a Ctrl-C is heard."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from mfa_sklearn._base.interrupts import interrupts_held


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_is_heard_at_the_end_of_the_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_held():
        interrupt()
        done.append(1)
    assert done
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_an_error_of_the_block_is_what_is_told() -> None:
    with pytest.raises(ValueError, match="mine"), interrupts_held():
        interrupt()
        raise ValueError("mine")


def test_a_handler_of_the_program_is_asked_and_kept() -> None:
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with interrupts_held():
            interrupt()
            assert not heard
        assert heard == [signal.SIGINT]
        interrupt()
        assert len(heard) == 2
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_hears_no_interrupts_is_left_alone() -> None:
    handler, seen = signal.getsignal(signal.SIGINT), []

    def other() -> None:
        with interrupts_held():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_held():
            interrupt()
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [handler]
