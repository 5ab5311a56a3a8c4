"""Rows shown among their neighbors: which are worth showing, and what stands around them in their texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .._base.annotated import shared_fact
from .._base.coded import Coded, short_fact

# Rows of a component that are looked through for some of different texts and tokens.
_POOL = 200
# Most characters of what stands in a text before its first row, after the last or between two.
_REST = 60
_ELLIPSIS = "…"


class Window(NamedTuple):
    """A row among the rows and the other parts of its text."""

    row: int
    pieces: list[str]  # put together, they are a part of the text
    rows: np.ndarray  # (m,)  row of each piece, -1 where it is no row
    at: int  # the place of the row itself


class Texts:
    """The texts that rows came from, cut into pieces of which most are rows.

    From character offsets where the activations carry texts and offsets, else from the tokens of the other rows of the
    same text. Where a row is a text, the text is one piece.

    Parameters
    ----------
    activations : array or row source
    tokens : ndarray of str, shape (n,), or None
    width : int
        Most rows on either side.
    """

    def __init__(self, activations: Any, tokens: np.ndarray | Coded | None, width: int) -> None:
        self._tokens, self._width = tokens, width
        self.index = short_fact(activations, "text_index")
        self._positions = short_fact(activations, "positions")
        self._starts, self._ends = short_fact(activations, "starts"), short_fact(activations, "ends")
        self._texts = shared_fact(activations, "texts")
        self.are_rows = self._texts is not None and self.index is not None and self._one_row_each(activations)
        self._order: np.ndarray | None = None

    def _one_row_each(self, activations: Any) -> bool:
        """Whether a row is a text: tokens were pooled, or nothing is known of them and no two rows are of one text."""
        if (shared_fact(activations, "source") or {}).get("pooling"):
            return True
        return self._tokens is None and self._starts is None and _differ(self.index)

    @property
    def known(self) -> bool:
        """Whether there is anything to show of a row."""
        return self.are_rows or self._tokens is not None

    def window(self, row: int) -> Window:
        """A row among its neighbors."""
        if self.are_rows:
            return Window(row, [self.text_of(row)], np.array([row]), 0)
        assert self._tokens is not None
        if self.index is None:
            return Window(row, [str(self._tokens[row])], np.array([row]), 0)
        rows, before, after = self._around(row)
        offsets = self._texts is not None and self._starts is not None and self._ends is not None
        cut = self._from_text(rows, before, after) if offsets else self._from_tokens(rows, before, after)
        pieces, numbers = zip(*((piece, number) for piece, number in cut if piece), strict=True)
        found = np.array(numbers)
        return Window(row, list(pieces), found, int(np.flatnonzero(found == row)[0]))

    def text_of(self, row: int) -> str:
        """The text that a row came from."""
        assert self._texts is not None and self.index is not None
        return str(self._texts[self.index[row]])

    def _around(self, row: int) -> tuple[np.ndarray, bool, bool]:
        """Rows of the same text, in its order, and whether it has more of them before and behind."""
        if self._order is None:
            self._arrange()
        assert self._order is not None and self.index is not None
        place, width = int(self._places[row]), self._width
        near = self._order[max(0, place - width - 1) : place + width + 2]
        same = np.flatnonzero(self.index[near] == self.index[row])
        own = place - max(0, place - width - 1)
        first, last = int(same[0]), int(same[-1])
        low, high = max(first, own - width), min(last, own + width)
        return near[low : high + 1], low > first, high < last

    def _arrange(self) -> None:
        assert self.index is not None and self._tokens is not None
        positions = np.arange(len(self._tokens)) if self._positions is None else self._positions
        self._order = np.lexsort((positions, self.index))
        self._places = np.argsort(self._order)
        # Tokens that carry their own blanks are put together as they are.
        self._glue = "" if any(str(token)[:1] == " " for token in self._tokens[:1000]) else " "

    def _from_text(self, rows: np.ndarray, before: bool, after: bool) -> Iterator[tuple[str, int]]:
        """Pieces and their rows, -1 for what is no row; blanks between rows belong to the row behind them."""
        assert self._starts is not None and self._ends is not None and self._tokens is not None
        text = self.text_of(rows[0])
        reached = int(self._starts[rows[0]])
        yield (_ELLIPSIS if before else _last(text[:reached])), -1
        for row in rows:
            start, end = int(self._starts[row]), int(self._ends[row])
            gap, blank = text[reached:start], ""
            if gap.strip():
                yield _shortened(gap), -1
            else:
                blank = gap
            yield blank + (text[max(start, reached) : end] or str(self._tokens[row])), int(row)
            reached = max(reached, end)
        yield (_ELLIPSIS if after else _first(text[reached:])), -1

    def _from_tokens(self, rows: np.ndarray, before: bool, after: bool) -> Iterator[tuple[str, int]]:
        assert self._tokens is not None
        yield (_ELLIPSIS if before else ""), -1
        last = None
        for row in rows:
            position = None if self._positions is None else int(self._positions[row])
            if last is not None and position is not None and position != last + 1:
                yield f"{self._glue}{_ELLIPSIS}", -1
            yield ("" if last is None else self._glue) + str(self._tokens[row]), int(row)
            last = -1 if position is None else position
        yield (_ELLIPSIS if after else ""), -1


def _differ(numbers: np.ndarray | None) -> bool:
    return numbers is not None and len(np.unique(numbers)) == len(numbers)


def _first(text: str) -> str:
    return text if len(text) <= _REST else f"{text[:_REST]}{_ELLIPSIS}"


def _last(text: str) -> str:
    return text if len(text) <= _REST else f"{_ELLIPSIS}{text[-_REST:]}"


def _shortened(text: str) -> str:
    half = _REST // 2
    return text if len(text) <= _REST else f"{text[:half]}{_ELLIPSIS}{text[-half:]}"


def varied(rows: np.ndarray, n_most: int, texts: np.ndarray | None, tokens: np.ndarray | None) -> list[int]:
    """The first of some rows, preferring such of texts and tokens that are not shown yet.

    Parameters
    ----------
    rows : ndarray of int
        The best first.
    n_most : int
    texts, tokens : ndarray of shape (n,) or None
        Of all rows, as numbers.
    """
    pool = rows[:_POOL].tolist()
    chosen: list[int] = []
    for differs in ((texts, tokens), (texts,), ()):
        seen = [{fact[row] for row in chosen} for fact in differs if fact is not None]
        facts = [fact for fact in differs if fact is not None]
        for row in pool:
            if len(chosen) == n_most:
                return chosen
            if row not in chosen and not any(fact[row] in known for fact, known in zip(facts, seen, strict=True)):
                chosen.append(row)
                for fact, known in zip(facts, seen, strict=True):
                    known.add(fact[row])
    return chosen
