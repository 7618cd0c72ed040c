"""The report on a diagnosis: real ones, small and deep, in text and in a browser."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

import fanin
from fanin.diagnosis import Diagnosis, Finding, Place, Repair, Severity
from fanin.reports import LinePlot, Page, Table, to_html, to_text
from fanin.reports.blocks import findings
from fanin.reports.check_page import check_page
from fanin.reports.html import asset
from fanin.reports.layer_tables import layer_table
from fanin.reports.over_depth import before_and_after, expected_and_seen
from fanin.signals import by_depth

from .conftest import Open

MB = 1024 * 1024
HOSTILE = """<script>alert(1)</script>"]]>"""


def deep(layers: int, width: int = 16, std: float | None = None) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(*[m for _ in range(layers) for m in (nn.Linear(width, width), nn.Tanh())], nn.Linear(width, 4))
    for m in net:
        if isinstance(m, nn.Linear) and std is not None:
            nn.init.normal_(m.weight, std=std * m.in_features**-0.5)
    return net, torch.randn(16, width)


class Attending(nn.Module):
    """One block of a small transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.unflatten(2, (4, 4)).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, 2))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        out: torch.Tensor = x + self.out(mixed.transpose(1, 2).flatten(2))
        return out


@cache
def faulty() -> Repair:
    net, x = deep(20, std=6.0)
    return fanin.repair_(net, x)


@cache
def well() -> Diagnosis:
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(16, 16), Attending(), Attending()), torch.randn(8, 6, 16)
    return fanin.diagnose(net, x)


def blocks_of(page: Page, title: str) -> list[object]:
    return [block for section in page.sections if section.title == title for block in section.blocks]


def test_what_was_found_comes_first_worst_first_with_its_place_and_its_page() -> None:
    before = faulty().before
    page = check_page(before, None, {}, "fanin")
    assert page.sections[0].title == "Findings"
    rows = page.findings()
    assert [row.severity for row in rows] == sorted((row.severity for row in rows), key=["error", "warning"].index)
    assert {row.code for row in rows} == {f.code for f in before}
    saturated = next(row for row in rows if row.code == "U02")
    assert saturated.where == "from layer 1 of 21, module 0, linear"
    assert "## Why it is bad" in saturated.explain


def test_a_prediction_is_a_line_with_its_band_and_a_measurement_is_points() -> None:
    """Mutant: the band of one element of δ, where ‖δ‖² is drawn."""
    before = faulty().before
    evidence = before.evidence
    assert evidence.predicted is not None
    values, gradients = expected_and_seen(before)
    for plot in (values, gradients):
        predicted, measured = plot.series
        assert (predicted.name, measured.name) == ("predicted", "measured")
        assert predicted.low is not None
        assert not predicted.dots
        assert measured.dots
    first = by_depth(evidence.graph, evidence.predicted)[0]
    assert first.gradient is not None
    assert first.gradient.band is not None
    low, high = gradients.series[0].low, gradients.series[0].high
    assert low is not None
    assert high is not None
    assert (low[0], high[0]) == tuple(end * math.prod(first.layer.node.shape) for end in first.gradient.band)
    y = gradients.series[0].y[0]
    assert low[0] is not None
    assert y is not None
    assert low[0] < y


def test_each_finding_is_marked_where_it_starts_in_the_plot_of_its_signal() -> None:
    before = faulty().before
    values, gradients = expected_and_seen(before)
    place = {f.code: f.place.layer for f in before}
    assert [(m.label, m.x) for m in values.marks] == [("U02", place["U02"])]
    assert [(m.label, m.x) for m in gradients.marks] == [("B02", place["B02"])]
    assert values.places[1] == "module 0"


def test_without_a_measurement_the_prediction_is_judged_and_shown() -> None:
    before = faulty().before
    evidence = before.evidence
    assert evidence.predicted is not None
    alone = replace(before, evidence=replace(evidence, signals=evidence.predicted, predicted=None), findings=())
    page = check_page(alone, None, {}, "fanin")
    assert [s.name for plot in expected_and_seen(alone) for s in plot.series] == ["predicted", "predicted"]
    assert "Spread" not in {section.title for section in page.sections}
    assert "predicted" not in [column.name for column in layer_table(alone).columns]
    assert "Predicted from the graph alone" in to_text(page, color=False)
    blind = replace(before, evidence=replace(evidence, predicted=None))
    assert [s.name for plot in expected_and_seen(blind) for s in plot.series] == ["measured", "measured"]
    to_html(check_page(blind, None, {}, "fanin"))


def test_the_remedy_is_shown_over_the_same_axes_and_only_with_what_it_writes() -> None:
    repair = faulty()
    page = check_page(repair.before, repair, {}, "fanin")
    blocks = blocks_of(page, "The remedies, tried")
    plots = [block for block in blocks if isinstance(block, LinePlot)]
    assert [[s.name for s in plot.series] for plot in plots] == [["as built", "after the remedies"]] * 2
    attempts, table = [block for block in blocks if isinstance(block, Table)]
    assert [(row[0], row[2]) for row in attempts.rows] == [(a.finding.code, a.outcome) for a in repair.attempts]
    assert all("keep" not in row for row in table.rows)
    assert "kept as built" in table.notes[0]
    assert len(before_and_after(repair.before, repair.after)) == 2
    nothing = replace(repair, plan=None, after=repair.before)
    assert "No remedy helped" in to_text(check_page(repair.before, nothing, {}, "fanin"), color=False)


def test_what_could_not_be_judged_is_said_with_what_it_needs() -> None:
    text = " ".join(to_text(check_page(well(), None, {}, "fanin"), color=False).split())
    assert "Not judged: without a loss L01 and N03; without an optimizer B03." in text


def test_the_table_of_layers_has_what_is_known_and_no_empty_column() -> None:
    before = faulty().before
    names = [column.name for column in layer_table(before).columns]
    assert names == [
        *("layer", "module", "operation", "activation", "E[x²]", "predicted", "‖δ‖²", "predicted"),
        *("dead", "saturated", "cos"),
    ]
    rows = layer_table(before).rows
    assert len(rows) == 21
    assert rows[0][8] == 0.0
    assert 0.5 < float(rows[0][9] or 0) <= 1  # type: ignore[arg-type]


def test_attention_and_laws_have_tables_of_their_own() -> None:
    page = check_page(well(), None, {}, "fanin")
    (table,) = blocks_of(page, "Attention")
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["1", "2"]
    assert table.rows[0][1] == 6
    (laws,) = blocks_of(page, "Laws as built")
    assert isinstance(laws, Table)
    assert any("√fan_in" in str(row) for row in laws.rows)


def test_what_is_well_fits_on_a_screen_with_the_verdict_on_top() -> None:
    text = to_text(check_page(well(), None, {"seconds": 1.0}, "fanin"), width=110, color=False)
    lines = text.splitlines()
    assert len(lines) <= 50
    assert lines[3] == "Healthy."
    assert "In the HTML report as well: Attention, Spread, Laws as built." in text


def test_what_is_ignored_is_said_to_be() -> None:
    before = faulty().before
    hidden = replace(before, findings=before.findings[:1], ignored=before.findings[1:])
    assert "1 more not shown, as asked for: B02." in to_text(check_page(hidden, None, {}, ""), color=False)


def test_a_finding_of_many_modules_names_them_in_short() -> None:
    many = [f"body.{i}.fc" for i in range(1, 40)]
    finding = Finding("X01", "x", Severity.NOTE, Place(), "what", "why", "do", ("body.0.fc", *many))
    (row,) = findings(replace(well(), findings=(finding,))).items  # type: ignore[union-attr]
    assert row.also == "body.{1…39}.fc (39)"
    assert row.where == "from the model as a whole"
    assert row.explain == ""  # a check of the user's own has no page here


def test_five_hundred_layers_stay_below_two_megabytes() -> None:
    net, x = deep(500, 8)
    page = check_page(fanin.diagnose(net, x), None, {}, "fanin")
    assert len(to_html(page).encode()) <= 2 * MB


def hostile() -> Diagnosis:
    """A model whose class, modules and source file have names that would like to be code."""
    space: dict[str, object] = {"nn": nn, "NAME": HOSTILE}
    code = (
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.add_module('<script>alert(1)<|script>', nn.Linear(8, 8))\n"
        "        self.last = nn.Linear(8, 8)\n"
        "    def forward(self, x):\n"
        "        return self.last(getattr(self, '<script>alert(1)<|script>')(x).tanh())\n"
        "Net.__name__ = Net.__qualname__ = NAME\n"
    )
    exec(compile(code, "<img src=x onerror=alert(1)>.py", "exec"), space)
    torch.manual_seed(0)
    net: nn.Module = space["Net"]()  # type: ignore[operator]
    found = fanin.diagnose(net, torch.randn(4, 8))
    place = Place(1, 2, ("b<i>", 1, 2), HOSTILE, HOSTILE, HOSTILE)
    finding = Finding("F01", HOSTILE, Severity.ERROR, place, HOSTILE, HOSTILE, HOSTILE, (HOSTILE, f"{HOSTILE}2"))
    return replace(found, findings=(finding,))


def test_no_name_becomes_markup() -> None:
    html = to_html(check_page(hostile(), None, {HOSTILE: HOSTILE}, HOSTILE)).replace(asset("echarts.min.js"), "")
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_it_opens_without_complaint_whatever_the_names(open_page: Open) -> None:
    tab = open_page(check_page(hostile(), None, {}, "fanin"))
    dialogs: list[str] = []
    tab.on("dialog", lambda dialog: dialogs.append(dialog.message))
    tab.locator(".chart").first.hover()
    tab.locator(".tip").first.wait_for()
    assert dialogs == []
    assert tab.locator("h1").inner_text() == HOSTILE
    assert tab.locator("img").count() == 0


def test_search_and_sort_need_no_mouse(open_page: Open) -> None:
    repair = faulty()
    tab = open_page(check_page(repair.before, repair, {}, "fanin"))
    figure = tab.locator("section", has=tab.get_by_role("heading", name="Layers, as the model starts"))
    search = figure.get_by_role("searchbox")
    search.focus()
    tab.keyboard.type("linear –")
    rows = figure.locator("tbody tr:visible")
    assert rows.count() == 1  # the readout alone has no share of saturated values
    assert figure.get_by_role("status").inner_text() == "1 of 21 rows"
    search.fill("")
    for _ in range(2):  # the box that scrolls, then the head of the first column
        tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.keyboard.press("Enter")
    head = figure.locator("th").first
    assert head.get_attribute("aria-sort") == "descending"
    numbers = [int(text) for text in figure.locator("tbody tr td:first-child").all_inner_texts()]
    assert numbers == sorted(numbers, reverse=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("of", [lambda: faulty().before, well, hostile])
def test_a_phone_shows_all_of_it(open_page: Open, scheme: str, of: Callable[[], Diagnosis]) -> None:
    tab = open_page(check_page(of(), None, {}, "fanin"), viewport={"width": 360, "height": 740}, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    for summary in tab.locator("summary").all():
        summary.click()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360


def test_without_javascript_every_layer_and_every_histogram_is_there(open_page: Open) -> None:
    tab = open_page(check_page(well(), None, {}, "fanin"), java_script_enabled=False)
    layers = len(well().evidence.layers)
    for title in ("Layers, as the model starts", "Spread"):
        section = tab.locator("section", has=tab.get_by_role("heading", name=title))
        assert section.locator("tbody tr").count() == layers
    assert tab.locator("td.bars svg").count() == 3 * layers
    label = tab.locator("td.bars svg").first.get_attribute("aria-label") or ""
    assert re.fullmatch(r"±\S+, half between \S+ and \S+", label)
