"""benchmarks/predict_speed.py: its rows are of nets that are traced, predicted and run; no time is asserted."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("predict_speed")


def test_a_row_for_each_net(speed: Any) -> None:
    nets = list(speed.nets(3))
    assert [net.name for net in nets] == [
        *(f"3 × Linear, {activation}" for activation in ("ReLU", "Tanh", "GELU", "SiLU")),
        "GPT, 1 blocks",
    ]
    for net in (nets[0], nets[-1]):
        line, tracing, propagating = speed.row(net)
        assert line.count("|") == speed.HEAD.count("|")
        assert tracing > 0
        assert propagating > 0


def test_the_page_has_a_place_for_it() -> None:
    page = (ROOT / "docs" / "signals.md").read_text(encoding="utf-8")
    assert "<!-- predict_speed: written by benchmarks/predict_speed.py --write -->" in page
    assert "<!-- end of predict_speed -->" in page
