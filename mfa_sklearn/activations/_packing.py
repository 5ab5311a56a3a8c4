"""Several short texts in one context, kept apart in attention and each with places of its own."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._base.words import is_out_of_memory, shortened

# How far a row beside others may be from the same row alone, relative to its length: rounding, by bits of the numbers.
_ROUNDING = {16: 0.05, 32: 1e-3, 64: 1e-6}
# Tokens of a text that the comparison takes.
_COMPARED = 16


def pack(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Which of things so long share a context of `limit` tokens: the longest first, each where it fits best.

    Examples
    --------
    >>> pack([3, 9, 5, 2, 1], limit=10)
    [[1, 4], [2, 0, 3]]
    """
    contexts: list[list[int]] = []
    room: list[tuple[int, int]] = []  # left in a context, and its number, ascending
    for number in np.argsort([-n for n in lengths], kind="stable").tolist():
        place = bisect_left(room, (lengths[number], 0))
        if place == len(room):
            contexts.append([])
            left, context = limit, len(contexts) - 1
        else:
            left, context = room.pop(place)
        contexts[context].append(number)
        insort(room, (left - lengths[number], context))
    return contexts


def beside_each_other(model: Any, lengths: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    """What keeps texts apart that stand one after the other.

    Parameters
    ----------
    model : TransformerBridge or PlainModel
    lengths : list of B lists of int
        Of the texts in each context, which is padded on the right.

    Returns
    -------
    mask : Tensor of shape (B, 1, T, T)
        What is added to scores of attention: 0 where a token sees another of its own text, else the lowest number.
    positions : Tensor of int of shape (B, T)
        Places in the texts, from the model's first on.
    """
    import torch

    weights = next(model.original_model.parameters())
    width = max(sum(some) for some in lengths)
    texts, places = np.zeros((2, len(lengths), width), dtype=np.int64)
    for row, some in enumerate(lengths):
        n = sum(some)
        texts[row, :n] = np.repeat(np.arange(1, len(some) + 1), some)
        places[row, :n] = np.concatenate([np.arange(m) for m in some])
    number = torch.from_numpy(texts).to(weights.device)
    seen = number[:, None, :, None] == number[:, None, None, :]
    if model.cfg.attention_dir != "bidirectional":
        seen = seen & torch.ones(width, width, dtype=torch.bool, device=weights.device).tril()
    zero = torch.zeros((), dtype=weights.dtype, device=weights.device)
    mask = torch.where(seen, zero, torch.finfo(weights.dtype).min)
    return mask, torch.from_numpy(places + _first_position(model)).to(weights.device)


def _first_position(model: Any) -> int:
    """The number of a text's first place: RoBERTa's come after that of padding."""
    for name, module in model.original_model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:
            return int(padding) + 1
    return 0


def check_keeps_apart(
    model: Any, texts: Sequence[np.ndarray], longest: int, rows: Callable[[list[np.ndarray], list[list[int]]], Any]
) -> None:
    """Refuse a model whose rows of a text depend on the text beside it: asked once, of two texts.

    Parameters
    ----------
    model : TransformerBridge or PlainModel
    texts : list of ndarray of int64
        Token ids of two texts.
    longest : int
        Tokens of the longest text.
    rows : callable
        From contexts and the lengths of their texts to activations (B, T, d).

    Raises
    ------
    ValueError
    """
    config = model.original_model.config.get_text_config()
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if window is not None and longest > window:
        raise ValueError(
            f"pack=True is refused: the model's tokens see {window} tokens back at most, and texts of {longest} tokens "
            f"beside others would see them all: give max_length={window} at most, or pack=False"
        )
    if getattr(model, "mfa_keeps_apart", False):
        return
    first, second = (text[:_COMPARED] for text in texts)
    lengths = [len(first), len(second)]
    try:
        together = rows([np.concatenate([first, second])], [lengths])[0].double()
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        if is_out_of_memory(error):
            raise
        raise ValueError(
            "pack=True is refused: this architecture takes no mask and positions that keep texts in one context apart "
            f"({type(error).__name__}: {shortened(str(error), 100)}): give pack=False"
        ) from error
    alone = [rows([text], [[len(text)]])[0].double() for text in (first, second)]
    for found, expected in zip(together.split(lengths), alone, strict=True):
        difference = float(((found - expected).norm(dim=1) / expected.norm(dim=1).clamp(min=1e-30)).max())
        bits = next(model.original_model.parameters()).element_size() * 8
        if not difference <= _ROUNDING[bits]:
            raise ValueError(
                f"pack=True is refused: this architecture does not keep texts in one context apart (rows differ by "
                f"{difference:.1%} from those of the same text alone): give pack=False"
            )
    model.mfa_keeps_apart = True
