"""`fanin check --predict`: predicted signals beside the measured ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fanin.cli import main

NET = """
import torch
from torch import nn

def deep():
    layers = [m for _ in range(6) for m in (nn.Linear(64, 64), nn.ReLU())]
    return nn.Sequential(*layers), torch.randn(32, 64)

def sums():
    class Sums(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 8)
        def forward(self, x):
            return self.last(torch.logcumsumexp(self.first(x), 1))
    return Sums(), torch.randn(8, 16, 64)

def meta():
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(20000, 20000), nn.ReLU(), nn.Linear(20000, 10)), torch.empty(8, 20000)
"""


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def fanin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run `fanin check --predict` in this process, in the folder of the user's file."""
    (tmp_path / "net.py").write_text(NET)

    def run(*arguments: str) -> Ended:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["fanin", "check", *arguments, "--predict"])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


def test_predicted_and_measured_stand_side_by_side(fanin: Callable[..., Ended]) -> None:
    ended = fanin("net.py:deep", "--html", "report.html")
    assert ended.returncode == 0, ended.stderr
    assert "Predicted and measured" in ended.stdout
    assert "Gradients of ⟨output, v⟩/batch" in ended.stdout
    header = next(line for line in ended.stdout.splitlines() if line.startswith("layer  module"))
    assert " ".join(header.split()) == "layer module operation E[x²] measured ratio ‖δ‖² measured ratio how"
    assert "Report: " in ended.stderr


def test_json_has_every_layer_and_both_signals(fanin: Callable[..., Ended]) -> None:
    data = json.loads(fanin("net.py:deep", "--json", "--recipe", "he").stdout, parse_constant=pytest.fail)
    assert [row["layer"] for row in data["layers"]] == [1, 2, 3, 4, 5, 6]
    first = data["layers"][0]
    assert first["ratio"] == first["predicted"] / first["measured"]
    assert all(0.5 < row["ratio"] < 2 and 0.3 < row["gradient_ratio"] < 3 for row in data["layers"])
    assert data["predicted"]["origin"] == "predicted"
    assert data["measured"]["origin"] == "measured"
    assert data["sampled"] == {}


def test_what_was_sampled_is_marked(fanin: Callable[..., Ended]) -> None:
    printed = fanin("net.py:sums")
    assert "1 operation(s) were run on a sample for want of a rule: logcumsumexp (1)." in printed.stdout
    data = json.loads(fanin("net.py:sums", "--json").stdout)
    assert data["sampled"] == {"logcumsumexp": "logcumsumexp has no rule"}


def test_a_model_on_the_meta_device_is_not_measured(fanin: Callable[..., Ended]) -> None:
    ended = fanin("net.py:meta", "--recipe", "lecun")
    assert ended.returncode == 0, ended.stderr
    assert "on the meta device: nothing was measured" in ended.stdout
    data = json.loads(fanin("net.py:meta", "--json").stdout)
    assert data["measured"] is None
    assert data["layers"][0]["predicted"] == pytest.approx(
        0.5
    )  # E relu(z)² of the z of second moment 1 that auto makes
    assert data["layers"][0]["measured"] is None


def test_bad_input_is_one_message(fanin: Callable[..., Ended]) -> None:
    ended = fanin("net.py:deep", "--input", "4,17")
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
