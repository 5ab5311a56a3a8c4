"""Public methods that give one answer whatever the caller has set in torch, and whatever other threads compute.

Language-model code runs under `torch.autocast`, `torch.no_grad` or `torch.inference_mode`, which belong to a thread and
would reach into every product here. How precise products are belongs to the whole process. They are in full as long as
anybody is in a public method, whatever the program has set: where models run on a GPU, a call of
`torch.set_float32_matmul_precision("high")` is common. A fit that lets them round for a while (`coarse`) has the
machine to itself meanwhile, or the products of other threads would be rounded too.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from inspect import isgeneratorfunction
from typing import Any, TypeVar, cast

import torch

_Method = TypeVar("_Method", bound=Callable[..., Any])
# Devices that have an autocast of their own which a program may have switched on.
_AUTOCAST_DEVICES = ("cpu", "cuda", "xpu")


class _Gate:
    """Lets many threads compute at once, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._computing = 0
        self._waiting = 0  # threads that wait to be alone
        self._owner: int | None = None  # the thread that is
        self._own = threading.local()

    @property
    def depth(self) -> int:
        """How many public methods this thread is in."""
        return getattr(self._own, "depth", 0)

    def _open(self) -> bool:
        return self._owner == threading.get_ident() or (self._owner is None and not self._waiting)

    def enter(self) -> None:
        """Count this thread among those that compute, once nobody has to be alone."""
        if not self.depth:
            with self._changed:
                self._changed.wait_for(self._open)
                self._computing += 1
        self._own.depth = self.depth + 1

    def leave(self) -> None:
        """Undo one `enter`."""
        self._own.depth = self.depth - 1
        if not self.depth:
            with self._changed:
                self._computing -= 1
                self._changed.notify_all()

    def give_way(self) -> None:
        """Let a thread go first that waits to be alone."""
        if not (self.depth and self._waiting):
            return
        with self._stepped_back():
            self._changed.wait_for(self._open)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else computes inside the block."""
        if self._owner == threading.get_ident():
            yield
            return
        with self._stepped_back():
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: self._owner is None and not self._computing)
                self._owner = threading.get_ident()
            finally:
                self._waiting -= 1
        try:
            yield
        finally:
            with self._changed:
                self._owner = None
                self._changed.notify_all()

    @contextmanager
    def away(self) -> Iterator[None]:
        """This thread is in no public method inside the block, and may wait for others that are."""
        depth = self.depth
        if not depth:
            yield
            return
        self._own.depth = 1
        self.leave()
        try:
            yield
        finally:
            self.enter()
            self._own.depth = depth

    @contextmanager
    def _stepped_back(self) -> Iterator[None]:
        """This thread is not counted inside the block, in which it waits for others."""
        mine = 1 if self.depth else 0
        with self._changed:
            self._computing -= mine
            self._changed.notify_all()
            try:
                yield
            finally:
                self._computing += mine


class _InFull:
    """Products of single precision are not rounded while anybody is inside; then the program's setting is back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._put_back: list[Callable[[], None]] = []

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._put_back = _products_in_full()

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for put_back in self._put_back:
                    put_back()
                self._put_back = []


def _products_in_full() -> list[Callable[[], None]]:
    """Products are not rounded from now on; gives what puts back what was set."""
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):  # before torch 2.9
        before = torch.get_float32_matmul_precision()
        if before == "highest":
            return []
        torch.set_float32_matmul_precision("highest")
        return [partial(torch.set_float32_matmul_precision, before)]
    put_back: list[Callable[[], None]] = []
    owners: list[Any] = [torch.backends.cuda, torch.backends.mkldnn]
    for backend in (owner.matmul for owner in owners):
        if (set_before := backend.fp32_precision) not in ("ieee", "none"):
            put_back.append(partial(setattr, backend, "fp32_precision", set_before))
            backend.fp32_precision = "ieee"
    return put_back


_gate, _in_full = _Gate(), _InFull()


def _renew() -> None:
    global _gate, _in_full
    _gate, _in_full = _Gate(), _InFull()


if hasattr(os, "register_at_fork"):
    # A child process has none of the threads that the gate counted.
    os.register_at_fork(after_in_child=_renew)


def give_way() -> None:
    """Let a thread go first that waits for `coarse`: to be called between the steps of a long computation."""
    _gate.give_way()


@contextmanager
def coarse(switch: Callable[[], Callable[[], None]]) -> Iterator[None]:
    """Products of the process may be rounded inside the block, while no other thread is in a public method.

    Parameters
    ----------
    switch : callable
        Lets them be rounded, and returns what puts that back.
    """
    with _gate.alone():
        put_back = switch()
        try:
            yield
        finally:
            put_back()


@contextmanager
def others_code() -> Iterator[None]:
    """For what a user brought along, inside a public method: it may have threads that compute, and take gradients."""
    with _gate.away(), torch.enable_grad():
        yield


@contextmanager
def plain_torch() -> Iterator[None]:
    """Torch as it is by itself: no autocast, no inference mode, no gradients, no default device, products in full.

    The caller's settings are put back.
    """
    gate, in_full = _gate, _in_full
    gate.enter()
    try:
        with ExitStack() as stack:
            in_full.enter()
            stack.callback(in_full.leave)
            for device in _AUTOCAST_DEVICES:
                if torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
            if torch.is_inference_mode_enabled():
                stack.enter_context(torch.inference_mode(False))
            if torch.get_default_device().type != "cpu":
                stack.enter_context(torch.device("cpu"))
            stack.enter_context(torch.no_grad())
            yield
    finally:
        gate.leave()


def isolated(method: _Method) -> _Method:
    """The method, run in `plain_torch`; of a generator each step is, and what its consumer does is not."""
    if not isgeneratorfunction(method):

        @wraps(method)
        def run(*args: Any, **kwargs: Any) -> Any:
            with plain_torch():
                return method(*args, **kwargs)

        return cast(_Method, run)

    @wraps(method)
    def steps(*args: Any, **kwargs: Any) -> Iterator[Any]:
        generator = method(*args, **kwargs)
        while True:
            with plain_torch():
                try:
                    item = next(generator)
                except StopIteration:
                    return
            yield item

    return cast(_Method, steps)
