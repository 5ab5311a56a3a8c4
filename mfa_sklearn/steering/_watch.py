"""Forward passes of a running model, told of before their hooks fire: what each is called with, and rows that move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import get_ident
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class Seen(NamedTuple):
    """What a forward pass was called with, as far as it is known."""

    ids: Tensor | None  # (n, T) token ids of this pass
    mask: Tensor | None  # (n, start + T) or (n, T), True or not 0 where a token is real
    start: int  # columns that a cache holds already


class Follower(Protocol):
    """Who is told."""

    def expect(self, seen: Seen) -> None:
        """Take note of what the coming forward pass is called with."""

    def reorder(self, rows: Tensor) -> None:
        """Take note that in the coming pass each row goes on with what another has written, `rows` (n,)."""


@contextmanager
def watch(model: Any, tracker: Follower) -> Iterator[None]:
    """Tell the tracker of every forward pass of the torch module that a hookable model wraps, or is."""
    module = getattr(model, "original_model", model)
    if not isinstance(module, torch.nn.Module):
        yield
        return

    thread = get_ident()
    with _followed_caches(tracker) as follow:

        def before(_: Any, args: tuple, kwargs: dict[str, Any]) -> None:
            if get_ident() == thread:  # a pass of another thread is none of this sequence
                tracker.expect(read_call(args, kwargs))
                follow(kwargs.get("past_key_values"))

        handle = module.register_forward_pre_hook(before, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()


@contextmanager
def _followed_caches(tracker: Follower) -> Iterator[Any]:
    """Tell the tracker when rows of a cache change places, as they do under beams; caches are let go at the end."""
    followed: list[tuple[Any, Any]] = []

    def follow(cache: Any) -> None:
        if cache is None or (followed and cache is followed[-1][0]):
            return
        own = getattr(cache, "reorder_cache", None)
        if not callable(own) or any(cache is other for other, _ in followed):
            return

        def reorder_cache(rows: Tensor) -> Any:
            tracker.reorder(rows)
            return own(rows)

        followed.append((cache, vars(cache).get("reorder_cache")))
        cache.reorder_cache = reorder_cache

    try:
        yield follow
    finally:
        for cache, earlier in followed:
            if earlier is None:
                del cache.reorder_cache
            else:
                cache.reorder_cache = earlier


def read_call(args: Sequence[Any], kwargs: dict[str, Any]) -> Seen:
    """Token ids, attention mask and length of the cache from the arguments of a forward pass."""
    ids = kwargs.get("input_ids")
    if not _is_ids(ids):
        given = (kwargs.get("input"), kwargs.get("tokens"), *args[:1])
        ids = next((some for some in given if _is_ids(some)), None)
    mask = kwargs.get("attention_mask")
    return Seen(ids, mask if isinstance(mask, Tensor) and mask.ndim == 2 else None, _cached(kwargs))


def _is_ids(given: Any) -> bool:
    return isinstance(given, Tensor) and given.ndim == 2 and not given.is_floating_point()


def _cached(kwargs: dict[str, Any]) -> int:
    place = kwargs.get("cache_position")
    if isinstance(place, Tensor) and place.numel():
        return int(place.reshape(-1)[0])
    length = getattr(kwargs.get("past_key_values"), "get_seq_length", None)
    return int(length()) if callable(length) else 0
