"""The picture of an atlas that the documentation shows: its map, and below it the page of a region.

    python -m mfa_sklearn demo
    python examples/atlas_picture.py mfa-demo/atlas.html docs/atlas.png --region 27

Needs Chromium on the path, and the packages playwright and pillow. Any atlas will do, and any region of it.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH, PAGE_HEIGHT = 1280, 560
# What separates the parts, and the colors that the picture keeps.
LINE, N_COLORS = (220, 220, 214), 255


def screenshot(page: Page, bottom: float | None = None) -> Image.Image:
    """What is seen, down to `bottom`."""
    size = page.viewport_size
    assert size is not None
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": min(size["height"], bottom or size["height"])}
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")


def pictures(page: Page, atlas: Path, region: int) -> list[Image.Image]:
    """The map with its legend, and the beginning of the page of a region."""
    page.goto(f"{atlas.resolve().as_uri()}#/")
    page.locator(".chart[data-drawn]").wait_for()
    legend = page.locator(".map ul.legend").bounding_box()
    assert legend is not None, "an atlas whose regions have colors"
    found = [screenshot(page, legend["y"] + legend["height"] + 8)]
    page.set_viewport_size({"width": WIDTH, "height": PAGE_HEIGHT})
    page.goto(f"{atlas.resolve().as_uri()}#/region/{region}")
    page.locator("h1", has_text=f"Region {region}").wait_for()
    page.locator(".top").evaluate("bar => bar.remove()")
    page.wait_for_timeout(500)
    return [*found, screenshot(page)]


def stacked(parts: list[Image.Image]) -> Image.Image:
    """Pictures below each other, parted by lines, in few colors."""
    whole = Image.new("RGB", (WIDTH, sum(part.height for part in parts) + len(parts) - 1), LINE)
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height + 1
    return whole.quantize(N_COLORS, dither=Image.Dither.NONE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("atlas", type=Path, help="page that write_atlas wrote")
    parser.add_argument("output", type=Path, help="picture to write: .png")
    parser.add_argument("--region", type=int, default=0, help="whose page is shown")
    arguments = parser.parse_args()
    with sync_playwright() as library:
        browser = library.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 1000}, color_scheme="light")
        stacked(pictures(page, arguments.atlas, arguments.region)).save(arguments.output, optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
