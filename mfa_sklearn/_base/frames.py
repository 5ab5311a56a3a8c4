"""Facts of rows that scikit-learn's `set_output` has put into a frame of pandas or polars.

A frame has no place for facts that outlives a selection and none that arithmetic empties. So they stay with the very
object that a transformer returned, which is the one that the next step of a pipeline gets; what is made of it has none.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any

import numpy as np

_NAME = "_mfa_sklearn_facts"
# The shared facts of what the transformer that is at work returned last, before it was put into a frame.
_returned: ContextVar[Mapping[str, Any] | None] = ContextVar("returned", default=None)


def carry(frame: Any, facts: Mapping[str, Any]) -> None:
    """Let a frame carry facts, if it is an object that can."""
    if facts and hasattr(frame, "columns") and hasattr(frame, "__dict__"):
        object.__setattr__(frame, _NAME, (_mark(frame), dict(facts)))


def carried(X: Any) -> Mapping[str, Any]:
    """Facts that a frame carries; none of a frame that was changed since, nor of anything else."""
    kept = getattr(X, "__dict__", {}).get(_NAME)
    return kept[1] if kept is not None and kept[0] == _mark(X) else {}


def _mark(frame: Any) -> tuple[Any, ...]:
    """What tells whether a frame was changed in place: its shape, and a checksum of its numbers."""
    values = np.ascontiguousarray(np.asarray(frame))
    # Objects are shown, because the bytes of their array are addresses.
    content = repr(values.tolist()).encode() if values.dtype.hasobject else values.reshape(-1).view(np.uint8).data
    return (*frame.shape, zlib.crc32(content))


class FramesKeepFacts:
    """A base of transformers, named before scikit-learn's own: frames that they return carry what the array would."""

    def __init_subclass__(cls, **options: Any) -> None:
        names = [name for name in ("transform", "fit_transform") if name in cls.__dict__]
        for name in names:
            setattr(cls, name, _noted(cls.__dict__[name]))
        super().__init_subclass__(**options)  # where scikit-learn puts its own wrapper around the methods
        for name in names:
            setattr(cls, name, _carried_on(cls.__dict__[name]))


def _noted(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, which takes down the shared facts of what it returns."""

    @wraps(method)
    def transform(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = method(self, *args, **kwargs)
        _returned.set(getattr(found, "shared", {}) if isinstance(found, np.ndarray) else carried(found))
        return found

    return transform


def _carried_on(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, wrapped by scikit-learn, which gives these facts to the frame that comes of it."""

    @wraps(method)
    def transform(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = method(self, *args, **kwargs)
        if not isinstance(found, np.ndarray):
            carry(found, _returned.get() or {})
        _returned.set(None)
        return found

    return transform
