"""What notebooks show: HTML without scripts, in which every string is escaped, apart from the page's styles.

A snippet is put into the page by ``innerHTML``, so neither a declarative shadow root nor a script comes to life, and a
frame of its own would have to guess its height. Instead all that the page's styles say of the snippet is reverted, by
declarations that are important and stand in a cascade layer, which no selector outside of a layer can outweigh. Only
important declarations in a layer that the page names earlier are stronger. Where a viewer takes out styles, the
snippet is still a heading, lists and tables that can be read.

Functions whose names end in ``_html`` give HTML, and take plain text where they do not say HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .words import visible

_ROOT = "mfa-sklearn"
# A shade over the background can be seen in light and in dark.
_STYLE = """
@layer mfa-sklearn {
.R, .R :is(*) { all: revert !important; direction: ltr !important; color: inherit !important }
.R::before, .R::after, .R :is(*)::before, .R :is(*)::after { content: none !important }
.R { --mfa-ink: #1f2328 !important; --mfa-paper: #fff !important; --mfa-bar: #0072b2 !important;
  display: block !important; unicode-bidi: isolate !important; box-sizing: border-box !important;
  width: fit-content !important; max-width: 100% !important; padding: .7em 1em !important; margin: .3em 0 !important;
  overflow-x: auto !important; border: 1px solid rgba(128,128,128,.4) !important; border-radius: 6px !important;
  color: var(--mfa-ink) !important; background: var(--mfa-paper) !important;
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif !important;
  text-align: left !important; white-space: normal !important; visibility: visible !important; opacity: 1 !important;
  letter-spacing: normal !important; word-spacing: normal !important; text-transform: none !important;
  text-indent: 0 !important; text-shadow: none !important; cursor: auto !important }
@media (prefers-color-scheme: dark) { .R {
  --mfa-ink: #e6edf3 !important; --mfa-paper: #15191e !important; --mfa-bar: #56b4e9 !important } }
:is([data-jp-theme-light=true], [data-theme=light], .vscode-light) .R {
  --mfa-ink: #1f2328 !important; --mfa-paper: #fff !important; --mfa-bar: #0072b2 !important }
:is([data-jp-theme-light=false], [data-theme=dark], .vscode-dark) .R {
  --mfa-ink: #e6edf3 !important; --mfa-paper: #15191e !important; --mfa-bar: #56b4e9 !important }
.R .mfa-head { font-size: 1.1em !important; font-weight: 600 !important; margin: 0 0 .4em !important }
.R table { border-collapse: collapse !important; margin: .4em 0 !important; font-size: 1em !important }
.R th, .R td { padding: .15em .9em .15em 0 !important; text-align: left !important; vertical-align: top !important }
.R th { font-weight: 600 !important }
.R .mfa-facts th { white-space: nowrap !important }
.R .mfa-lines th, .R .mfa-lines td { border-bottom: 1px solid rgba(128,128,128,.3) !important }
.R .mfa-cells th, .R .mfa-cells td { border: 1px solid rgba(128,128,128,.4) !important; padding: .3em .6em !important }
.R .mfa-cells td { white-space: pre-wrap !important; overflow-wrap: anywhere !important }
.R .mfa-number { text-align: right !important; font-variant-numeric: tabular-nums !important;
  white-space: nowrap !important }
.R .mfa-faint { opacity: .7 !important }
.R .mfa-bar { display: block !important; width: 9em !important; padding: .25em 0 !important }
.R .mfa-bar > span { display: block !important; min-width: 1px !important; height: .8em !important;
  border-radius: 2px !important; background: var(--mfa-bar) !important }
.R .mfa-tokens { font-family: ui-monospace, "DejaVu Sans Mono", monospace !important; line-height: 1.9 !important;
  overflow-wrap: anywhere !important }
.R .mfa-token { padding: .1em .15em !important; margin-right: 1px !important; border-radius: 3px !important;
  unicode-bidi: isolate !important }
.R .mfa-chip { padding: .05em .35em !important; border-radius: 4px !important;
  background: rgba(128,128,128,.16) !important; white-space: pre !important; unicode-bidi: isolate !important;
  font-family: ui-monospace, "DejaVu Sans Mono", monospace !important; font-size: .93em !important }
.R summary { cursor: pointer !important; margin-top: .3em !important }
}
""".replace(".R", f".{_ROOT}")
# Said of the element itself as well, so that nothing depends on layers alone.
_SHOWN = "display:block!important"


def escaped(text: object) -> str:
    """Text as HTML, also inside an attribute in double quotes, with unprintable characters written as escapes."""
    return escape(visible(text), quote=True)


def framed_html(html: str) -> str:
    """A whole snippet around HTML, apart from the styles of the page that it gets into."""
    return f'<div class="{_ROOT}" style="{_SHOWN}" dir="ltr"><style>{_STYLE}</style>{html}</div>'


def head_html(text: str) -> str:
    """A heading."""
    return f'<div class="mfa-head">{escaped(text)}</div>'


def facts_html(facts: Sequence[tuple[str, str]]) -> str:
    """Names and what is said of them, line by line."""
    lines = "".join(f'<tr><th scope="row">{escaped(name)}</th><td>{escaped(said)}</td></tr>' for name, said in facts)
    return f'<table class="mfa-facts"><tbody>{lines}</tbody></table>'


def lines_html(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """A table of cells of HTML, the first so many of which are numbers."""
    kinds = [' class="mfa-number"'] * numbers + [""] * (len(head) - numbers)
    titles = "".join(f'<th scope="col"{kind}>{escaped(title)}</th>' for title, kind in zip(head, kinds, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for cell, kind in zip(cells, kinds, strict=True))}</tr>"
        for cells in rows
    )
    return f'<table class="mfa-lines"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>'


def cells_html(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A table of texts whose rows have a name and cells."""
    titles = "".join(f'<th scope="col">{escaped(title)}</th>' for title in head)
    lines = []
    for name, cells in rows:
        columns = "".join(f"<td>{escaped(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{escaped(name)}</th>{columns}</tr>')
    return f'<table class="mfa-cells"><thead><tr>{titles}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def bar_html(share: float) -> str:
    """A bar whose length is a share from 0 to 1."""
    return f'<span class="mfa-bar"><span style="width:{100 * share:.1f}%!important"></span></span>'


def chips_html(tokens: Sequence[str]) -> str:
    """Tokens side by side, each on its own ground."""
    return " ".join(f'<span class="mfa-chip">{spaced(token)}</span>' for token in tokens)


def spaced(token: str) -> str:
    """A token as HTML: spaces as dots, which are as much a part of it as letters; the empty one as such."""
    return escaped(token).replace(" ", "&middot;") or "&empty;"


def faint_html(text: str) -> str:
    """A line of less weight."""
    return f'<div class="mfa-faint">{escaped(text)}</div>'


def details_html(summary: str, html: str) -> str:
    """HTML that opens at a click."""
    return f"<details><summary>{escaped(summary)}</summary>{html}</details>"
