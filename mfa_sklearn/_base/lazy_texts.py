"""Texts that are read when they are asked for, such as those of rows on disk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any


class LazyTexts(Sequence[str]):
    """Texts that are read when they are asked for, and equal to any others with the same content.

    An array of rows that carries such texts is pickled with all of them, and needs no file any more.
    """

    @abstractmethod
    def read(self, numbers: range) -> Sequence[str]:
        """The texts of some numbers from 0."""

    def __getitem__(self, index: Any) -> Any:
        numbers = range(len(self))[index]
        return tuple(self.read(numbers)) if isinstance(numbers, range) else self.read(range(numbers, numbers + 1))[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, str) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))
