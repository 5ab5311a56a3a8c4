"""Snippets for notebooks: read back by the standard library's parser, with nothing in them that would run."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from mfa_sklearn.steering._html import Token, table_html, tokens_html

NASTY = [
    '<script>alert("x")</script>',
    "</td></table>",
    "a & b",
    '" onmouseover="x',
    "'",
    "line\nbreak\x1b[0m\u202e",
    "&lt;",
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
        self.texts.append(data)


@pytest.mark.parametrize("text", NASTY)
def test_no_string_becomes_anything_else(text: str) -> None:
    shown = text.replace("\n", "\\n").replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    table = Read(table_html([text, "b"], [(text, [text])]))
    assert set(table.tags) == {"table", "thead", "tbody", "tr", "th", "td"} and table.names == {"style"}
    assert table.texts == [shown, "b", shown, shown] and not table.open
    tokens = Read(tokens_html([(text, [Token(text, text, 0.5, True)])], text))
    assert set(tokens.tags) == {"div", "span"} and tokens.names == {"style", "title"}
    assert tokens.texts == [shown, " ", shown.replace(" ", "\N{MIDDLE DOT}"), shown] and tokens.titles == [shown]


def test_shades_grow_and_blanks_are_seen() -> None:
    def style(shade: float) -> str:
        return tokens_html([("0", [Token(" a b", "", shade, False)])], "")

    assert "rgba(230,110,0,0.37)" in style(0.5) and "rgba(230,110,0,0.62)" in style(1.0)
    assert "background" not in style(0.0) and "border-bottom" not in style(1.0)
    assert "&middot;a&middot;b" in style(1.0)
    assert "&empty;" in tokens_html([("0", [Token("", "", 0, True)])], "")
