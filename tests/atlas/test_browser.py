"""The page in a browser: what a reader does with it, and what it must never do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from atlas_cases import HOSTILE, atlas_case
from atlas_data_cases import known_mixture, rows_of_texts
from browser_cases import AT_REST, COLOR, DRAWN, FOUND, OVERLAPS, contrast, luminance

pytest.importorskip("jinja2", reason="the extra 'atlas' is not installed")
pytest.importorskip("vl_convert", reason="the extra 'atlas' is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from mfa_sklearn import ActivationArray, write_atlas  # noqa: E402
from mfa_sklearn.atlas._page import render  # noqa: E402

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the path")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CASES = {
    "plain": atlas_case(12),
    "many": atlas_case(130, n_contexts=2, n_points=5),
    "hostile": atlas_case(15, hostile=True, mixtures=2),
    "two": atlas_case(12, mixtures=2),
    "numbers": atlas_case(5, texts=False),
}
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as library:
        browser = library.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("atlas")
    for name, data in CASES.items():
        (folder / f"{name}.html").write_text(render(data), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in CASES}


@pytest.fixture
def opened(browser: Any, files: dict[str, Path]) -> Iterator[Open]:
    """Opens a case at an address. At the end: no request has left the file, and nothing was complained of."""
    complaints: list[str] = []
    requests: list[str] = []
    contexts: list[Any] = []

    def open_page(name: str, address: str = "#/", **options: Any) -> Any:
        contexts.append(
            browser.new_context(viewport={"width": 1200, "height": 800})
            if not options
            else browser.new_context(**options)
        )
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"file://{files[name]}{address}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert {unquote(request.partition("#")[0]) for request in requests if request != "data:,"} <= {
        f"file://{path}" for path in files.values()
    }


def shown(page: Any) -> list[int]:
    """The components that the table shows, from above to below."""
    return [int(re.findall(r"\d+", text)[0]) for text in page.locator("tbody th").all_inner_texts()]


# Says when the next address is drawn: the page hears of it some time after a click, and before this does.
NEXT = "() => { window.drawn = false; addEventListener('hashchange', () => { window.drawn = true; }, { once: true }); }"


def go(page: Any, address: str) -> None:
    """Go to an address of the page, and wait until it is drawn."""
    if page.evaluate("location.hash") != address:
        page.evaluate(NEXT)
        page.evaluate("address => { location.hash = address; }", address)
        page.wait_for_function("() => window.drawn")


def follow(link: Any) -> None:
    """Click on a link within the page, and wait until the other address is drawn."""
    link.page.evaluate(NEXT)
    link.click()
    link.page.wait_for_function("() => window.drawn")


def test_search_finds_tokens_concepts_numbers_and_words_of_contexts(opened: Open) -> None:
    page, mixture = opened("plain", "#/table"), CASES["plain"]["mixtures"][0]
    regions = mixture["regions"]
    first = mixture["strings"][regions[4]["tokens"][0]["token"]].strip()

    def text(region: dict[str, Any]) -> str:
        lines = ["".join(mixture["strings"][i] for i in context["tokens"]) for context in region["contexts"]]
        tokens = [mixture["strings"][item["token"]] for item in region["tokens"]]
        names = [mixture["concepts"][item["concept"]] for item in region["concepts"]]
        return "\n".join([f"region {region['component']}", region["label"], *tokens, *names, *lines]).lower()

    for question in (first, first.upper(), "concept 3", f"{first} concept", "nowhere-at-all"):
        page.locator("#search").fill(question)
        expected = {
            region["component"] for region in regions if all(w in text(region) for w in question.lower().split())
        }
        assert set(shown(page)) == expected
        assert page.get_by_role("status").inner_text().startswith(f"{len(expected)} of 12 regions")
    page.locator("#search").fill("#7")
    assert shown(page) == [7]
    page.locator("#search").fill("")
    assert len(shown(page)) == 12


def test_every_column_sorts_both_ways(opened: Open) -> None:
    page = opened("plain", "#/table")
    spread = {region["component"]: region["spread"] for region in CASES["plain"]["mixtures"][0]["regions"]}
    head = page.locator("th", has=page.get_by_role("button", name="Spread"))
    for direction in ("descending", "ascending"):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == direction
        assert shown(page) == sorted(spread, key=spread.__getitem__, reverse=direction == "descending")
        assert page.locator(f"th[aria-sort={direction}]").count() == 1
        assert f"Sorted by Spread, {direction}." in page.get_by_role("status").inner_text()


def test_long_tables_show_a_hundred_lines_and_the_rest_when_asked(opened: Open) -> None:
    page = opened("many", "#/table")
    assert len(shown(page)) == 100
    page.get_by_role("button", name="Show 30 more of 130 regions").click()
    assert len(set(shown(page))) == 130


def test_from_the_table_to_a_region_to_its_neighbor_and_back(opened: Open) -> None:
    page = opened("plain", "#/table")
    page.locator("#search").fill("concept 3")
    follow(page.locator("tbody th").get_by_role("link", name="Region 3", exact=True))
    assert page.title().startswith("Region 3") and page.title().endswith("Made-up regions")
    assert page.evaluate("document.activeElement.tagName") == "H1"
    follow(page.locator("section", has_text="Neighbors").get_by_role("link").first)
    assert page.locator("h1").inner_text().startswith("Region 4")
    page.go_back()
    page.locator("h1", has_text="Region 3").wait_for()
    page.go_back()
    page.locator("h1", has_text="All regions").wait_for()
    assert page.locator("#search").input_value() == "concept 3" and len(shown(page)) < 12


def test_a_region_shows_all_that_is_known_of_it(opened: Open) -> None:
    page = opened("plain", "#/region/3")
    heads = set(page.locator("h2").all_inner_texts())
    assert heads == {
        "Contexts",
        "Distinguishing tokens",
        "Concepts",
        "Scores",
        "Inside the region",
        "Ends of the axes",
        "Neighbors",
        "Steering",
    }
    assert page.locator("mark").count() == 6
    assert page.get_by_text("also of a distinguishing token").count() == 1
    assert "Concept: concept 3, 50.0" in page.locator(".lead").first.inner_text()
    before = page.locator(".context .t").evaluate_all("all => all.map(one => one.style.getPropertyValue('--shade'))")
    page.get_by_role("radio", name="score").check()
    after = page.locator(".context .t").evaluate_all("all => all.map(one => one.style.getPropertyValue('--shade'))")
    contexts = CASES["plain"]["mixtures"][0]["regions"][3]["contexts"]
    for values, key in ((before, "responsibility"), (after, "score")):
        assert [round(100 * float(value or 0)) for value in values] == [max(0, x) for c in contexts for x in c[key]]


def test_charts_are_drawn_when_they_are_seen(opened: Open) -> None:
    page = opened("plain", "#/table")
    assert page.locator("svg").count() == 0
    go(page, "#/region/3")
    page.set_viewport_size({"width": 1200, "height": 150})
    page.reload()
    page.locator("h1").wait_for()
    assert page.locator(".chart[data-drawn]").count() == 0
    for chart in page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
    page.locator(".chart[data-drawn]").nth(1).wait_for()
    assert page.locator(".chart svg").count() == 2


def test_the_map_opens_regions_and_shows_what_was_found(opened: Open) -> None:
    page = opened("plain")
    page.locator(".chart[data-drawn]").wait_for()
    marks = page.locator(".chart .mark-symbol path")
    assert marks.count() == 12
    page.locator("#search").fill("#5")
    page.wait_for_function(FOUND, arg=1)
    assert page.locator(".legend li").count() == 9  # concepts
    assert "at least a fifth of its labeled rows" in page.locator(".map").inner_text()
    page.get_by_label("Color by").select_option(label="cluster")
    page.locator(".chart[data-drawn]").wait_for()
    assert page.locator(".legend li").count() == 5
    page.get_by_label("Color by").select_option(label="spread")
    page.locator(".chart[data-drawn]").wait_for()
    assert page.locator(".legend li").count() == 0
    for name in ("Closer", "Farther", "The whole map"):
        page.get_by_role("button", name=name).click()
    largest = max(CASES["plain"]["mixtures"][0]["regions"], key=lambda region: region["size"])
    box = marks.first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator("h1", has_text=re.compile(rf"^Region {largest['component']}\b")).wait_for()


def test_labels_of_the_map_stand_apart(opened: Open) -> None:
    page = opened("many")
    page.locator(".chart[data-drawn]").wait_for()
    seen = [page.evaluate(OVERLAPS)]
    for name in ("Closer", "Closer", "The whole map"):
        page.get_by_role("button", name=name).click()
        page.evaluate(AT_REST)
        seen.append(page.evaluate(OVERLAPS))
    page.locator("#search").fill("concept 3")
    page.wait_for_function(FOUND, arg=int(page.get_by_role("status").inner_text().split()[0]))
    page.evaluate(AT_REST)
    seen.append(page.evaluate(OVERLAPS))
    assert all(shown > 3 and overlaps == 0 for shown, overlaps in seen), seen
    assert seen[3] == seen[0]


def test_equal_places_do_not_hide_each_other_on_a_narrow_map(browser: Any, tmp_path: Path) -> None:
    data = atlas_case(20)
    for region in data["mixtures"][0]["regions"][2:]:
        region |= {"x": 0.5, "y": 0.5, "size": 40}
    (tmp_path / "atlas.html").write_text(render(data), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(f"file://{tmp_path}/atlas.html")
    page.locator(".chart[data-drawn]").wait_for()
    places = page.locator(".chart .mark-symbol path").evaluate_all(
        "marks => marks.map(mark => mark.getBoundingClientRect()).map(box => [box.x + box.width, box.y + box.height])"
    )
    page.close()
    middle = np.array(places)[:, None] - np.array(places)
    assert (np.hypot(*middle.T) + 99 * np.eye(20)).min() > 3


def test_a_concept_that_stands_for_no_region_is_faint(browser: Any, tmp_path: Path) -> None:
    data = atlas_case(6)
    for region in data["mixtures"][0]["regions"][:2]:
        region["concept"] = None
    (tmp_path / "atlas.html").write_text(render(data), encoding="utf-8")
    page = browser.new_page()
    page.goto(f"file://{tmp_path}/atlas.html")
    page.locator(".chart[data-drawn]").wait_for()
    assert page.locator("td .weak").count() == 2
    assert "none 2" in page.locator(".map .legend").inner_text().replace("\n", " ")
    go(page, "#/region/1")
    page.get_by_text("No concept stands for this region").wait_for()
    page.close()


def test_two_mixtures_side_by_side(opened: Open) -> None:
    page = opened("two")
    follow(page.get_by_role("link", name="Compare"))
    jaccard = [float(re.findall(r"0\.\d+", text)[0]) for text in page.locator("tbody th").all_inner_texts()]
    assert len(jaccard) == 11 and jaccard == sorted(jaccard, reverse=True)
    assert "11" in page.locator("section", has_text="Unmatched in seed 0").inner_text()
    follow(page.locator("tbody th a").nth(2))
    assert page.locator("h1").inner_text() == "Regions 2 and 2 side by side"
    assert page.locator("h2.side").all_inner_texts() == [
        f"{mixture['name']}: 2 {mixture['regions'][2]['label']}" for mixture in CASES["two"]["mixtures"]
    ]
    follow(page.locator("h2.side a").nth(1))
    assert page.evaluate("location.hash") == "#/second/region/2"
    assert "Matched in seed 0" in page.locator("main").inner_text()
    follow(page.locator("#views").get_by_role("link", name="Table"))
    assert page.evaluate("location.hash") == "#/second/table"


def test_by_keyboard_alone(opened: Open) -> None:
    page = opened("plain")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("#6/")
    page.keyboard.press("Backspace")
    assert shown(page) == [6]
    for _ in range(40):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
        if page.evaluate("document.activeElement.hash") == "#/region/6":
            break
    page.keyboard.press("Enter")
    page.locator("h1", has_text="Region 6").wait_for()
    page.keyboard.press("ArrowRight")
    page.locator("h1", has_text="Region 7").wait_for()
    for k in (6, 5):
        page.keyboard.press("ArrowLeft")
        page.locator("h1", has_text=f"Region {k}").wait_for()
    page.keyboard.press("/")
    page.wait_for_function("() => location.hash === '#/table' && document.activeElement.id === 'search'")


ADDRESSES = ("#/", "#/table", "#/region/0", "#/second/region/1", "#/compare", "#/compare/1/1")


def test_hostile_strings_are_shown_and_do_nothing(opened: Open) -> None:
    page = opened("hostile", "#/table")
    seen = ""
    for address in ("#/", "#/table", *(f"#/region/{k}" for k in range(6)), "#/compare", "#/compare/1/1"):
        go(page, address)
        page.wait_for_function(DRAWN)
        seen += page.locator("body").inner_text()
        assert page.locator("main :is(script, img, iframe, object, [onload], [onerror])").count() == 0
        assert page.evaluate("[...document.querySelectorAll('a')].every(a => a.getAttribute('href').startsWith('#'))")
    page.wait_for_timeout(200)  # for what would happen by and by
    assert page.evaluate("window.harmed") is None
    for text in (
        HOSTILE[0],
        HOSTILE[1],
        HOSTILE[3],
        HOSTILE[10],
        HOSTILE[12],
        "\\u202egnp.exe",
        "half \\ud83d",
        "zero\\u200bwidth",
    ):
        assert text in seen
    assert not set(seen) & set("\u202e\u2066\u200b\x00")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of rows and mixtures in which every string tries to do harm, by the way that users take.

    Tokens and labels with halves of characters are refused, so these stand in texts, names and the model's site.
    """
    signs = np.array([sign for sign in HOSTILE if sign != HOSTILE[8]], dtype=object)
    mfa = known_mixture(source_={"model": HOSTILE[0], "layer": HOSTILE[2], "site": HOSTILE[8]})
    rows = rows_of_texts(mfa, 60, vocabulary=signs, concepts=signs[:6])
    assert rows.texts is not None
    shared = {**rows.shared, "texts": tuple(f"{text} {HOSTILE[8]}" for text in rows.texts)}
    rows = ActivationArray(np.asarray(rows), rows=rows.rows, shared=shared)
    path = tmp_path_factory.mktemp("written") / "<b onclick=x> 'quoted'.html"
    return write_atlas(mfa, rows, path, against=known_mixture(seed=3), names=[HOSTILE[1], HOSTILE[8]])


def test_hostile_rows_become_a_page_that_does_no_harm(opened: Open, files: dict[str, Path], written: Path) -> None:
    files["written"] = written
    page, seen = opened("written"), ""
    for address in ("#/", "#/table", *(f"#/region/{k}" for k in range(4)), "#/second/region/0", "#/compare"):
        go(page, address)
        page.wait_for_function(DRAWN)
        seen += page.title() + page.locator("body").inner_text()
        assert page.locator("body :is(img, svg[onload], iframe, object, [onload], [onerror], [onclick])").count() == 0
        assert page.locator("script").count() == 3
    page.wait_for_timeout(200)  # for what would happen by and by
    assert page.evaluate("window.harmed") is None
    for text in (
        HOSTILE[0],
        HOSTILE[1],
        HOSTILE[2],
        HOSTILE[4],
        HOSTILE[10],
        HOSTILE[12],
        "\\u202egnp.exe",
        "half \\ud83d",
    ):
        assert text in seen, text
    assert not set(seen) & set("\u202e\u2066\u200b\x00")


def test_a_script_brought_in_later_does_not_run(browser: Any, files: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(f"file://{files['plain']}")
    page.evaluate("""() => {
        const script = document.createElement('script');
        script.textContent = 'window.harmed = 1';
        document.body.append(script);
    }""")
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("fetch('https://example.org/').then(() => 'left', () => 'stayed')") == "stayed"
    page.close()


@pytest.mark.parametrize("name", ["two", "numbers"])
def test_every_control_has_a_name_and_pages_have_landmarks(opened: Open, name: str) -> None:
    page = opened(name)
    for address in ADDRESSES if name == "two" else ADDRESSES[:3]:
        go(page, address)
        tree = page.locator("body").aria_snapshot()
        for role in ("banner", "main", "contentinfo", "navigation"):
            assert f"- {role}" in tree
        nameless = re.findall(
            r"- (?:button|link|searchbox|textbox|combobox|radio|img|table|region|navigation)(?:$|:|\s\[)", tree, re.M
        )
        assert nameless == [], address
        assert page.locator("h1").count() == 1
        assert page.evaluate("[...document.querySelectorAll('table')].every(t => t.caption && t.caption.textContent)")
        assert page.evaluate(
            "(ids => ids.length === new Set(ids).size)([...document.querySelectorAll('[id]')].map(e => e.id))"
        )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read(opened: Open, theme: str) -> None:
    """Contrast of at least 4.5 for text and 3 for marks, in the theme that is asked for and not in the system's."""
    page = opened("plain", "#/region/1", color_scheme="dark" if theme == "light" else "light")
    page.get_by_label("Theme").select_option(theme)

    def color(front: str, back: str = "var(--paper)") -> list[int]:
        return page.evaluate(COLOR, [front, back])

    paper = color("var(--paper)")
    assert (luminance(paper) > 0.5) == (theme == "light")
    pairs = [
        ("ink", "paper"),
        ("muted", "paper"),
        ("accent", "paper"),
        ("second", "paper"),
        ("ink", "panel"),
        ("muted", "panel"),
    ]
    found = {pair: contrast(color(f"var(--{pair[0]})"), color(f"var(--{pair[1]})")) for pair in pairs}
    darkest = color("color-mix(in srgb, var(--shading) 70%, transparent)")
    found["ink", "shading"] = contrast(color("var(--ink)"), darkest)
    assert {pair: value for pair, value in found.items() if value < 4.5} == {}


def test_narrow_windows_need_no_scrolling_sideways(opened: Open) -> None:
    page = opened("two", viewport={"width": 360, "height": 740})
    for address in ADDRESSES:
        go(page, address)
        page.wait_for_function(DRAWN)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address


def test_a_table_of_numbers(opened: Open) -> None:
    page = opened("numbers", "#/region/2")
    assert set(page.locator("h2").all_inner_texts()) == {
        "Scores",
        "Neighbors",
        "Inside the region",
        "Ends of the axes",
        "Rows",
    }
    assert "token" not in page.locator("main").inner_text().lower()
    assert page.get_by_text("each column in its standard deviation").count() == 2
    go(page, "#/table")
    heads = [text.split()[0] for text in page.locator("thead th").all_inner_texts()]
    assert heads == ["Region", "Label", "Rows", "Weight", "Sharpness", "Dimension", "Spread", "Nearest"]


def test_print_leaves_out_what_cannot_be_used_on_paper(opened: Open) -> None:
    page = opened("plain", "#/region/1", color_scheme="dark")
    page.emulate_media(media="print")
    assert not page.locator(".top").is_visible() and page.locator("h1").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_addresses_of_nothing_say_so(opened: Open) -> None:
    page = opened("plain", "#/region/99")
    assert page.locator("h1").inner_text() == "There is no such region"
    follow(page.get_by_role("link", name="To the map"))
    page.locator(".chart[data-drawn]").wait_for()
