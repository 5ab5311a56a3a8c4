"""What notebooks show: snippets of HTML without scripts, with their style inside, in which every string is escaped.

Colors are a shade over whatever the notebook's background is, and text keeps the notebook's color, so that both can be
read in light and in dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from .._base.words import visible

_BOX = "font-family:monospace;line-height:1.9;overflow-wrap:anywhere"
_LINE = "border:1px solid rgba(128,128,128,.4);padding:.3em .6em;text-align:left;vertical-align:top"
_FAINT = "opacity:.65"


class Token(NamedTuple):
    """A token to be shown."""

    text: str
    note: str  # what is said of it when it is pointed at
    shade: float  # from 0, none, to 1
    underlined: bool


def tokens_html(rows: Sequence[tuple[str, Sequence[Token]]], legend: str) -> str:
    """Rows of tokens, each row behind its name, and a line that says what shade and underline mean."""
    lines = [
        f'<div><span style="{_FAINT}">{_escaped(name)}</span> {"".join(_token(token) for token in tokens)}</div>'
        for name, tokens in rows
    ]
    return f'<div style="{_BOX}">{"".join(lines)}<div style="{_FAINT}">{_escaped(legend)}</div></div>'


def table_html(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A table whose rows have a name and cells."""
    titles = "".join(f'<th style="{_LINE}">{_escaped(title)}</th>' for title in head)
    lines = []
    for name, cells in rows:
        columns = "".join(f'<td style="{_LINE};white-space:pre-wrap">{_escaped(cell)}</td>' for cell in cells)
        lines.append(f'<tr><th style="{_LINE}">{_escaped(name)}</th>{columns}</tr>')
    body = f"<thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<table style="border-collapse:collapse;overflow-wrap:anywhere">{body}</table>'


def _token(token: Token) -> str:
    # Spaces are as much a part of a token as letters, and at the ends of one nobody would see them.
    text = _escaped(token.text).replace(" ", "&middot;")
    style = f"background:rgba(230,110,0,{0.12 + 0.5 * token.shade:.2f});" if token.shade > 0 else ""
    style += "border-bottom:2px solid rgba(60,130,220,.8);" if token.underlined else ""
    shape = "padding:.1em .15em;margin-right:1px;border-radius:3px"
    return f'<span title="{_escaped(token.note)}" style="{style}{shape}">{text or "&empty;"}</span>'


def _escaped(text: str) -> str:
    return escape(visible(text), quote=True)
