"""The report of a plan: decisions, and both ends of what they make of signals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import fanin
from fanin.cli import app
from fanin.reports import to_html, to_text
from fanin.reports.plan_page import ends, plan_page
from fanin.reports.prediction_page import layer_rows

NET = """
import torch
from torch import nn

def make():
    layers = [m for _ in range(12) for m in (nn.Linear(16, 16), nn.GELU())]
    return nn.Sequential(*layers, nn.Linear(16, 4)), torch.randn(8, 16)
"""


def test_a_start_that_loses_its_gradient_is_seen_beside_one_that_does_not() -> None:
    layers = [m for _ in range(20) for m in (nn.Linear(64, 64), nn.ReLU())]
    net, x = nn.Sequential(*layers, nn.Linear(64, 4)), torch.zeros(8, 64)
    plans = {recipe: fanin.plan(net, x, recipe=recipe) for recipe in ("torch_default", "auto")}
    noise = torch.randn(8, 64)
    predicted = {recipe: fanin.predict(net, noise, plan=plan) for recipe, plan in plans.items()}
    page = plan_page(plans["auto"], predicted, {}, "fanin")
    lost, kept = (ends(recipe, layer_rows(of, None)).gradient_ratio for recipe, of in predicted.items())
    assert lost is not None
    assert kept is not None
    assert lost < 1e-9  # mutant: last over first
    assert kept > 0.1
    text = to_text(page)
    assert "Predicted signals" in text
    assert "torch_default" in text
    assert "mirrored" in to_html(page)


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    return f"{tmp_path / 'net.py'}:make"


def test_the_command_predicts_before_and_after(file: str, tmp_path: Path) -> None:
    html = tmp_path / "plan.html"
    done = CliRunner().invoke(app, ["plan", file, "--predict", "--json", "--html", str(html)])
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    assert [row["start"] for row in data["predicted"]] == ["as it is built", "auto"]
    assert fanin.Plan.from_json(json.dumps(data)).recipe == "auto"
    assert "as it is built" in html.read_text(encoding="utf-8")


def test_without_an_example_nothing_can_be_predicted(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from torch import nn\n\ndef make():\n    return nn.Linear(4, 4)\n", "utf-8")
    done = CliRunner().invoke(app, ["plan", f"{tmp_path / 'net.py'}:make", "--predict"])
    assert "predicted for an input" in str(done.exception)
