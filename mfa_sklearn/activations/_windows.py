"""What a model reads at once: texts as they are, windows of long ones, or several short ones side by side.

A row belongs to one window. Where windows overlap, the tokens that an earlier window has are context in the later one,
and so are the special tokens that begin and end every window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._base.words import plural
from ._tokenize import TokenSequence, is_encoder


class Window(NamedTuple):
    """Part of a text's sequence.

    Attributes
    ----------
    seen : ndarray of int of shape (T,)
        Places in the sequence of the tokens that are read, ascending.
    start, stop : int
        Places whose rows are taken here, those in between included.
    """

    seen: np.ndarray
    start: int
    stop: int


class Piece(NamedTuple):
    """A window with rows to take.

    Attributes
    ----------
    ids : ndarray of int64 of shape (T,)
    places : ndarray of int of shape (n,)
        Which of these tokens are taken.
    text : int
        Number of the text.
    row : int
        Number of the first of its rows.
    """

    ids: np.ndarray
    places: np.ndarray
    text: int
    row: int


def split(model: Any, sequence: TokenSequence, limit: int, overlap: int) -> Iterator[Window]:
    """Windows of at most `limit` tokens, each with `overlap` tokens of the one before as context.

    Raises
    ------
    ValueError
        If no room is left for tokens that are new.
    """
    n = len(sequence)
    if n <= limit:
        yield Window(np.arange(n), 0, n)
        return
    lead, tail = _around(model, sequence)
    room = limit - lead - tail
    if room < 1:
        raise ValueError(f"max_length={limit} leaves no room beside {plural(lead + tail, 'special token')}: raise it")
    if room <= overlap:
        raise ValueError(
            f"stride={overlap} leaves no room for other tokens in windows of max_length={limit}, of which "
            f"{lead + tail} are special: lower it below {room}, or raise max_length"
        )
    last, start = n - tail, 0
    for begin in range(lead, last - overlap, room - overlap):
        end = min(begin + room, last)
        stop = n if end == last else end
        yield Window(np.r_[:lead, begin:end, last:n], start, stop)
        start = stop


def _around(model: Any, sequence: TokenSequence) -> tuple[int, int]:
    """How many tokens begin and end every window: of a causal model's only the one at the beginning of a text.

    What a chat template writes around messages is of the chat, not of every part of it.
    """
    own = np.flatnonzero(~sequence.special)
    if is_encoder(model):
        return int(own[0]), len(sequence) - 1 - int(own[-1])
    return int(sequence.special[0] and sequence.ids[0] == model.tokenizer.bos_token_id), 0


def pieces_of(
    sequences: Sequence[TokenSequence], windows: Sequence[Sequence[Window]] | None, taken: Sequence[np.ndarray]
) -> list[Piece]:
    """Windows with rows.

    Parameters
    ----------
    sequences : list of n TokenSequence
    windows : list of n lists of Window, or None
        None reads each sequence whole.
    taken : list of n ndarray of int
        Places in the sequences, ascending, that become rows, which are numbered in this order.
    """
    found, row = [], 0
    for text, (sequence, places) in enumerate(zip(sequences, taken, strict=True)):
        if windows is None:
            found += [Piece(sequence.ids, places, text, row)] * bool(len(places))
        else:
            for window in windows[text]:
                first, last = np.searchsorted(places, (window.start, window.stop))
                if first < last:
                    inside = np.searchsorted(window.seen, places[first:last])
                    found.append(Piece(sequence.ids[window.seen], inside, text, row + int(first)))
        row += len(places)
    return found


class Contexts:
    """Sequences that a model reads, of one or more pieces each.

    Parameters
    ----------
    pieces : list of Piece
    packed : list of lists of int
        Which pieces stand one after the other in each sequence.
    """

    def __init__(self, pieces: Sequence[Piece], packed: Sequence[Sequence[int]]) -> None:
        self.pieces = [[pieces[number] for number in some] for some in packed]

    @property
    def ids(self) -> list[np.ndarray]:
        """Token ids of each sequence."""
        return [some[0].ids if len(some) == 1 else np.concatenate([p.ids for p in some]) for some in self.pieces]

    @property
    def lengths(self) -> list[list[int]]:
        """Of the pieces of each sequence."""
        return [[len(piece.ids) for piece in some] for some in self.pieces]

    def taken(self, index: Iterable[int], width: int) -> tuple[np.ndarray, list[Piece]]:
        """What is taken of a batch padded to a width, its rows one after the other: places, by pieces, and these."""
        places, pieces = [], []
        for row, number in enumerate(index):
            start = row * width
            for piece in self.pieces[number]:
                places.append(piece.places + start)
                pieces.append(piece)
                start += len(piece.ids)
        return np.concatenate(places), pieces
