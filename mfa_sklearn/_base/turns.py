"""Whose turn it is with a language model: hooks belong to the model, so only one thread at a time may have some in.

A thread that comes while another has its turn waits. A turn that is a pass of this library ends by itself; one that is
a `with` block of a user may stay open while the block waits for the very thread that waits for it. So a thread gives
up, with an error, once the model has been in somebody's block without being run for `PATIENCE` seconds.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

PATIENCE = 10.0
ANOTHER_THREAD = (
    "the model is being steered by another thread, and hooks are the model's, not the thread's: run it in the thread "
    "that entered the `with` block, wait until that is left, or give each thread a model"
)


class Turn:
    """The right to put hooks into one model; taken again by the thread that has it, it is given back as often."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._owner: int | None = None
        self._depth = 0
        self._blocks = 0
        self._used = 0.0

    @property
    def is_mine(self) -> bool:
        """Whether the calling thread has it."""
        return self._owner == threading.get_ident()

    @property
    def in_block(self) -> bool:
        """Whether whoever has it is inside a user's block."""
        return self._blocks > 0

    def used(self) -> None:
        """Say that the model runs: whoever waits may go on waiting."""
        self._used = time.monotonic()

    @contextmanager
    def taken(self, as_block: bool = False) -> Iterator[Turn]:
        """Have the turn inside the block.

        Parameters
        ----------
        as_block : bool
            Whether the block is a user's, in which anything may happen.

        Raises
        ------
        RuntimeError
            If another thread keeps the model in a block of its own without running it.
        """
        self._take(as_block)
        try:
            yield self
        finally:
            self._give(as_block)

    def _take(self, as_block: bool) -> None:
        me = threading.get_ident()
        with self._changed:
            while self._owner not in (None, me):
                self._changed.wait(timeout=0.5)
                self._lose_patience()
            self._owner = me
            self._depth += 1
            self._blocks += as_block
        self.used()

    def _give(self, as_block: bool) -> None:
        with self._changed:
            self._depth -= 1
            self._blocks -= as_block
            if not self._depth:
                self._owner = None
                self._changed.notify()

    def _lose_patience(self) -> None:
        idle = time.monotonic() - self._used
        if self._owner is not None and self._blocks and idle > PATIENCE:
            raise RuntimeError(
                f"another thread has been steering this model in a `with` block for {idle:.0f} seconds without running "
                "it, and hooks are the model's, not the thread's: leave that block first, or give each thread a model"
            )


_TURNS: weakref.WeakKeyDictionary[Any, Turn] = weakref.WeakKeyDictionary()
_MAKING = threading.Lock()


def turn_of(model: Any) -> Turn:
    """The turn of a model, one for all that wrap the same weights."""
    wrapped = getattr(model, "original_model", model)
    with _MAKING:
        try:
            return _TURNS.setdefault(wrapped, Turn())
        except TypeError:  # no weak reference to it, or no hash: nothing that could be told apart later
            return Turn()


@contextmanager
def running(model: Any) -> Iterator[Turn]:
    """The turn of a model for passes of this library, in evaluation mode: dropout would make chance of what it says.

    Parts that were in training mode, of a model that is being fine-tuned, are so again afterwards.
    """
    with turn_of(model).taken() as turn:
        training = [m for m in _modules_of(model, getattr(model, "original_model", None)) if m.training]
        try:
            for module in training:
                module.training = False
            yield turn
        finally:
            for module in training:
                module.training = True


def _modules_of(*tops: Any) -> list[Any]:
    """All torch modules of what may hold some, each once: what `Module.modules` lists, without its recursion."""
    found: dict[int, Any] = {}
    left = [top for top in tops if isinstance(top, torch.nn.Module)]
    left += [part for top in tops if not isinstance(top, torch.nn.Module) for part in getattr(top, "modules", list)()]
    while left:
        module = left.pop()
        if id(module) not in found:
            found[id(module)] = module
            left += [part for part in module._modules.values() if part is not None]
    return list(found.values())


def _forget() -> None:
    """After a fork there is one thread, which may have none of the turns that others had."""
    global _MAKING
    _MAKING = threading.Lock()
    _TURNS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
