"""Which tokens of a running model are to be steered.

A hook sees activations (n, T, D) and nothing else: not which columns are padding, nor how many tokens a key-value
cache holds already, nor where the prompt ended and generation began. `PositionTracker` is told of every forward pass
before its hooks fire (`watch`), and keeps the sequence together, so that a generation with a cache (all columns once,
then one at a time) and without (all columns, again and again) have the same tokens steered.

A forward pass continues the sequence before it if it brings the cache of that sequence, or its very tokens and one
more; anything else begins a new sequence, whose tokens are all prompt. Models that cannot be watched (no torch module
inside, or entered past it) are judged by shape: same rows and one column, or one column more, continues.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from threading import get_ident
from typing import Any, NamedTuple

import torch
from torch import Tensor

NAMES = ("all", "prompt", "last")


class Positions(NamedTuple):
    """A checked choice of positions: a name of `NAMES`, or places in the row's own token sequence."""

    name: str | None
    places: tuple[int, ...] = ()


def check_positions(positions: Any) -> Positions:
    """The choice a user means.

    Raises
    ------
    TypeError, ValueError
        If it is neither a known name nor integers.
    """
    if isinstance(positions, str):
        if positions not in NAMES:
            raise ValueError(f"positions={positions!r} is unknown; use one of {', '.join(NAMES)}, or integers")
        return Positions(positions)
    places = [positions] if isinstance(positions, Integral) else positions
    if isinstance(places, Tensor):
        places = places.tolist()
    try:
        places = list(places)
    except TypeError:
        places = [None]
    if any(isinstance(p, bool) or not isinstance(p, Integral) for p in places):
        raise TypeError(f"positions={positions!r} must be one of {', '.join(NAMES)}, an integer or a list of integers")
    if not places:
        raise ValueError("positions is empty: nothing would be steered; use alpha=0 to look at the model as it is")
    return Positions(None, tuple(int(p) for p in places))


class Seen(NamedTuple):
    """What a forward pass was called with, as far as it is known."""

    ids: Tensor | None  # (n, T) token ids of this pass
    mask: Tensor | None  # (n, start + T) or (n, T), True where a token is real
    start: int  # columns that a cache holds already


class Progress(NamedTuple):
    """The token sequences in hand, over all columns read so far."""

    ids: Tensor | None  # (n, S)
    real: Tensor  # (n, S)
    prompt_width: int
    steered: Tensor  # (n, S)


class PositionTracker:
    """Follows forward passes and says which of their positions are to be steered.

    Parameters
    ----------
    positions : Positions
    special_tokens : bool
        Whether names take in the beginning-of-text token. Places given as integers always count as they are.
    bos_id, pad_id : int, optional
        Of the tokenizer.
    """

    def __init__(self, positions: Positions, special_tokens: bool, bos_id: int | None, pad_id: int | None) -> None:
        self._positions, self._special_tokens = positions, special_tokens
        self._bos_id, self._pad_id = bos_id, pad_id
        self._seen: Seen | None = None
        self.sequence: Progress | None = None

    def expect(self, seen: Seen) -> None:
        """Take note of what the coming forward pass is called with."""
        self._seen = seen

    def select(self, n_rows: int, width: int) -> Tensor:
        """Positions (n, T) of the pass under way that are to be steered.

        Raises
        ------
        ValueError
            If a negative place lies before the beginning of a prompt.
        """
        seen = self._usable(n_rows, width)
        earlier = self._continued(seen, n_rows, width)
        start = seen.start if seen else (earlier.real.shape[1] if earlier and width == 1 else 0)
        ids, real = self._columns(seen, earlier, start, n_rows, width)
        prompt_width = earlier.prompt_width if earlier else start + width
        chosen = self._choose(ids, real, prompt_width)
        before = earlier.steered[:, :start] if earlier else torch.zeros_like(chosen[:, :start])
        steered = torch.cat([before.to(chosen.device), chosen[:, start:]], dim=1)
        self.sequence = Progress(ids, real, prompt_width, steered)
        return chosen[:, start:]

    def _usable(self, n_rows: int, width: int) -> Seen | None:
        seen, self._seen = self._seen, None
        return seen if seen is not None and seen.ids is not None and seen.ids.shape == (n_rows, width) else None

    def _continued(self, seen: Seen | None, n_rows: int, width: int) -> Progress | None:
        """The sequence in hand, if this pass goes on with it."""
        earlier = self.sequence
        if earlier is None or len(earlier.real) != n_rows:
            return None
        read = earlier.real.shape[1]
        if seen is None:
            return earlier if width in (1, read + 1) else None
        if seen.start:
            return earlier if seen.start == read else None
        assert seen.ids is not None
        same = earlier.ids is not None and width == read + 1 and torch.equal(seen.ids[:, :read], earlier.ids)
        return earlier if same else None

    def _columns(
        self, seen: Seen | None, earlier: Progress | None, start: int, n_rows: int, width: int
    ) -> tuple[Tensor | None, Tensor]:
        """Token ids and realness of all columns up to the end of this pass."""
        if seen is None:
            known = earlier.real if earlier else torch.ones(n_rows, 0, dtype=torch.bool)
            return None, torch.nn.functional.pad(known, (0, start + width - known.shape[1]), value=True)
        assert seen.ids is not None
        ids = seen.ids
        if start:
            unknown = torch.full((n_rows, start), -1, dtype=ids.dtype, device=ids.device)
            ids = torch.cat([earlier.ids if earlier and earlier.ids is not None else unknown, ids], dim=1)
        return ids, self._real(seen, earlier, ids)

    def _real(self, seen: Seen, earlier: Progress | None, ids: Tensor) -> Tensor:
        if seen.mask is not None and seen.mask.shape == ids.shape:
            return seen.mask
        if earlier is not None:
            return torch.nn.functional.pad(earlier.real, (0, ids.shape[1] - earlier.real.shape[1]), value=True)
        real = torch.ones_like(ids, dtype=torch.bool)
        if self._pad_id is not None and len(ids) > 1:
            # Rows padded on the right come without a mask; the first token is real even if it is the padding token.
            real = ids.ne(self._pad_id).flip(1).cumsum(1).flip(1) > 0
            real[:, 0] = True
        return real

    def _choose(self, ids: Tensor | None, real: Tensor, prompt_width: int) -> Tensor:
        place = real.cumsum(1) - 1
        n_prompt = real[:, :prompt_width].sum(1, keepdim=True)
        if self._positions.name is None:
            return real & self._at_places(place, n_prompt)
        prompt = torch.arange(real.shape[1], device=real.device) < prompt_width
        if self._positions.name == "last":
            return real & prompt & (place == n_prompt - 1)
        chosen = real & prompt if self._positions.name == "prompt" else real
        if ids is not None and self._bos_id is not None and not self._special_tokens:
            chosen = chosen & ~((place == 0) & (ids == self._bos_id))
        return chosen

    def _at_places(self, place: Tensor, n_prompt: Tensor) -> Tensor:
        chosen = torch.zeros_like(place, dtype=torch.bool)
        for p in self._positions.places:
            if p < 0 and bool((n_prompt + p < 0).any()):
                raise ValueError(f"position {p} lies before the first of {int(n_prompt.min())} prompt tokens")
            chosen |= place == (p if p >= 0 else n_prompt + p)
        return chosen


@contextmanager
def watch(model: Any, tracker: PositionTracker) -> Iterator[None]:
    """Tell the tracker of every forward pass of the torch module that a hookable model wraps, or is."""
    module = getattr(model, "original_model", model)
    if not isinstance(module, torch.nn.Module):
        yield
        return

    thread = get_ident()

    def before(_: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        if get_ident() == thread:  # a pass of another thread is none of this sequence
            tracker.expect(read_call(args, kwargs))

    handle = module.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def read_call(args: Sequence[Any], kwargs: dict[str, Any]) -> Seen:
    """Token ids, attention mask and length of the cache from the arguments of a forward pass."""
    given = [kwargs.get(name) for name in ("input_ids", "input", "tokens")] + list(args[:1])
    ids = next((g for g in given if isinstance(g, Tensor) and g.ndim == 2 and not g.is_floating_point()), None)
    mask = kwargs.get("attention_mask")
    mask = mask.bool() if isinstance(mask, Tensor) and mask.ndim == 2 else None
    return Seen(ids, mask, _cached(kwargs))


def _cached(kwargs: dict[str, Any]) -> int:
    place = kwargs.get("cache_position")
    if isinstance(place, Tensor) and place.numel():
        return int(place.reshape(-1)[0])
    length = getattr(kwargs.get("past_key_values"), "get_seq_length", None)
    return int(length()) if callable(length) else 0
