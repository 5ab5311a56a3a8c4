"""Snippets keep strings what they are, and look the same whatever the page around them says of its elements."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from html_cases import NASTY, Read, shown

from mfa_sklearn._base.html import (
    bar_html,
    cells_html,
    chips_html,
    details_html,
    escaped,
    facts_html,
    faint_html,
    framed_html,
    head_html,
    lines_html,
    spaced,
)

HOSTILE = {
    "hidden": "* { color: red; display: none; font-size: 40px; background: lime }",
    "important": "* { color: red !important; display: none !important; position: absolute !important }"
    " *::before { content: 'X' !important; display: block !important }",
    "by id": "#page *, #page#page * * { float: right !important; direction: rtl !important; padding: 9px !important }"
    " #page style { display: block !important }",
    "notebook": "#page table tr:nth-child(odd) td { background: #eee; text-align: right; font-size: 9px; border: 0 }",
}
# What holds the snippet is the page's own, and must be there to see anything.
VISIBLE = "html#root#root, body#page#page#page, div#cell#cell#cell { all: revert !important }"
# All that a browser has computed of a snippet's elements, and where they are in it.
COMPUTED = """() => {
  const root = document.querySelector(".mfa-sklearn"), origin = root.getBoundingClientRect();
  const said = (element, part) => [...getComputedStyle(element, part)].map(
    name => name + ": " + getComputedStyle(element, part).getPropertyValue(name));
  return [root, ...root.querySelectorAll("*")].map(element => {
    const box = element.getBoundingClientRect();
    const place = box.width && [box.x - origin.x, box.y - origin.y, box.width, box.height].map(Math.round).join(" ");
    return [element.tagName, place, ...said(element), ...["::before", "::after"].map(
      part => getComputedStyle(element, part).content)];
  });
}"""


def everything() -> str:
    parts = [
        head_html("Title"),
        facts_html([("rows", "1,000"), ("from", "layer 4")]),
        lines_html(["k", "weight", "tokens"], [["0", bar_html(0.5), chips_html([" a", "b"])]], numbers=1),
        cells_html(["prompt", "plain"], [("The", [" end\nof it"])]),
        faint_html("and more"),
        details_html("more", facts_html([("a", "b")])),
    ]
    return framed_html("".join(parts))


@pytest.mark.parametrize("text", NASTY)
def test_no_string_becomes_anything_else(text: str) -> None:
    said = shown(text)
    for make in (head_html, faint_html, escaped):
        assert Read(make(text)).texts == [said]
    assert Read(facts_html([(text, text)])).texts == [said, said]
    assert Read(cells_html([text], [(text, [text])])).texts == [said] * 3
    assert Read(details_html(text, "")).texts == [said]
    assert Read(chips_html([text])).texts == [said.replace(" ", "\N{MIDDLE DOT}")]
    assert Read(lines_html([text], [])).texts == [said]
    quoted = Read(f'<span title="{escaped(text)}"></span>')
    assert quoted.titles == [said] and quoted.names == {"title"}


def test_a_snippet_holds_no_script_and_closes_what_it_opens() -> None:
    found = Read(everything())
    assert not found.open and "script" not in found.tags and not any(name.startswith("on") for name in found.names)
    assert spaced("") == "&empty;" and spaced(" a") == "&middot;a"


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    library = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with library.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_page(viewport={"width": 700, "height": 600})
        browser.close()


def computed(page: Any, styles: str, snippet: str, attributes: str = "") -> list[list[str]]:
    """How a snippet looks that is put into a page as notebooks do it: after that was read."""
    page.set_content(
        f'<!doctype html><html id="root"><head><style>{styles}{VISIBLE}</style></head>'
        f'<body id="page" {attributes}><div id="cell"></div></body></html>'
    )
    page.evaluate(f"document.getElementById('cell').innerHTML = {json.dumps(snippet)}")
    return page.evaluate(COMPUTED)


@pytest.mark.parametrize("styles", HOSTILE.values(), ids=HOSTILE)
def test_a_page_has_no_say_in_how_a_snippet_looks(page: Any, styles: str) -> None:
    expected = computed(page, "", everything())
    found = computed(page, styles, everything())
    assert len(expected) > 40
    for element, before in zip(found, expected, strict=True):
        assert set(element) ^ set(before) == set(), element[0]
    assert page.locator(".mfa-head").is_visible() and not page.locator(".mfa-sklearn style").is_visible()


def test_a_snippet_has_no_say_in_how_the_page_looks(page: Any) -> None:
    computed(page, "", everything())
    own = "() => JSON.stringify([...document.querySelectorAll('#own, #own *')].map(e => ({...getComputedStyle(e)})))"
    paragraph = "<table id=own><tbody><tr><th>a</th><td class=bar>own</td></tr></tbody></table>"
    page.evaluate(f"document.getElementById('cell').insertAdjacentHTML('beforeend', '{paragraph}')")
    beside = page.evaluate(own)
    page.evaluate("document.querySelector('.mfa-sklearn').remove()")
    assert page.evaluate(own) == beside


def test_light_and_dark_are_the_notebooks(page: Any) -> None:
    light = computed(page, "", everything())
    for attributes in ('data-jp-theme-light="false"', 'data-theme="dark"', 'class="vscode-dark"'):
        assert computed(page, "", everything(), attributes) != light
    page.emulate_media(color_scheme="dark")
    assert computed(page, "", everything()) != light
    assert computed(page, "", everything(), 'data-jp-theme-light="true"') == light
    page.emulate_media(color_scheme="light")


@pytest.mark.parametrize("text", NASTY)
def test_nothing_in_a_string_runs(page: Any, text: str) -> None:
    said: list[str] = []
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    snippet = framed_html(head_html(text) + cells_html([text], [(text, [text])]) + chips_html([text]))
    computed(page, "", snippet)
    assert page.locator(".mfa-head").text_content() == shown(text) and not said
    assert page.locator(".mfa-sklearn *:is(script, img, a)").count() == 0
