"""The command `describe`: components in a line each, or all that is known of some."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import combining, east_asian_width

from ._base.words import visible
from ._cli_files import give, output_file, read_mixture, read_rows
from ._cli_help import TABLE, Parser, add_fitted, add_force

if TYPE_CHECKING:
    import pandas as pd

# What a line says of a component, in this order; numbers first, because a line is cut at its end.
_NUMBERS = ("size", "weight", "purity")
_TEXTS = ("concepts", "tokens", "columns")
_NARROWEST = 40
# Columns of a terminal that a cell before the last may take.
_WIDEST = 40
# Columns that hold shares.
_SHARES = ("weight", "purity")
# Where lines after the first begin, which is where their text does.
_INDENT = 12


def add_options(parser: Parser) -> None:
    """The options of the command."""
    add_fitted(parser)
    add = parser.add_argument
    add("--component", type=int, nargs="+", metavar="K", help="all that is known of these components, counted from 0")
    add("--sort", metavar="COLUMN", help="order components by this column of the table, the largest first")
    add("--top", type=int, metavar="N", help="the first N components only, in the order of --sort")
    add("--n-tokens", type=int, default=6, metavar="N", help="tokens of each component")
    add("--n-concepts", type=int, default=2, metavar="N", help="concepts of each component, where rows have labels")
    add("-o", "--output", type=Path, metavar="FILE", help=TABLE)
    add_force(parser, "a file")


def describe(arguments: argparse.Namespace) -> None:
    """Print or write what is known of each component."""
    from ._base.checks import check_component, check_count
    from .interpret import describe_components

    output = output_file(arguments, (".csv",))
    if arguments.top is not None:
        check_count("--top", arguments.top)
    mfa = read_mixture(arguments.mixture)
    chosen = [check_component(component, mfa.n_components_) for component in arguments.component or []]
    rows = read_rows(arguments.activations, arguments.layer)
    known = {"n_tokens": arguments.n_tokens, "n_concepts": arguments.n_concepts}
    table = in_order(describe_components(mfa, rows, **known), arguments.sort, arguments.top, chosen)
    width = _terminal_width()
    give(table.reset_index(), output, lambda found: blocks(found, width) if chosen else lines(found, width))


def in_order(
    table: pd.DataFrame, by: str | None = None, n_most: int | None = None, chosen: Sequence[int] = ()
) -> pd.DataFrame:
    """The lines of some components, or of all, by one of the columns."""
    found = table.loc[list(dict.fromkeys(chosen))] if chosen else table
    if by is not None:
        from pandas.api.types import is_numeric_dtype

        numeric = [name for name in found.columns if is_numeric_dtype(found[name])]
        if by not in numeric:
            raise ValueError(f"--sort {visible(by)}: give one of the columns of numbers, {', '.join(numeric)}")
        found = found.sort_values(by, ascending=False, kind="stable")
    return found if n_most is None else found.head(n_most)


def lines(table: pd.DataFrame, width: int | None = None) -> str:
    """A line for each component, cut to a width in columns of a terminal; None cuts nothing."""
    numbers = ["component", *(name for name in _NUMBERS if name in table)]
    texts = [name for name in _TEXTS if name in table]
    records = table.to_dict("records")
    right = [numbers, *([_shown(name, line[name]) for name in numbers] for line in records)]
    left = [texts, *([cut(_shown(name, line[name]), _WIDEST) for name in texts[:-1]] for line in records)]
    widths = [max(map(columns_of, column)) for column in zip(*right, strict=True)]
    rooms = [max(map(columns_of, column)) for column in zip(*(words[: len(texts) - 1] for words in left), strict=True)]
    last = [texts[-1:], *([_shown(name, line[name]) for name in texts[-1:]] for line in records)]
    made = []
    for figures, words, rest in zip(right, left, last, strict=True):
        cells = [cell.rjust(size) for cell, size in zip(figures, widths, strict=True)]
        cells += [word + " " * (room - columns_of(word)) for word, room in zip(words, rooms, strict=False)]
        made.append(cut("  ".join([*cells, *rest]).rstrip(), width))
    return "\n".join(made)


def blocks(table: pd.DataFrame, width: int | None = None) -> str:
    """All that is known of each component, its lines wrapped to a width in columns of a terminal."""
    from .interpret import format_components

    text = format_components(table.set_index("component"))
    return "\n".join(part for line in text.split("\n") for part in _wrapped(visible(line), width))


def _wrapped(line: str, width: int | None) -> Iterator[str]:
    """Parts of a line, broken at blanks where there are any; those after the first are indented."""
    while width is not None and columns_of(line) > width:
        size = next(i for i in range(len(line)) if columns_of(line[: i + 1]) > width)
        blank = line.rfind(" ", _INDENT, size + 1)
        size = blank if blank > 0 and line[:blank].strip() else size
        yield line[:size].rstrip()
        line = " " * _INDENT + line[size:].lstrip()
    yield line


def _shown(name: str, value: Any) -> str:
    """A cell of the table, for people."""
    if isinstance(value, str):
        return visible(value)
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, int):
        return f"{value:,}" if name != "component" else str(value)
    if isinstance(value, float):
        return f"{value:.1%}" if name in _SHARES else f"{value:.3g}"
    return visible(value)


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes.

    >>> columns_of("cat"), columns_of("日本"), columns_of("e\\u0301")
    (3, 4, 1)
    """
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int | None) -> str:
    """A text of at most so many columns of a terminal, with an ellipsis where something is left out.

    >>> cut("the cat sat", 8)
    'the cat…'
    """
    if width is None or columns_of(text) <= width:
        return text
    kept, room = [], width - 1
    for c in text:
        room -= columns_of(c)
        if room < 0:
            break
        kept.append(c)
    return "".join(kept).rstrip() + "…"


def _terminal_width() -> int | None:
    """Columns of the terminal; None where lines go to a file or to another program, which cuts them as it likes."""
    is_screen = sys.stdout is not None and sys.stdout.isatty()
    if not is_screen and "COLUMNS" not in os.environ:
        return None
    return max(shutil.get_terminal_size().columns, _NARROWEST)
