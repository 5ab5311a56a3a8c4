"""Tokens made visible, alone and inside their text."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._base.annotated import shared_fact
from .._base.coded import Coded, short_fact
from .._base.words import visible

_ELLIPSIS = "…"


def label_text(token: Any) -> str:
    """A token as a short label: visible, without outer blanks; a blank one as open boxes.

    >>> label_text(" cat"), label_text("  ")
    ('cat', '␣␣')
    """
    string = visible(token)
    return string.strip() or "␣" * len(string)


class Contexts:
    """Shows rows' tokens inside their texts, marked as ``«token»``.

    From character offsets where the activations carry texts and offsets, else from the tokens of the other rows of the
    same text.

    Parameters
    ----------
    activations : ActivationArray or array
    tokens : ndarray of str, shape (n,)
    width : int
        Most characters on either side.
    """

    def __init__(self, activations: Any, tokens: np.ndarray | Coded, width: int) -> None:
        self._activations, self._tokens, self._width = activations, tokens, width
        # Read here, so that a damaged file is told before rows are gone through.
        self._text_index, self._starts, self._ends = (
            short_fact(activations, name) for name in ("text_index", "starts", "ends")
        )
        self._texts = shared_fact(activations, "texts")
        self._order: np.ndarray | None = None

    @property
    def known(self) -> bool:
        """Whether anything is known of the texts that the rows came from."""
        return self._text_index is not None

    def __call__(self, row: int) -> str:
        """The context of one row."""
        if self._texts is not None and self._starts is not None and self._ends is not None:
            return self._from_text(row)
        return self._from_neighbors(row)

    def _from_text(self, row: int) -> str:
        assert self._texts is not None and self._text_index is not None
        assert self._starts is not None and self._ends is not None
        text = self._texts[self._text_index[row]]
        start, end = int(self._starts[row]), int(self._ends[row])
        token = text[start:end] or str(self._tokens[row])
        return _marked(text[:start], token, text[end:], self._width)

    def _from_neighbors(self, row: int) -> str:
        if self._order is None:
            self._arrange()
        assert self._order is not None
        place = int(self._places[row])
        # A token has at least one character, so no more than `width` of them are needed.
        before = self._run(self._order[max(0, place - self._width - 1) : place + 1][::-1])[::-1]
        after = self._run(self._order[place : place + self._width + 2])
        left, right = (self._glue.join(map(str, self._tokens[rows])) for rows in (before[:-1], after[1:]))
        left, right = left and left + self._glue, right and self._glue + right
        return _marked(left, str(self._tokens[row]), right, self._width)

    def _arrange(self) -> None:
        """Find the order of rows by text and position, and where each row stands in it."""
        assert self._text_index is not None
        self._positions = short_fact(self._activations, "positions")
        positions = np.arange(len(self._tokens)) if self._positions is None else self._positions
        self._order = np.lexsort((positions, self._text_index))
        self._places = np.argsort(self._order)
        # Tokens that carry their own blanks are put together as they are.
        self._glue = "" if any(str(token)[:1] == " " for token in self._tokens[:1000]) else " "

    def _run(self, rows: np.ndarray) -> np.ndarray:
        """The leading part of `rows` that is consecutive in one text."""
        assert self._text_index is not None
        same = self._text_index[rows] == self._text_index[rows[0]]
        if self._positions is not None:
            same &= np.abs(self._positions[rows] - self._positions[rows[0]]) == np.arange(len(rows))
        return rows[: len(rows) if same.all() else int(same.argmin())]


def _marked(left: str, token: str, right: str, width: int) -> str:
    """``…left «token» right…``, cut to `width` characters on either side, at blanks where there are some."""
    if len(left) > width:
        cut = left[len(left) - width :]
        left = _ELLIPSIS + (cut[cut.find(" ") + 1 :] if left[-width - 1 : -width] != " " else cut)
    if len(right) > width:
        cut = right[:width]
        right = (cut[: cut.rfind(" ")] if " " in cut and right[width] != " " else cut) + _ELLIPSIS
    blanks = len(token) - len(token.lstrip()) if token.strip() else 0
    return visible(f"{left}{token[:blanks]}«{token[blanks:]}»{right}".strip(" "))
