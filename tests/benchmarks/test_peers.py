"""docs/peers.md says what its command finds, for the libraries that the tests have; fanin keeps every promise."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VERDICTS = dict[tuple[str, str], str]


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("peers")


def verdicts(text: str, library: str) -> VERDICTS:
    """Section and row → cell, of a library's column; rows that share a line are taken apart."""
    found, section, column = VERDICTS(), "", -1
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("## "):
            section, column = line, -1
        elif line.startswith("| ") and column < 0:
            column = cells.index(library)
        elif line.startswith("| "):
            found |= {(section, row): cells[column] for row in cells[0].split(" · ")}
    return found


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_the_page_says_what_the_command_finds(peers: Any) -> None:
    page = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
    now = peers.report(peers.installed(("fanin", "torch")), ())
    for library in ("fanin", "torch"):
        assert verdicts(now, library) == verdicts(page, library), "run benchmarks/peers.py --write"
    kept = {row: cell for row, cell in verdicts(page, "fanin").items() if row[1] not in ("called", "std that one gets")}
    assert set(kept.values()) == {"✓"}
    assert verdicts(page, "torch")["## Fans", "Conv 3×3, depthwise: fan_out"] == "576, true 9"
