"""Strings of an atlas, each stored once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._base.words import repaired

# Characters; longer strings are cut: a token may be a whole text.
_LONGEST = 400


class Strings:
    """Numbers of strings, given as they come.

    Examples
    --------
    >>> strings = Strings()
    >>> strings.numbers([" cat", " sat", " cat"]), strings.found
    ([0, 1, 0], [' cat', ' sat'])
    """

    def __init__(self) -> None:
        self.found: list[str] = []  # by their numbers
        self._numbers: dict[str, int] = {}

    def number(self, string: Any) -> int:
        """The number of a string; of a long one cut with an ellipsis."""
        text = repaired(str(string))
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        number = self._numbers.setdefault(text, len(self.found))
        if number == len(self.found):
            self.found.append(text)
        return number

    def numbers(self, strings: Iterable[Any]) -> list[int]:
        """The numbers of several strings."""
        return [self.number(string) for string in strings]
