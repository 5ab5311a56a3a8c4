"""The built pages as a reader meets them: links that lead somewhere, and answers that are few clicks away.

Sphinx runs both checks when it has built the pages; ``python docs/_ext/built_site.py build/docs`` prints the clicks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlparse

QUESTIONS = Path(__file__).with_name("questions.json")
MOST_CLICKS = 3
HOME = "index.html"
# Listings of source code, whose way back assumes that each class is documented under the module that defines it;
# templates of the theme; and what examples have written.
NOT_PAGES = ("_modules/", "_static/", "gallery/pages/")


@dataclass
class Page(HTMLParser):
    """One page: its anchors, the texts of its headings, and its links, those of the article apart."""

    name: str
    anchors: set[str] = field(default_factory=set)
    headings: dict[str, str] = field(default_factory=dict)
    links: list[tuple[str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._section, self._heading, self._depth = "", "", 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if anchor := given.get("id"):
            self.anchors.add(anchor)
        if tag == "section":
            self._section = given.get("id") or ""
        self._depth += tag == "article"
        if tag in ("h1", "h2", "h3"):
            self._heading = tag
            self.headings.setdefault(self._section, "")
        source = given.get("href") if tag in ("a", "link") else given.get("src")
        if source:
            self.links.append((source, self._depth > 0))

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "article"
        self._heading = "" if tag == self._heading else self._heading

    def handle_data(self, data: str) -> None:
        if self._heading:
            self.headings[self._section] += data

    def targets(self, article_only: bool = False) -> list[tuple[str, str]]:
        """Files of the site that the page's links lead to, from the site's root, with fragments."""
        found = []
        for link, in_article in self.links:
            if urlparse(link).scheme or link.startswith("//") or (article_only and not in_article):
                continue
            path, fragment = urldefrag(urljoin(self.name, link))
            found.append((unquote(urlparse(path).path), unquote(fragment)))
        return found


def read_site(folder: Path) -> dict[str, Page]:
    """All pages below a folder by their paths."""
    pages = {}
    for path in sorted(folder.rglob("*.html")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(NOT_PAGES):
            continue
        pages[name] = Page(name)
        pages[name].feed(path.read_text(encoding="utf-8"))
    return pages


def broken(folder: Path, pages: dict[str, Page]) -> list[str]:
    """Links to files that are not there, or to places that their pages do not have."""
    wrong = []
    for page in pages.values():
        for path, fragment in sorted(set(page.targets())):
            target = pages.get(path)
            if not (folder / path).exists() or (target and fragment and fragment not in target.anchors):
                wrong.append(f"{page.name}: {path}#{fragment}" if fragment else f"{page.name}: {path}")
    return wrong


def clicks(pages: dict[str, Page], article_only: bool) -> dict[tuple[str, str], int]:
    """Fewest clicks from the landing page to each page and each place in one, breadth first."""
    reached, frontier = {(HOME, ""): 0}, [HOME]
    opened = {HOME}
    for n in range(1, 10):
        found: Iterable[tuple[str, str]] = [link for name in frontier for link in pages[name].targets(article_only)]
        frontier = []
        for path, fragment in found:
            reached.setdefault((path, fragment), n)
            reached.setdefault((path, ""), n)
            if path in pages and path not in opened:
                opened.add(path)
                frontier.append(path)
    return reached


def answers(pages: dict[str, Page], questions: list[dict[str, str]]) -> list[dict[str, Any]]:
    """For each question the clicks to its heading, over all links, and to its page, over those of articles only."""
    everywhere, in_articles = clicks(pages, False), clicks(pages, True)
    table = []
    for question in questions:
        name = question["page"] + ".html"
        headings = pages[name].headings if name in pages else {}
        places = {text.rstrip("#").strip(): anchor for anchor, text in headings.items()}
        place = places.get(question["heading"])
        first = next(iter(places.values()), None)
        heading = None if place is None else everywhere.get((name, "" if place == first else place))
        table.append({**question, "heading clicks": heading, "page clicks": in_articles.get((name, ""))})
    return table


def shortcomings(folder: Path) -> list[str]:
    """What a reader would stumble over."""
    pages = read_site(folder)
    wrong = [f"a link leads nowhere: {link}" for link in broken(folder, pages)]
    for answer in answers(pages, json.loads(QUESTIONS.read_text(encoding="utf-8"))):
        counts = [answer["heading clicks"], answer["page clicks"]]
        if any(count is None or count > MOST_CLICKS for count in counts):
            wrong.append(f"{answer['question']!r}: {answer['page']}, {answer['heading']!r} is {counts} clicks away")
    return wrong


def check(app: Any, exception: Exception | None) -> None:
    """After a build that went well: fail where a reader would."""
    if exception is not None or app.builder.format != "html":
        return
    from sphinx.errors import ExtensionError

    if wrong := shortcomings(Path(app.outdir)):
        raise ExtensionError("\n".join(wrong))


def setup(app: Any) -> dict[str, bool]:
    app.connect("build-finished", check)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    site = Path(sys.argv[1])
    print("clicks over all links, over the articles' links; question; answer")
    for line in answers(read_site(site), json.loads(QUESTIONS.read_text(encoding="utf-8"))):
        counted = f"{line['heading clicks']}  {line['page clicks']}"
        print(f"{counted}  {line['question']}  ->  {line['page']}: {line['heading']}")
    print("\n".join(shortcomings(site)))
