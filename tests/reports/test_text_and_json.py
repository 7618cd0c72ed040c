from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console

from fanin.reports import Column, LinePlot, Page, Section, Series, Table, Text, render, to_json, to_text

Golden = Callable[[str, str], None]


def one(*blocks: Table | Text | LinePlot) -> Page:
    return Page("t", "s", [Section("section", blocks)])


def test_text(page: Page, golden: Golden) -> None:
    golden("reports/page.txt", to_text(page, width=80, color=False))


def test_json(page: Page, golden: Golden) -> None:
    golden("reports/page.json", to_json(page))


def test_no_line_is_wider_than_asked(page: Page) -> None:
    assert max(map(len, to_text(page, width=60, color=False).splitlines())) <= 60


def test_color_is_said_in_escapes_only_when_asked(page: Page) -> None:
    assert "\x1b[" in to_text(page, width=80, color=True)
    assert "\x1b[" not in to_text(page, width=80, color=False)


def test_markup_and_emoji_codes_are_taken_literally() -> None:
    text = to_text(one(Text("[red]:warning:[/nonsense]"), Table("[b]", [Column("[i]")], [("[u]",)])), color=False)
    assert all(word in text for word in ("[red]:warning:[/nonsense]", "[b]", "[i]", "[u]"))


def test_a_plot_of_nothing_says_so() -> None:
    text = to_text(one(LinePlot("p", "x", "y", [Series("q", [0, 1], [0, math.nan])], log_y=True)), color=False)
    assert "Nothing to draw." in text
    assert "Not drawn: q at x 0 (0); q from x 1 on (nan)." in text
    assert "Nothing to draw." in to_text(one(LinePlot("p", "x", "y", [])), color=False)


def test_a_constant_is_drawn_at_half_height() -> None:
    assert "▅▅▅" in to_text(one(LinePlot("p", "x", "y", [Series("q", range(3), [2, 2, 2])])), color=False)


def test_render_prints_on_the_given_console(page: Page) -> None:
    console = Console(file=io.StringIO(), width=80)
    render(page, console)
    assert isinstance(console.file, io.StringIO)
    assert page.title in console.file.getvalue()


def test_json_is_strict_and_names_what_is_not_finite() -> None:
    values: list[Any] = [math.nan, math.inf, -math.inf, None, np.float32(0.5), np.int64(3)]
    page = one(Table("t", [Column(str(i)) for i in range(6)], [values]))

    def refuse(word: str) -> None:
        raise AssertionError(word)

    decoded = json.loads(to_json(page), parse_constant=refuse)
    assert decoded["sections"][0]["blocks"][0]["kind"] == "Table"
    assert decoded["sections"][0]["blocks"][0]["rows"] == [["nan", "inf", "-inf", None, 0.5, 3]]
