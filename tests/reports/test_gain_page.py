"""The report of `fanin gain`, and the heat map that it brings."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser

import fanin
from fanin.activations import TABLE, activation, mean_field, moments
from fanin.errors import BadInput
from fanin.frameworks.torch import trace
from fanin.plans import make_plan
from fanin.reports import HeatMap, Page, Section, Series, Text, to_html, to_json, to_text, write_html
from fanin.reports.gain_page import auto_gain, correlation_maps, gain_data, gain_page, gains_table, phase_map

MAP: dict[str, Any] = {"x": [1, 2, 3], "y": [0, 1], "values": [[0.5, 1, 2], [0.25, 1, math.inf]]}


def heat(**changes: Any) -> HeatMap:
    return HeatMap("Map", "x", "y", "χ", **(MAP | changes))


def test_the_text_of_gelu(golden: Callable[[str, str], None]) -> None:
    golden(
        "reports/gain_gelu.txt",
        to_text(gain_page(TABLE["gelu"], 1, 0, 0.05, {}, "", plots=False), width=110, color=False),
    )


def test_data_for_programs_is_strict() -> None:
    data = json.loads(to_json(gain_page(TABLE["relu"], 1, 0, 0.05, {}, "")), parse_constant=pytest.fail)
    assert [block["kind"] for block in data["sections"][2]["blocks"]] == ["HeatMap", "LinePlot"]
    facts = gain_data(TABLE["tanh"], 2.0, 0.5, 0.05)
    assert facts["forward"] == fanin.gain("tanh", std=2.0, mean=0.5).forward
    assert facts["torch_gain"] == {"value": 5 / 3, "source": "a convention (5/3)"}


def test_gains_of_another_input_say_what_they_do_to_it() -> None:
    """Leaky ReLU is homogeneous: torch's gain keeps any variance, and the gain that makes it 1 is half of that at 2."""
    leaky = activation("leaky_relu", negative_slope=0.2)
    rows = gains_table(leaky, moments(leaky, std=2.0), std=2.0).rows
    assert rows[0][1:] == ("0.693375", "makes the second moment 1, from 4 going forward")
    assert rows[1][2] == "makes the variance 1, from 4, where centred weights drop the mean"
    assert rows[3][2] == "exact (He et al. 2015); multiplies the second moment by 1, the gradient's by 1 per layer"
    assert gains_table(leaky, moments(leaky)).rows[0][2] == "keeps the second moment going forward"


def test_where_no_correlation_settles_there_is_no_map() -> None:
    vanishing = {"small weights": mean_field("relu", weight_var=1.0)}
    assert isinstance(correlation_maps(TABLE["relu"], vanishing)[0], Text)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "gelu", "tanh", "sigmoid", "elu"])
def test_the_gain_of_auto_is_that_of_the_recipe(name: str) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = torch.nn.Linear(64, 64), torch.nn.Linear(64, 64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            phi = getattr(torch.nn.functional, name)
            return self.last(phi(self.first(x)))  # type: ignore[no-any-return]

    planned = make_plan(trace(Net(), torch.zeros(2, 64)).graph)["first.weight"].std  # before widths are tuned
    gain = auto_gain(activation(name))
    assert gain is not None
    assert planned == pytest.approx(gain / 8, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"x": [1, 1, 2]}, "two rising values of x"), ({"y": [0]}, "of y"), ({"values": [[1, 2, 3]]}, "2 rows of 3")],
)
def test_a_map_is_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        heat(**changes)


def test_a_map_in_characters_has_the_largest_y_first() -> None:
    text = to_text(Page("t", "s", [Section("s", [heat(beyond="no bound")])]), width=80, color=False)
    rows = text.splitlines()
    low, high = (next(row for row in rows if row.startswith(start)) for start in ("0 ", "1 "))
    assert (high, low) == ("1 " + 6 * " " + 6 * "▒" + 6 * "∞", "0 " + 6 * "░" + 6 * "▒" + 6 * "▓")
    assert rows.index(high) < rows.index(low)
    assert "∞ no bound" in text


def test_colours_reach_no_further_than_asked() -> None:
    assert heat().extent() == pytest.approx(math.log(4))
    assert heat(reach=2).extent() == pytest.approx(math.log(2))


def test_hostile_names_are_escaped() -> None:
    name = "</script><img src=x>"
    line = Series(name, [1, 2], [0, 1])
    html = to_html(Page("t", "s", [Section("s", [HeatMap(name, name, name, name, line=line, beyond=name, **MAP)])]))
    assert name not in html


@pytest.mark.browser
def test_the_map_is_drawn_and_read(chromium: Browser, tmp_path: Path) -> None:
    path = write_html(Page("t", "s", [Section("s", [phase_map(TABLE["gelu"])])]), tmp_path / "map.html")
    tab = chromium.new_page(viewport={"width": 360, "height": 740})
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(path.as_uri())
    tab.wait_for_function("document.querySelectorAll('.map .chart svg path').length > 1000")
    fills = tab.evaluate(
        "new Set([...document.querySelectorAll('.map svg path')].map((p) => p.getAttribute('fill'))).size"
    )
    assert fills > 50
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert re.search(r"≤ 0\.5.*q grows without bound.*χ = 1", tab.locator(".map .legend").inner_text(), re.DOTALL)
    tab.locator(".map .chart").hover()
    tip = tab.locator(".tip")
    tip.wait_for()
    assert re.search(r"σ_w².*σ_b².*χ", tip.inner_text(), re.DOTALL)
    tab.locator("#theme").click()
    tab.locator("summary").click()
    assert tab.locator("figure.map tbody tr").count() == 11
    assert complaints == []
    tab.close()
