from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fanin.errors import BadInput
from fanin.reports import (
    Block,
    Column,
    FindingRow,
    Findings,
    LinePlot,
    Mark,
    Page,
    Section,
    Series,
    SideBySide,
    Table,
    Text,
    to_html,
    write_html,
)
from fanin.reports.html import asset

HOSTILE = """</script></style><img src=x onerror="document.title='owned'"> {{ 7 * 7 }} '"`&--><!--"""
MB = 1024 * 1024


def hostile_page() -> Page:
    row = FindingRow(HOSTILE, "error", *[HOSTILE] * 7)
    line = Series(HOSTILE, range(3), [1, 2, None], group=HOSTILE)
    marks, places = [Mark(1, HOSTILE, HOSTILE, "note")], {1.0: HOSTILE}
    plot = LinePlot(HOSTILE, HOSTILE, HOSTILE, [line], caption=HOSTILE, marks=marks, places=places)
    table = Table(HOSTILE, [Column(HOSTILE)], [(HOSTILE,)] * 20, [HOSTILE])
    blocks: list[Block] = [Text(HOSTILE), table, plot, Findings([row]), SideBySide(HOSTILE, [plot], HOSTILE, [table])]
    return Page(HOSTILE, HOSTILE, [Section(HOSTILE, blocks, HOSTILE)] * 4, {HOSTILE: HOSTILE}, HOSTILE, HOSTILE)


def without_assets(html: str) -> str:
    for name in ("echarts.min.js", "page.js", "page.css", "dark.css"):
        html = html.replace(asset(name), f"({name})")
    return re.sub(r"'sha256-[^']+'", "'sha256-…'", html)


def test_html(page: Page, golden: Callable[[str, str], None]) -> None:
    golden("reports/page.html", without_assets(to_html(page)))


def test_assets_fit_inside_their_elements() -> None:
    for name in ("echarts.min.js", "page.js"):
        assert not re.search(r"</script|<!--|\r", asset(name), re.IGNORECASE), name
    for name in ("page.css", "dark.css"):
        assert not re.search(r"</style|@import|url\(", asset(name), re.IGNORECASE), name


def test_hostile_names_are_escaped() -> None:
    html = without_assets(to_html(hostile_page()))
    assert "<img" not in html
    assert html.count("</style") == 3
    data = re.findall(r'<script type="application/json">(.*?)</script>', html)
    assert len(data) == 8
    assert json.loads(data[0])["series"][0]["name"] == HOSTILE


def test_a_large_page_stays_below_two_megabytes() -> None:
    y = [1 + i % 7 / 3 for i in range(5000)]
    series = [Series(f"seed {n}", range(5000), y, y, y) for n in range(8)]
    page = Page("t", "s", [Section(str(n), [LinePlot("p", "step", "loss", series)]) for n in range(6)])
    assert len(to_html(page).encode()) <= 2 * MB


def test_a_file_of_ours_is_small_enough(page: Page, tmp_path: Path) -> None:
    path = write_html(page, tmp_path / "report.html")
    assert path.stat().st_size <= 2 * MB
    assert path.read_text(encoding="utf-8") == to_html(page)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_writing_again_replaces(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    assert write_html(page, str(path)) == path
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_lone_surrogate_is_written_as_an_escape(tmp_path: Path) -> None:
    path = write_html(Page("\udce9", "", []), tmp_path / "report.html")
    assert "<title>\\udce9</title>" in path.read_text(encoding="utf-8")


def test_a_missing_folder_is_named(page: Page, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"the folder .*nowhere does not exist"):
        write_html(page, tmp_path / "nowhere" / "report.html")


def test_a_folder_is_not_a_file(page: Page, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"is a folder.*report\.html"):
        write_html(page, tmp_path)


def test_a_failed_write_leaves_the_old_file(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def refuse(_: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(BadInput, match="Permission denied"):
        write_html(page, path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]
