"""Prompts as token ids, with any hookable model: the one place that reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._base.words import check_unicode
from ..activations._chats import as_text, is_chat, render
from ..activations._tokenize import TokenSequence, context_length, read_texts, vocabulary_size

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_FORMS = "a string, some strings in a list or a column, chats, or token ids of shape (T,) or (n, T)"


class Encoded(NamedTuple):
    """Prompts padded on the right to one width."""

    ids: Tensor  # (n, T)
    mask: Tensor | None  # (n, T), 1 where a token is real; None where all are
    lengths: list[int]  # (n,)
    single: bool  # one prompt was given, not a list
    texts: list[str] | None  # the prompts, if they were given as strings
    sequences: list[TokenSequence] | None = None  # and what is known of their tokens

    def last(self, logits: Tensor) -> Tensor:
        """The logits (n, V) after each prompt's last token, of logits (n, T, V)."""
        rows = torch.arange(len(self.lengths), device=logits.device)
        return logits[rows, torch.as_tensor(self.lengths, device=logits.device) - 1]

    def padded_left(self) -> tuple[Tensor, Tensor | None]:
        """Ids and mask with the padding on the left, so that all prompts end in the last column."""
        if self.mask is None:
            return self.ids, None
        width = self.ids.shape[1]
        return tuple(  # type: ignore[return-value]
            torch.stack([row.roll(width - n) for row, n in zip(part, self.lengths, strict=True)])
            for part in (self.ids, self.mask)
        )

    def check_places(self, places: Sequence[int], n_new: int = 0) -> None:
        """Refuse places that lie outside a prompt, or all of them beyond what is written behind it."""
        shortest, end = min(self.lengths), max(self.lengths) + n_new
        for place in places:
            if place < -shortest or (place >= shortest and not n_new):
                raise ValueError(
                    f"select names place {place}, outside a prompt of {shortest} tokens: give places from {-shortest} "
                    f"to {shortest - 1}"
                )
        if places and min(places) >= end:
            raise ValueError(
                f"select names place {min(places)}, which is never reached: prompts and {n_new} new tokens end before "
                f"{end}"
            )


def encode(
    model: Any, prompts: str | Iterable[str] | ArrayLike | Tensor, prepend_bos: bool | None, n_new: int = 0
) -> Encoded:
    """Token ids of prompts.

    Strings are read as the extractor reads texts: see `activations._tokenize.read_texts`.

    Parameters
    ----------
    model : hookable model
    prompts : str, strings in a list, tuple, array or column, chats, or token ids
        A chat is a list of messages, dicts with "role" and "content": the model goes on where its answer begins, or
        behind a last message of the assistant's own. Ids as a tensor or array of shape (T,) or (n, T), or lists of
        them, which may differ in length.
    prepend_bos : bool or None
        None does as the model does. Of strings alone.
    n_new : int
        How many tokens are to be written behind each prompt, which the model's context must hold too.

    Raises
    ------
    TypeError
        If `prompts` is nothing of the above; the message says which entry is not.
    ValueError
        If there is no prompt, one is empty, holds half of a surrogate pair or does not fit the model's context, or an
        id is no token of the model.
    """
    texts, rows, single = _sorted_out(_rendered(model, prompts))
    sequences = None if texts is None else _sequences_of(model, texts, prepend_bos)
    if rows is None:
        rows = [s.ids for s in sequences] if sequences is not None else _tokens_of(model, texts or [], prepend_bos)
    lengths = [len(row) for row in rows]
    _check_lengths(lengths, context_length(model), n_new)
    _check_ids(rows, vocabulary_size(model))
    pad_id = _pad_id(model)
    tensors = [torch.from_numpy(row) for row in rows]
    ids = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=pad_id)
    # A prompt that ends in the padding token is told from padding by the mask alone.
    needs_mask = len(set(lengths)) > 1 or (len(rows) > 1 and any(row[-1] == pad_id for row in rows))
    mask = (torch.arange(ids.shape[1]) < torch.as_tensor(lengths)[:, None]).long() if needs_mask else None
    device = getattr(getattr(model, "cfg", None), "device", None)
    return Encoded(ids.to(device), None if mask is None else mask.to(device), lengths, single, texts, sequences)


def _rendered(model: Any, prompts: Any) -> Any:
    """Prompts with chats written out, up to where the model goes on."""
    tokenizer = getattr(model, "tokenizer", None)
    if is_chat(prompts):
        return render(tokenizer, prompts, "prompts", answered=True)
    if not isinstance(prompts, list | tuple) or not any(is_chat(entry) for entry in prompts):
        return prompts
    for number, entry in enumerate(prompts):
        if not is_chat(entry):
            raise TypeError(f"prompts[{number}] must be a chat like others, a list of messages, got {entry!r}")
    return [render(tokenizer, chat, f"prompts[{number}]", answered=True) for number, chat in enumerate(prompts)]


def check_prompts(prompts: Any) -> list[str]:
    """Prompts that must be strings, as a list; see `encode` for what they may come in.

    Raises
    ------
    TypeError, ValueError
        If they are none.
    """
    texts = _sorted_out(prompts)[0]
    if texts is None:
        raise TypeError("prompts must be strings, got token ids")
    return texts


def _sorted_out(prompts: Any) -> tuple[list[str] | None, list[np.ndarray] | None, bool]:
    """The prompts as strings or as token ids, whichever they are, and whether there is one that stands alone."""
    if isinstance(prompts, str):
        return [as_text(prompts)], None, True
    if isinstance(prompts, Tensor):
        prompts = _plain(prompts)
    ndim = getattr(prompts, "ndim", None)
    if ndim == 0 and isinstance(prompts.item(), str):
        return [prompts.item()], None, True
    unordered = isinstance(prompts, bytes | Mapping | Set) or hasattr(prompts, "columns")
    if unordered or not isinstance(prompts, Iterable) or ndim == 0:
        raise TypeError(f"prompts must be {_FORMS}, got {type(prompts).__name__}")
    entries = list(prompts)
    if any(isinstance(entry, str) for entry in entries):
        for number, entry in enumerate(entries):
            if not isinstance(entry, str):
                raise TypeError(f"prompts[{number}] must be a string like others, got {entry!r}")
        return [as_text(entry) for entry in entries], None, False
    if not entries and ndim != 1:
        raise ValueError("no prompt was given: give at least one")
    if all(_is_id(entry) for entry in entries):
        return None, [_id_row(entries, 0)], True
    return None, [_id_row(entry, number) for number, entry in enumerate(entries)], False


def _id_row(entry: Any, number: int) -> np.ndarray:
    row = _plain(entry) if isinstance(entry, Tensor) else entry
    entries = list(row) if isinstance(row, Iterable) and not isinstance(row, str | bytes | Mapping | Set) else [None]
    for value in entries:
        if not _is_id(value):
            raise TypeError(f"prompts must be {_FORMS}; prompts[{number}] is {entry!r}")
    return np.array([int(value) for value in entries if value is not None], dtype=np.int64)


def _is_id(value: Any) -> bool:
    if isinstance(value, Tensor) and value.ndim == 0:
        value = value.item()
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_)


def _plain(tensor: Tensor) -> np.ndarray:
    """Ids of a tensor; anything that is no whole number is left as numbers that are refused."""
    tensor = tensor.detach().cpu()
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy()


def _sequences_of(model: Any, texts: list[str], prepend_bos: bool | None) -> list[TokenSequence] | None:
    """What the extractor would read; None with a tokenizer of another kind."""
    for number, text in enumerate(texts):
        check_unicode(f"prompt {number}", text)
    if not hasattr(getattr(model, "tokenizer", None), "is_fast"):
        return None
    distinct, found = list(dict.fromkeys(texts)), {}
    for text, sequence in zip(distinct, read_texts(model, distinct, prepend_bos) if distinct else [], strict=True):
        if sequence.special.all():
            raise ValueError(
                f"prompt {texts.index(text)} is empty: {text!r} has no token of its own to continue from. "
                "To start from the beginning-of-text token alone, give its id"
            )
        found[text] = sequence
    return [found[text] for text in texts]


def _tokens_of(model: Any, texts: list[str], prepend_bos: bool | None) -> list[np.ndarray]:
    distinct = list(dict.fromkeys(texts))
    tokenizer = getattr(model, "tokenizer", None)
    if not hasattr(model, "to_tokens") or (hasattr(model, "tokenizer") and tokenizer is None):
        raise ValueError("the model has no tokenizer: give token ids instead of strings")
    # One by one: what padding a batch would need depends on the tokenizer, and some have none.
    read = {text: model.to_tokens(text, prepend_bos=prepend_bos, truncate=False)[0] for text in distinct}
    return [read[text].cpu().numpy().astype(np.int64) for text in texts]


def _check_lengths(lengths: list[int], context: int | None, n_new: int) -> None:
    if not lengths:
        raise ValueError("no prompt was given: give at least one")
    if 0 in lengths:
        raise ValueError(f"prompt {lengths.index(0)} is empty: there is no token to continue from")
    longest = max(lengths)
    if context is not None and longest + n_new > context:
        place = lengths.index(longest)
        new, remedy = (f" and {n_new} new ones", "it or max_new_tokens") if n_new else ("", "it")
        raise ValueError(
            f"prompt {place} has {longest} tokens{new}, but the model's context holds {context}: shorten {remedy}"
        )


def _check_ids(rows: list[np.ndarray], known: int | None) -> None:
    for number, row in enumerate(rows):
        least, most = int(row.min()), int(row.max())
        if least < 0 or (known is not None and most >= known):
            reach = "not negative" if known is None else f"0 to {known - 1} for this model"
            raise ValueError(f"prompt {number} holds the token id {least if least < 0 else most}: ids are {reach}")


def _pad_id(model: Any) -> int:
    pad_id = getattr(getattr(model, "tokenizer", None), "pad_token_id", None)
    return 0 if pad_id is None else int(pad_id)


def special_ids(model: Any) -> list[int]:
    """Tokens that are no part of a text: beginning, end, padding and the like."""
    return sorted(set(getattr(getattr(model, "tokenizer", None), "all_special_ids", None) or []))
