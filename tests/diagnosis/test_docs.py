"""The page on diagnosis is true: its example prints what stands there, and its settings are read."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from fanin.cli.settings import settings_for

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "diagnosis.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def test_the_example_prints_what_stands_below_it() -> None:
    """Numbers may differ by 5 %, since matrix products round differently on other processors."""
    code, shown = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE, flags=re.DOTALL)[0]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "diagnosis.md", "exec"), {"__name__": "page"})
    assert NUMBER.sub("#", printed.getvalue()) == NUMBER.sub("#", shown)
    for ours, theirs in zip(NUMBER.findall(printed.getvalue()), NUMBER.findall(shown), strict=True):
        assert float(ours) == pytest.approx(float(theirs), rel=0.05)


def test_the_settings_on_the_page_are_read(tmp_path: Path) -> None:
    (table,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(table)
    found = settings_for(tmp_path / "net.py")
    assert (found.selection.select, found.selection.ignore, found.fail_on) == ((), ("U02:gate.*",), "error")
