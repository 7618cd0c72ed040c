"""Take the README's picture: the signals before and after the plan, from the report that `make demo` wrote.

.venv/bin/python scripts/picture_of_report.py report.html docs/images/report.png
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import FloatRect, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main(report: str, picture: str) -> None:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.goto(Path(report).resolve().as_uri())
        page.wait_for_function("document.querySelectorAll('.chart svg').length > 0")
        box = page.locator(".sides").last.bounding_box()
        assert box is not None, "the report has no side-by-side block"
        clip = FloatRect(x=0, y=box["y"] - 24, width=1000, height=box["height"] + 48)
        page.screenshot(path=picture, clip=clip, full_page=True)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
