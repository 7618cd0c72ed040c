"""One page that has everything: bands, gaps, a log axis, findings, a long table, before and after."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext
from playwright.sync_api import Page as Tab

from fanin.reports import (
    Block,
    Column,
    FindingRow,
    Findings,
    LinePlot,
    Mark,
    Page,
    Section,
    Series,
    SideBySide,
    Table,
    Text,
    write_html,
)
from fanin.signals import Histogram

Open = Callable[..., Tab]
LAYERS = range(41)


def signal(name: str, ratio: float, spread: float = 0.0) -> Series:
    """E[x²] multiplied by `ratio` in each layer, from 1; past the range of float64 it is inf, or 0."""
    q = [math.inf if layer * math.log10(ratio) > 308 else ratio**layer for layer in LAYERS]
    if not spread:
        return Series(name, LAYERS, q)
    low, high = ([v * s**layer for v, layer in zip(q, LAYERS, strict=True)] for s in (1 - spread, 1 + spread))
    return Series(name, LAYERS, q, low, high)


def signals(title: str, *series: Series, marks: Sequence[Mark] = ()) -> LinePlot:
    places = {float(layer): f"blocks.{layer}, model.py:31" for layer in LAYERS}
    return LinePlot(title, "layer", "E[x²]", series, log_y=True, x_integer=True, marks=marks, places=places)


def training() -> LinePlot:
    steps = range(0, 2000, 40)
    series = []
    for name, rate in (("auto", 0.004), ("torch default", 0.0012)):
        for split, gap in (("training", 0.0), ("validation", 0.06)):
            mean = [2.2 * math.exp(-rate * s) + 0.12 + gap * (1 - math.exp(-s / 300)) for s in steps]
            width = [0.05 + 0.1 * math.exp(-s / 500) for s in steps]
            low, high = ([m + sign * w for m, w in zip(mean, width, strict=True)] for sign in (-1, 1))
            emphasis = (name, split) == ("auto", "validation")
            series.append(Series(f"{name}, {split}", steps, mean, low, high, emphasis=emphasis, group=name))
    series.append(Series("N(0, 1)", steps, [9.0 if s < 300 else None if s < 400 else math.nan for s in steps]))
    return LinePlot("Loss while training", "step", "loss", series, caption="Mean of 5 seeds; the band is ± 1 std.")


def findings() -> Findings:
    return Findings(
        [
            FindingRow(
                "S101",
                "error",
                "The signal explodes",
                where="blocks.0 to blocks.39 (model.py:31)",
                why="Weights are drawn from N(0, 1), so each layer multiplies E[x²] by fan_in/2 = 256.",
                what="E[x²] goes from 1.00 to inf, first in layer 31; predicted 256 a layer, measured 255.7.",
                remedy="Draw weights with variance 2/fan_in: recipe 'he'.",
                also="blocks.{1…39}.linear (39)",
                explain="It grows.\n\n## Why it is bad\nThe `loss` overflows.\n\n## Example\n    normal_(w, std=1)\n",
            ),
            FindingRow("G204", "warning", "The head is too small", where="head.weight", remedy="Use LeCun's variance."),
            FindingRow("B001", "ok", "Biases start at zero"),
            FindingRow("T003", "ok", "Tied weights are drawn once"),
        ]
    )


def layer_table() -> Table:
    columns = [
        Column("layer"),
        Column("parameters", "integer"),
        Column("std", "scientific"),
        Column("E[x²]", "scientific"),
        Column("dead", "percent"),
        Column("spread", "histogram"),
        Column("operation", minor=True),
    ]
    rows = [
        (
            f"blocks.{n}.linear",
            512 * (512 + n),
            (2 / (512 + n)) ** 0.5,
            0.9**n if n < 40 else None,
            ((7 * n) % 41) / 100,
            Histogram(-(0.9**n), 0.9**n, (0, 1, 5, 9, 9, 5, 2, 0)) if n < 40 else None,
            "linear",
        )
        for n in LAYERS
    ]
    return Table("Every layer", columns, rows, ["E[x²] is the mean over one batch of 64."], 12)


def side(q: Series, verdict: Text) -> list[Block]:
    return [signals("Activations", q), verdict]


@pytest.fixture
def page() -> Page:
    lines = [signal("N(0, 1)", 1e10), signal("torch default", 0.45, 0.03), signal("he", 0.99, 0.01)]
    bad = Text("The last 10 layers are beyond float64.", "bad")
    marks = [
        Mark(31, "S101", "the signal explodes", "error"),
        Mark(3, "G204", "the head is too small", "warning"),
        Mark(3, "G205", "so is the tail", "note"),
    ]
    good = Text("Every layer keeps its signal.", "good")
    return Page(
        title="How signals flow through a net of 40 layers",
        subtitle="MLP, width 512, ReLU, batch of 64",
        summary="The net cannot learn as it is started now: its signal explodes.",
        sections=[
            Section("What is wrong", [findings()], intro="Worst first."),
            Section("Signals", [signals("Activations of three starts", *lines, marks=marks)]),
            Section("Training", [training()]),
            Section("Before and after", [SideBySide("Before", side(lines[0], bad), "After", side(lines[2], good))]),
            Section("Layers", [layer_table()]),
            Section("Laws", [Text("As they were drawn.")], aside=True),
        ],
        facts={"machine": "2 cores, 16 GB", "versions": "fanin 0.1, torch 2.9", "seconds": 1.25},
        generated_by="fanin 0.1",
    )


@pytest.fixture
def open_page(chromium: Browser, tmp_path: Path, page: Page) -> Iterator[Open]:
    """Opens a report from disk, offline; at the end no request may have left the page and no error be logged."""
    contexts: list[BrowserContext] = []
    asked: list[str] = []
    complaints: list[str] = []
    path = tmp_path / "report.html"

    def opened(report: Page = page, **options: Any) -> Tab:
        write_html(report, path)
        context = chromium.new_context(offline=True, **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(path.as_uri())
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert [url for url in asked if url != path.as_uri() and not url.startswith(("data:", "blob:"))] == []
    assert complaints == []
