"""How long an atlas takes to open, and to search, in headless Chromium.

    mfa-sklearn atlas mixture activations -o atlas.html
    python examples/benchmarks/atlas_page.py atlas.html [more.html ...] [--openings 5]

Needs the package playwright and a Chromium on the machine. An atlas is usable when its map and its table are drawn. A
search is timed from the keystroke to the next frame, over words of the table's own labels and one that nothing has.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from pathlib import Path
from typing import Any

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# A function, because the page's policy forbids to evaluate strings.
USABLE = """() => document.querySelector('.chart svg') && document.querySelector('table tbody tr')
    && performance.now()"""
# Types a query whole and waits for the frame in which its result can be seen.
SEARCH = """async query => {
    const field = document.querySelector('#search');
    const start = performance.now();
    field.value = query;
    field.dispatchEvent(new Event('input', { bubbles: true }));
    await new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));
    return performance.now() - start;
}"""
LABELS = "[...document.querySelectorAll('table tbody tr')].slice(0, 8).map(row => row.cells[1].textContent)"


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Measure each file and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--openings", type=int, default=5)
    options = parser.parse_args(arguments)
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium on this machine: install Debian's package chromium, or its like")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        found = [measure(browser, path, options.openings) for path in options.files]
        browser.close()
    return found


def measure(browser: Any, path: Path, n_openings: int) -> dict[str, Any]:
    """Times of one file, in milliseconds."""
    opened, searched = [], []
    for _ in range(n_openings):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(path.resolve().as_uri(), wait_until="commit")
        opened.append(float(page.wait_for_function(USABLE, polling=20).json_value()))
        page.wait_for_timeout(200)
        words = [word for label in page.evaluate(LABELS) for word in label.split(" · ")[:1]]
        searched += [page.evaluate(SEARCH, query) for query in (*words, "no such token", "")]
        page.close()
    middle, worst = statistics.median(searched), max(searched)
    slow = sum(time >= 100 for time in searched)
    print(
        f"{path.name}: {path.stat().st_size / 1e6:.1f} MB; usable after {statistics.median(opened):.0f} ms "
        f"({min(opened):.0f} to {max(opened):.0f}); {len(searched)} searches, median {middle:.0f} ms, "
        f"most {worst:.0f} ms, {slow} of 100 ms or more"
    )
    return {"path": path, "opened": opened, "searched": searched}


if __name__ == "__main__":
    main()
