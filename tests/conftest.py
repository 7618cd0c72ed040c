"""What tests of several packages share: a browser, and texts compared with files."""

from __future__ import annotations

import gc
import os
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).parent
NO_BROWSER = "no Chromium or Chrome is installed; run: python scripts/ensure_browser.py"
# Before PyTorch is imported. Several workers of pytest with a thread for every core each wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nearly all that tests ask of JAX is compiled once and run once; those of bits ask for the fixture below.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Printed tables are as wide as it says; the readline that a debugger brings along sets it for child processes.
os.environ.pop("COLUMNS", None)
os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is first imported, by a test or a doctest
# --no-sandbox for containers; the others keep the browser from talking to anyone on its own.
BROWSER_ARGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

settings.register_profile("fanin", deadline=None)  # a first call may compile a kernel; no test asserts a time
settings.load_profile("fanin")

# Processes of their own, with flags of their own, run them; what they import may not be installed.
collect_ignore = ["frameworks/eight_jax_devices.py", "frameworks/eight_jax_models.py", "frameworks/one_transformer.py"]


def pytest_collection_finish() -> None:
    """The frameworks' own objects, nearly a million, live until the end: no collection need look through them again."""
    if gc.get_freeze_count() == 0:  # and not anew in the runs within a run that mutants make
        gc.collect()
        gc.freeze()
        gc.set_threshold(700, 10, 100)  # what tests leave is little


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A page that no browser has opened is not tested: that must be read, not looked for among the skipped."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if NO_BROWSER in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"NOT TESTED: {len(skipped)} tests of pages, since {NO_BROWSER}", yellow=True)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A running headless Chromium."""
    path = runpy.run_path(str(HERE.parent / "scripts" / "ensure_browser.py"))["find_browser"]()
    if path is None:
        pytest.fail(NO_BROWSER) if os.environ.get("CI") else pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def optimized_by_xla() -> Iterator[None]:
    """JAX compiles as it does for users, who have their products and sums fused where they may be.

    What others compiled, mutants among them, is not run here, nor what is compiled here elsewhere.
    """
    import jax

    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()
    yield
    jax.config.update("jax_disable_most_optimizations", True)
    jax.clear_caches()


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """`golden("reports/page.txt", text)` compares with tests/golden/reports/page.txt; UPDATE_GOLDEN=1 writes it."""

    def check(name: str, text: str) -> None:
        path = HERE / "golden" / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        expected = path.read_text(encoding="utf-8") if path.exists() else ""
        assert text == expected, (
            f"{path.name} differs. If the change is wanted: UPDATE_GOLDEN=1 pytest, and read the diff."
        )

    return check
