"""Snippets for notebooks: read back by the standard library's parser, with nothing in them that would run."""

from __future__ import annotations

import pytest
from html_cases import NASTY, Read, shown

from mfa_sklearn.steering._html import Token, table_html, tokens_html


@pytest.mark.parametrize("text", NASTY)
def test_no_string_becomes_anything_else(text: str) -> None:
    said = shown(text)
    table = Read(table_html([text, "b"], [(text, [text])]))
    assert set(table.tags) == {"div", "style", "table", "thead", "tbody", "tr", "th", "td"}
    assert table.names == {"class", "style", "dir", "scope"}
    assert table.texts == [said, "b", said, said] and not table.open
    tokens = Read(tokens_html([(text, [Token(text, text, 0.5, True)])], text))
    assert set(tokens.tags) == {"div", "style", "span"} and tokens.names == {"class", "style", "title", "dir"}
    assert tokens.texts == [said, " ", said.replace(" ", "\N{MIDDLE DOT}"), said] and tokens.titles == [said]


def test_shades_grow_and_blanks_are_seen() -> None:
    def style(shade: float) -> str:
        return tokens_html([("0", [Token(" a b", "", shade, False)])], "")

    assert "rgba(230,110,0,0.37)" in style(0.5) and "rgba(230,110,0,0.62)" in style(1.0)
    assert "rgba(230" not in style(0.0) and "2px solid" not in style(1.0)
    assert "&middot;a&middot;b" in style(1.0)
    assert "&empty;" in tokens_html([("0", [Token("", "", 0, True)])], "")
