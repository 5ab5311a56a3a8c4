"""Strings of an atlas, each stored once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._base.words import repaired

# Longer strings are cut: a token may be a whole text.
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
        self._numbers: dict[str, int] = {}

    @property
    def found(self) -> list[str]:
        """All strings, by their numbers."""
        return list(self._numbers)

    def number(self, string: Any) -> int:
        """The number of a string; of a long one cut with an ellipsis."""
        text = repaired(str(string))
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        return self._numbers.setdefault(text, len(self._numbers))

    def numbers(self, strings: Iterable[Any]) -> list[int]:
        """The numbers of several strings."""
        return [self.number(string) for string in strings]
