"""Which columns of a row are its text and its label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from pathlib import Path
from typing import Any

from .._base.labels import is_missing
from .._base.words import shortened

TEXT_NAMES = ("prompt", "text", "sentence")
LABEL_NAMES = ("label", "concept")


def normalized(name: Any) -> str:
    """A column's name as it is compared."""
    return str(name).strip().lower()


@dataclass(frozen=True)
class Columns:
    """Finds texts and labels: in the columns named, else in those whose names are known.

    Parameters
    ----------
    text, label : str, optional

    Raises
    ------
    ValueError
        If both are one column.
    """

    text: str | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.text is not None and self.label is not None and normalized(self.text) == normalized(self.label):
            raise ValueError(
                f"text_column and label_column both name {self.text!r}: name the column of the labels, or leave it out"
            )

    @property
    def named(self) -> bool:
        """Whether the caller says that there are columns."""
        return self.text is not None or self.label is not None

    def is_text(self, name: Any) -> bool:
        """Whether a column of this name holds texts."""
        return self._is(name, self.text, TEXT_NAMES, self.label)

    def is_label(self, name: Any) -> bool:
        """Whether a column of this name holds labels."""
        return self._is(name, self.label, LABEL_NAMES, self.text)

    @staticmethod
    def _is(name: Any, named: str | None, known: tuple[str, ...], other: str | None) -> bool:
        """Whether a column is the one named or, if none is, has a known name and was not named as the other."""
        if named is not None:
            return normalized(name) == normalized(named)
        return normalized(name) in known and (other is None or normalized(name) != normalized(other))

    def holds_texts(self, names: Iterable[Any]) -> bool:
        """Whether there is a column of texts."""
        return any(self.is_text(name) for name in names)

    def check_header(self, names: list[str]) -> None:
        """Refuse a table of which two columns have one name that matters, or a column that was named is missing."""
        for wanted, found in (
            (self.text, [name for name in names if self.is_text(name)]),
            (self.label, [name for name in names if self.is_label(name)]),
        ):
            twice = [name for name in found if [normalized(n) for n in found].count(normalized(name)) > 1]
            if twice:
                raise ValueError(f"has two columns {twice[0].strip()!r}: rename one")
            if wanted is not None and not found:
                raise ValueError(f"has no column {wanted!r}: it has {shortened(names, 200)}")

    def check_header_of(self, path: Path, names: Sequence[Any]) -> None:
        """`check_header` of a file's table, with the file in the message."""
        try:
            self.check_header(list(map(str, names)))
        except ValueError as error:
            raise ValueError(f"{path} {error}.") from error

    def read(self, row: Any) -> tuple[Any, str | None, str]:
        """(text or chat, label or None, why the row is left out); the last is empty for a good row.

        Raises
        ------
        ValueError
            If several columns may be the text or the label, or the label is none.
        """
        if isinstance(row, str) and not self.named:
            return ("", None, "with an empty text") if is_missing(row) else (row.strip(), None, "")
        if not isinstance(row, Mapping):
            return "", None, "without columns" if isinstance(row, str) else f"of type {type(row).__name__}"
        if not self.holds_texts(row):
            return "", None, "without a text column"
        text = self._only("text_column", {name: cell for name, cell in row.items() if self.is_text(name)})
        if text is None:
            return "", None, "with an empty text"
        if not (isinstance(text, str) or _is_chat(text)):
            return "", None, f"whose text is of type {type(text).__name__}"
        return text.strip() if isinstance(text, str) else text, self._label(row), ""

    def _label(self, row: Mapping[str, Any]) -> str | None:
        label = self._only("label_column", {name: cell for name, cell in row.items() if self.is_label(name)})
        if label is None or isinstance(label, str):
            return label and label.strip()
        if not isinstance(label, Number):
            raise ValueError(f"has a label of type {type(label).__name__}, {shortened(label)}: give one label per text")
        return str(label)

    @staticmethod
    def _only(option: str, cells: dict[str, Any]) -> Any:
        """The one cell that is not empty, or None."""
        full = {name: cell for name, cell in cells.items() if not is_missing(cell)}
        values = list(full.values())
        if any(value != values[0] for value in values[1:]):
            shown = " and ".join(f"{name.strip()!r} ({shortened(cell, 30)})" for name, cell in full.items())
            raise ValueError(f"can be read in two ways, by {shown}: choose with {option}")
        return values[0] if values else None


def _is_chat(cell: Any) -> bool:
    """Whether a cell is a list of messages, as a tokenizer's chat template takes it."""
    return (
        isinstance(cell, list)
        and len(cell) > 0
        and all(isinstance(message, dict) and {"role", "content"} <= set(message) for message in cell)
    )
