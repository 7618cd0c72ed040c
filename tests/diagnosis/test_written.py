"""A diagnosis on the disk: the page, and JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import fanin
from fanin.diagnosis import diagnose
from fanin.errors import BadInput


@pytest.fixture
def found() -> fanin.Diagnosis:
    torch.manual_seed(0)
    return fanin.diagnose(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(4, 8))


def test_the_page_is_that_of_the_command(found: fanin.Diagnosis, tmp_path: Path) -> None:
    path = found.to_html(tmp_path / "report.html")
    html = path.read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>")
    assert "Layers, as the model starts" in html
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_is_missing_is_named(found: fanin.Diagnosis, tmp_path: Path) -> None:
    for write in (found.to_html, found.to_json):
        with pytest.raises(BadInput, match="nowhere does not exist"):
            write(tmp_path / "nowhere" / "file")


def test_what_was_judged_elsewhere_says_how_to_write_it(found: fanin.Diagnosis, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"fanin\.diagnose"):
        diagnose(found.evidence).to_html(tmp_path / "report.html")
    assert diagnose(found.evidence) == replace(found, page=None) == found  # how it is shown is no part of what it says


def test_json_is_strict_and_the_same_in_a_file(found: fanin.Diagnosis, tmp_path: Path) -> None:
    hot = replace(found, evidence=replace(found.evidence, signals=replace(found.signals, loss=math.inf)))
    text = hot.to_json(tmp_path / "found.json")
    assert (tmp_path / "found.json").read_text(encoding="utf-8") == text
    data = json.loads(text, parse_constant=pytest.fail)
    assert data["model"] == "Sequential"
    assert data["signals"]["loss"] == "inf"
