"""The page of initializers is the one that the code writes."""

from __future__ import annotations

import runpy
from pathlib import Path

from fanin.initializers import ALL

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "scripts" / "initializer_table.py"
PAGE = ROOT / "docs" / "initializers.md"


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert runpy.run_path(str(SCRIPT))["page"](text) == text, "run: python scripts/initializer_table.py --write"


def test_every_initializer_has_a_line() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in ALL:
        assert f"| `{name}" in text
