"""What a notebook shows: small, escaped, without a script, and seen on light paper as on dark."""

from __future__ import annotations

import math
import re

import pytest
import torch
from playwright.sync_api import Browser
from torch import nn

import fanin
from fanin.fragment import HEIGHT, ROWS, TOP, Line, fragment, heading, log_plot, table

HOSTILE = """</svg><script>alert(1)</script>"'<img src=x onerror=alert(1)>"""
PAPER = {"light": "#fff", "dark": "#111"}


def heights(svg: str) -> list[float]:
    """Where the line of the plot is, point by point, from the top."""
    path = re.search(r'<path d="M([^"]*)" stroke="#2a7fbd"', svg)
    assert path is not None
    return [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", path[1])]


def test_equal_ratios_are_equal_distances() -> None:
    """Mutant: a plain axis."""
    seen = heights(log_plot("t", [Line("q", [1, 2, 3], [1.0, 10.0, 100.0])]))
    assert seen[0] - seen[1] == pytest.approx(seen[1] - seen[2], abs=0.2)
    assert TOP < seen[2] < seen[0] < HEIGHT


def test_what_has_no_logarithm_is_a_gap() -> None:
    svg = log_plot("t", [Line("q", range(6), [1.0, 0.0, math.inf, math.nan, None, 2.0])])
    assert len(heights(svg)) == 2
    assert svg.count("h0") == 2  # two points, each alone
    assert "nothing to draw" in log_plot("t", [Line("q", [1], [0.0])])


@pytest.mark.parametrize("y", [[5e-324, 1.7e308], [1.0, 1.0], [7.0]])
def test_extremes_have_a_place(y: list[float]) -> None:
    svg = log_plot("t", [Line("q", range(len(y)), y, y, y)], [(0, "F01")])
    assert "nan" not in svg
    assert "inf" not in svg


def test_nothing_becomes_markup_of_its_own() -> None:
    plot = log_plot(HOSTILE, [Line(HOSTILE, [1, 2], [1.0, 2.0])], [(1, HOSTILE)], HOSTILE)
    html = fragment(heading(HOSTILE, HOSTILE), table([HOSTILE], [[HOSTILE]]), plot)
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("</svg>") == 1
    assert "\"'" not in re.sub(r"&[#\w]+;", "", html)


def test_a_long_table_is_cut_and_says_so() -> None:
    html = table(["n"], [[str(i)] for i in range(ROWS + 7)])
    assert html.count("<tr>") == 1 + ROWS
    assert "7 more rows." in html


def faulty() -> fanin.Diagnosis:
    torch.manual_seed(0)
    net = nn.Sequential(*[m for _ in range(30) for m in (nn.Linear(16, 16), nn.ReLU())])
    return fanin.diagnose(net, torch.randn(16, 16))


def test_a_diagnosis_a_plan_and_signals_show_themselves() -> None:
    found = faulty()
    html = found._repr_html_()
    assert all(f.what.split(",")[0] in html and f.code in html for f in found)
    assert html.count("<svg") == 2
    assert "predicted" in html
    assert "measured" in html
    signals = found.signals._repr_html_()
    assert signals.count("<svg") == 2
    plan = fanin.plan(nn.Linear(4, 4), recipe="he")._repr_html_()
    assert "normal 1.414/√fan_in" in plan or "he" in plan
    for text in (html, signals, plan):
        assert len(text.encode()) < 50_000
        assert "<script" not in text
        assert "<style" not in text


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_read_on_light_paper_and_on_dark(chromium: Browser, scheme: str) -> None:
    context = chromium.new_context(offline=True, viewport={"width": 360, "height": 740})
    tab = context.new_page()
    ink = {"light": "#222", "dark": "#ddd"}[scheme]
    tab.set_content(f'<body style="background:{PAPER[scheme]};color:{ink}">{faulty()._repr_html_()}</body>')
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    fills = tab.locator("svg text").evaluate_all("(all) => all.map((text) => getComputedStyle(text).fill)")
    assert set(fills) == {tab.evaluate("getComputedStyle(document.body).color")}
    assert tab.locator("svg").first.get_attribute("role") == "img"
    context.close()
