"""The page as a file: what is in it, what it allows, and that no string gets out of the data."""

from __future__ import annotations

import copy
import hashlib
import json
from base64 import b64encode
from html.parser import HTMLParser
from typing import Any

import pytest
from atlas_cases import HOSTILE, atlas_case

pytest.importorskip("jinja2", reason="the extra 'atlas' is not installed")
pytest.importorskip("vl_convert", reason="the extra 'atlas' is not installed")

from mfa_sklearn.atlas._page import render


class Parts(HTMLParser):
    """Elements with their attributes, and the contents of those without markup inside."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.contents: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        last = self.elements[-1][0] if self.elements else ""
        if last in ("script", "style", "title") and data.strip():
            if self.contents and self.contents[-1][0] == last and self.getpos()[1] and last == "title":
                last, data = "title", self.contents.pop()[1] + data
            self.contents.append((last, data))

    def of(self, tag: str) -> list[str]:
        return [content for name, content in self.contents if name == tag]


@pytest.fixture(scope="module")
def hostile() -> dict[str, Any]:
    return atlas_case(15, hostile=True, mixtures=2)


def test_data_come_out_as_they_went_in(hostile: dict[str, Any]) -> None:
    parts = Parts(render(hostile))
    data, *scripts = parts.of("script")
    assert json.loads(data) == hostile
    assert len(scripts) == 2
    assert [tag for tag, _ in parts.elements].count("script") == 3


def test_the_frame_is_that_of_harmless_strings(hostile: dict[str, Any]) -> None:
    """What the strings say changes no element, attribute or script."""
    harmless = Parts(render(atlas_case(15, mixtures=2)))
    harmful = Parts(render(hostile))
    assert harmful.elements == harmless.elements
    assert harmful.of("script")[1:] == harmless.of("script")[1:]


def test_the_file_can_be_written(hostile: dict[str, Any]) -> None:
    render(hostile | {"title": "half \udc00"}).encode("utf-8")
    assert Parts(render(atlas_case(2) | {"title": HOSTILE[0]})).of("title") == [HOSTILE[0]]


def test_nothing_is_loaded_and_no_other_script_runs() -> None:
    parts = Parts(render(atlas_case(3)))
    policy = next(attributes["content"] for tag, attributes in parts.elements if "http-equiv" in attributes)
    rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))

    def hashes(codes: list[str]) -> str:
        return " ".join(f"'sha256-{b64encode(hashlib.sha256(code.encode()).digest()).decode()}'" for code in codes)

    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == hashes(parts.of("script")[1:])
    assert rules["style-src"] == hashes(parts.of("style"))
    assert set(rules) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}
    links = [value for _, attributes in parts.elements for key, value in attributes.items() if key in ("src", "href")]
    assert all(str(link).startswith(("#", "data:,")) for link in links)


def test_own_scripts_write_no_html() -> None:
    script = Parts(render(atlas_case(3))).of("script")[2]
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc"):
        assert word not in script


@pytest.mark.parametrize(("key", "value"), [("format", "other"), ("version", 2), ("version", None)])
def test_data_of_another_version_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{key}={value!r}.*make the data again with atlas_data"):
        render(atlas_case(2) | {key: value})


def test_a_number_that_json_has_not_is_refused() -> None:
    data = copy.deepcopy(atlas_case(2))
    data["mixtures"][0]["regions"][0]["spread"] = float("nan")
    with pytest.raises(ValueError, match="give unknown numbers as None"):
        render(data)
