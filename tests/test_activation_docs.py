"""The table of docs/activations.md is what the script writes."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from fanin.activations import TABLE

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["relu", "gelu", "tanh", "softplus"])
def test_the_table_is_current(name: str) -> None:
    row = runpy.run_path(str(ROOT / "scripts" / "table_of_activations.py"))["row"]
    assert row(TABLE[name]) in (ROOT / "docs" / "activations.md").read_text(encoding="utf-8").splitlines()


def test_every_activation_has_a_row() -> None:
    page = (ROOT / "docs" / "activations.md").read_text(encoding="utf-8")
    assert all(f"\n| {phi} | " in page for phi in TABLE.values())
