"""Strings that must not become anything else in HTML, and a parser that tells what a snippet holds."""

from __future__ import annotations

from html.parser import HTMLParser

from mfa_sklearn._base.words import visible

NASTY = [
    '<script>alert("x")</script>',
    "</td></table>",
    "a & b",
    '" onmouseover="x',
    "'",
    "line\nbreak\x1b[0m\u202e",
    "&lt;",
    "half of a pair \ud83d",
    "\u200f\u2067\u05d0",
]


class Read(HTMLParser):
    """The tags, attributes and texts of a snippet."""

    def __init__(self, snippet: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.titles: list[str] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(snippet)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.names |= {name for name, _ in attrs}
        self.titles += [value or "" for name, value in attrs if name == "title"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)


def shown(text: str) -> str:
    """A string as a page shows it."""
    return visible(text)
