"""docs/benchmarks.md is written in sections, each by its own benchmark, which leaves the others alone."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WRITERS = ("fill", "models", "orthogonal")


@pytest.fixture
def section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class, which writes into a copy of the page."""
    monkeypatch.setattr(sys, "argv", ["fill.py", "--write"])
    names = runpy.run_path(str(ROOT / "benchmarks" / "page.py"))
    copy = tmp_path / "benchmarks.md"
    copy.write_bytes((ROOT / "docs" / "benchmarks.md").read_bytes())
    names["Section"].write.__globals__["PAGE"] = copy
    return names["Section"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_section_is_written_and_the_rest_stays(name: str, section: Any, tmp_path: Path) -> None:
    before = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    for _ in range(2):  # the second time in the place of the first
        written = section(name, "numpy", "a library that is not installed")
        written.say("| a | b |")
        written.write()
    after = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    start, end = f"<!-- {name}: written by benchmarks/{name}.py --write -->\n", f"\n<!-- end of {name} -->"
    assert [text.split(start)[0] for text in (before, after)] == [before.split(start)[0]] * 2
    assert [text.split(end)[1] for text in (before, after)] == [before.split(end)[1]] * 2
    inside = after.split(start)[1].split(end)[0]
    assert inside.startswith("```\n")
    assert "python benchmarks/fill.py --write\n```\n\n| a | b |" in inside
    assert inside.count("| a | b |") == 1
    assert "not installed" not in inside


def test_a_page_without_a_place_for_it_is_left_alone(section: Any, tmp_path: Path) -> None:
    before = (tmp_path / "benchmarks.md").read_bytes()
    with pytest.raises(SystemExit, match=r"benchmarks\.md has no place for shapes"):
        section("shapes").write()
    assert (tmp_path / "benchmarks.md").read_bytes() == before


@pytest.mark.parametrize("name", WRITERS)
def test_each_has_its_script(name: str) -> None:
    assert f'Section("{name}"' in (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
