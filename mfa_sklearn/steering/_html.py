"""Tokens shaded by how far they were moved, and texts side by side, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .._base.html import cells_html, escaped, faint_html, framed_html, spaced


class Token(NamedTuple):
    """A token to be shown."""

    text: str
    note: str  # what is said of it when it is pointed at
    shade: float  # from 0, none, to 1
    underlined: bool


def tokens_html(rows: Sequence[tuple[str, Sequence[Token]]], legend: str) -> str:
    """Rows of tokens, each row behind its name, and a line that says what shade and underline mean."""
    lines = [
        f'<div><span class="mfa-faint">{escaped(name)}</span> {"".join(_token(token) for token in tokens)}</div>'
        for name, tokens in rows
    ]
    return framed_html(f'<div class="mfa-tokens">{"".join(lines)}{faint_html(legend)}</div>')


def table_html(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A table whose rows have a name and cells."""
    return framed_html(cells_html(head, rows))


def _token(token: Token) -> str:
    style = f"background:rgba(230,110,0,{0.12 + 0.5 * token.shade:.2f})!important;" if token.shade > 0 else ""
    style += "border-bottom:2px solid rgba(60,130,220,.8)!important;" if token.underlined else ""
    return f'<span class="mfa-token" title="{escaped(token.note)}" style="{style}">{spaced(token.text)}</span>'
