"""The page of recipes is the one that the code writes, and every recipe says what it is for and what not."""

from __future__ import annotations

import inspect
import runpy
from pathlib import Path

import pytest

from fanin.plans import RECIPES

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "recipe_table.py"))


def test_the_page_is_up_to_date() -> None:
    assert SCRIPT["page"](PAGE) == PAGE, "run: python scripts/recipe_table.py --write"


@pytest.mark.parametrize("name", sorted(RECIPES.keys() - {"auto"}))
def test_a_recipe_says_its_formula_its_use_its_limits_and_its_source(name: str) -> None:
    doc = inspect.getdoc(RECIPES[name]) or ""
    assert all(SCRIPT["section"](doc, title) for title in ("For", "Not for", "Reference"))
    assert len(doc.partition("\n")[0]) <= 116
    assert f"`{name}" in PAGE
