"""Makes sure that the browser tests have a Chromium, and says nothing if there is one already."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ADVICE = (
    "No Chromium found, and it could not be installed: the browser tests will be skipped. "
    "Install Chromium or Chrome with your system's package manager (Debian, Ubuntu: sudo apt-get install chromium), "
    "or run: python -m playwright install --with-deps chromium"
)


def find_browser() -> str | None:
    """The path of a Chromium or Chrome: the system's, else Playwright's own."""
    return next((path for name in NAMES if (path := shutil.which(name))), None) or _playwrights_own()


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if path and Path(path).exists() else None


def install_browser() -> None:
    """Tries Playwright's download, then the system's packages, if that fails and we may."""
    if (
        not _runs([sys.executable, "-m", "playwright", "install", "chromium"])
        and _is_root()
        and shutil.which("apt-get")
    ):
        _runs(["apt-get", "update"])
        _runs(["apt-get", "install", "-y", "chromium"])


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _runs(command: list[str]) -> bool:
    print("+", " ".join(command), flush=True)
    try:
        return subprocess.run(command, check=False, timeout=600, stdin=subprocess.DEVNULL).returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error)
        return False


def main() -> int:
    """0 if there is a browser at the end, or if it is not required; 1 in CI without one."""
    if find_browser():
        return 0
    install_browser()
    if find_browser():
        return 0
    print(ADVICE, file=sys.stderr)
    return 1 if os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
