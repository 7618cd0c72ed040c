"""The README is true: its first example runs and prints what stands there, and what it names exists."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from fanin.plans import RECIPES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def test_the_first_example_prints_what_stands_below_it() -> None:
    """Numbers may differ by 5 %, since matrix products round differently on other processors."""
    code, shown = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", README, flags=re.DOTALL)[0]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert NUMBER.sub("#", printed.getvalue()) == NUMBER.sub("#", shown)
    for ours, theirs in zip(NUMBER.findall(printed.getvalue()), NUMBER.findall(shown), strict=True):
        assert float(ours) == pytest.approx(float(theirs), rel=0.05)


def test_every_link_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_it_lists_every_recipe() -> None:
    (listed,) = re.findall(r"Recipes: (.*?)\.", README, re.DOTALL)
    assert sorted(re.split(r"[,;]\s+", listed)) == sorted(RECIPES)


def test_real_output_stands_before_line_30() -> None:
    assert "symmetric units" in "\n".join(README.splitlines()[:30])


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(example.read_text(encoding="utf-8"), str(example), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out
