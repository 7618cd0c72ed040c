"""The page of checks is the one that the code writes."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from fanin.diagnosis import CHECKS

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "check_table.py"))


def test_the_page_is_up_to_date() -> None:
    assert SCRIPT["document"](PAGE) == PAGE, "run: python scripts/check_table.py --write"


@pytest.mark.parametrize("code", CHECKS)
def test_a_check_is_in_the_table_and_has_its_page(code: str) -> None:
    check = CHECKS[code]
    assert re.match(r"[FBAUWLNDP]\d\d$", code), "a family that the page does not know"
    assert f"| [{code}](#{SCRIPT['anchor'](check)}) | {check.name} |" in PAGE
    assert f"\n### {code} {check.name}\n" in PAGE
