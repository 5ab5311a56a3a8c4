"""Prompts as token ids, with any hookable model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._base.words import check_unicode

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Encoded(NamedTuple):
    """Prompts padded on the right to one width."""

    ids: Tensor  # (n, T)
    mask: Tensor | None  # (n, T), 1 where a token is real; None where all are
    lengths: list[int]  # (n,)
    single: bool  # one prompt was given, not a list

    def last(self, logits: Tensor) -> Tensor:
        """The logits (n, V) after each prompt's last token, of logits (n, T, V)."""
        rows = torch.arange(len(self.lengths), device=logits.device)
        return logits[rows, torch.as_tensor(self.lengths, device=logits.device) - 1]

    def check_places(self, places: Sequence[int]) -> None:
        """Refuse positions that lie outside a prompt."""
        shortest = min(self.lengths)
        for place in places:
            if not -shortest <= place < shortest:
                raise ValueError(f"position {place} lies outside a prompt of {shortest} tokens")


def encode(model: Any, prompts: str | Sequence[str] | ArrayLike | Tensor, prepend_bos: bool | None) -> Encoded:
    """Token ids of prompts.

    Parameters
    ----------
    model : hookable model
        Its `to_tokens` reads strings.
    prompts : str, list of str, or token ids of shape (T,) or (n, T)
    prepend_bos : bool or None
        None does as the model does.

    Raises
    ------
    ValueError
        If there is no prompt, one is empty, holds half of a surrogate pair, or is longer than the model's context.
    """
    rows = _rows(model, prompts, prepend_bos)
    lengths = [len(row) for row in rows]
    _check_lengths(lengths, getattr(getattr(model, "cfg", None), "n_ctx", None))
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=_pad_id(model))
    mask = None
    if len(set(lengths)) > 1:
        mask = (torch.arange(ids.shape[1]) < torch.as_tensor(lengths)[:, None]).long().to(ids.device)
    single = isinstance(prompts, str) or (not isinstance(prompts, list) and np.ndim(prompts) == 1)
    return Encoded(ids, mask, lengths, single)


def _rows(model: Any, prompts: Any, prepend_bos: bool | None) -> list[Tensor]:
    if isinstance(prompts, str):
        prompts = [prompts]
    if isinstance(prompts, list | tuple) and all(isinstance(p, str) for p in prompts):
        for number, prompt in enumerate(prompts):
            check_unicode(f"prompt {number}", prompt)
        # One by one: what padding a batch would need depends on the tokenizer, and some have none.
        known = {p: model.to_tokens(p, prepend_bos=prepend_bos, truncate=False)[0] for p in dict.fromkeys(prompts)}
        return [known[p] for p in prompts]
    ids = prompts if isinstance(prompts, Tensor) else torch.as_tensor(np.asarray(prompts))
    if ids.is_floating_point() or ids.ndim not in (1, 2):
        raise TypeError("prompts must be a string, a list of strings, or token ids of shape (T,) or (n, T)")
    device = getattr(getattr(model, "cfg", None), "device", None)
    return list(torch.atleast_2d(ids).long().to(device))


def _check_lengths(lengths: list[int], n_ctx: int | None) -> None:
    if not lengths:
        raise ValueError("no prompt was given")
    if 0 in lengths:
        raise ValueError(f"prompt {lengths.index(0)} is empty: there is no token to continue from")
    if n_ctx is not None and max(lengths) > n_ctx:
        place = lengths.index(max(lengths))
        raise ValueError(f"prompt {place} has {max(lengths)} tokens, but the model's context holds {n_ctx}")


def _pad_id(model: Any) -> int:
    pad_id = getattr(getattr(model, "tokenizer", None), "pad_token_id", None)
    return 0 if pad_id is None else int(pad_id)


def special_ids(model: Any) -> list[int]:
    """Tokens that are no part of a text: beginning, end, padding and the like."""
    return sorted(set(getattr(getattr(model, "tokenizer", None), "all_special_ids", None) or []))
