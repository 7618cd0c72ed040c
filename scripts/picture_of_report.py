"""Take a picture of a report: of its last side-by-side block, or of sections by their titles.

.venv/bin/python scripts/picture_of_report.py report.html docs/images/report.png    # of what `make demo` wrote
.venv/bin/python scripts/picture_of_report.py check.html docs/images/check.png Findings "Signals over depth"
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import FloatRect, Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MARGIN = 24


def main(report: str, picture: str, *titles: str) -> None:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.goto(Path(report).resolve().as_uri())
        page.wait_for_function("document.querySelectorAll('.chart svg').length > 0")
        top, bottom = extent(page, titles)
        clip = FloatRect(x=0, y=top - MARGIN, width=1000, height=bottom - top + 2 * MARGIN)
        page.screenshot(path=picture, clip=clip, full_page=True)
        browser.close()


def extent(page: Page, titles: tuple[str, ...]) -> tuple[float, float]:
    """From the top of the first to the bottom of the last, in pixels of the page."""
    parts = [page.locator("section", has=page.get_by_role("heading", name=title, exact=True)) for title in titles]
    boxes = [part.bounding_box() for part in parts or [page.locator(".sides").last]]
    assert all(boxes), "the report has no side-by-side block: name the sections to take"
    return min(box["y"] for box in boxes if box), max(box["y"] + box["height"] for box in boxes if box)


if __name__ == "__main__":
    main(*sys.argv[1:])
