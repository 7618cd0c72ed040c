"""The demonstration, whole but short: what it prints, what it writes, and the report in a real browser."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from fanin.experiments.first_light import ACTIVATIONS, BAD_STARTS, CURE


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    """Facts, standard error, and the report of one short run."""
    folder = tmp_path_factory.mktemp("demo")
    code = "from fanin.cli import main; main()"
    command = [sys.executable, "-c", code, "demo", "--json", "--seeds", "1", "--steps", "12", "--html", "report.html"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout, parse_constant=pytest.fail), ended.stderr, folder / "report.html"


def test_every_bad_start_has_a_finding_and_the_cure_has_none(demo: tuple[dict[str, Any], str, Path]) -> None:
    for net in demo[0]["nets"]:
        findings = {start: [f["name"] for f in d["findings"]] for start, d in net["starts"].items()}
        assert all(findings[start] for start in BAD_STARTS), findings
        assert findings[CURE] == []
        assert findings["zeros"] == ["symmetric units"]
        assert findings["torch_default"] == ["vanishing gradients"]


def test_every_net_start_and_seed_was_trained(demo: tuple[dict[str, Any], str, Path]) -> None:
    studies = demo[0]["training"]["studies"]
    assert [study["at"] for study in studies] == [{"activation": a} for a in ACTIVATIONS]
    for study in studies:
        assert {(r["recipe"], r["seed"]) for r in study["runs"]} == {(s, 0) for s in (*BAD_STARTS, CURE)}
        assert all(len(r["losses"]) == 12 or r["diverged_at"] for r in study["runs"])


def test_progress_goes_to_standard_error(demo: tuple[dict[str, Any], str, Path]) -> None:
    assert "training 10 nets" in demo[1]


@pytest.mark.browser
def test_the_report_draws_its_plots_and_asks_for_nothing(
    demo: tuple[dict[str, Any], str, Path], chromium: Browser
) -> None:
    report = demo[2]
    context = chromium.new_context(viewport={"width": 390, "height": 844}, offline=True)
    page = context.new_page()
    requests: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(report.as_uri())
    page.wait_for_function(
        "document.querySelectorAll('.chart svg').length === document.querySelectorAll('.chart').length"
    )
    drawn = page.eval_on_selector_all(
        ".chart", "charts => charts.map(c => c.querySelectorAll('svg path[stroke]:not([stroke=none])').length)"
    )
    assert len(drawn) == 10  # two nets: activations and gradients, before and after, and the training curves
    assert all(paths >= 1 for paths in drawn)
    assert problems == []
    assert requests == [report.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert report.stat().st_size < 2_000_000
    context.close()
