"""The pages of a sweep and of a lesson: maps by what varies, tables, claims; from runs made up by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page as Tab

from fanin.errors import BadInput
from fanin.experiments import Run, Study, Training
from fanin.experiments.flow import Flow
from fanin.experiments.lessons import Claim, Given, Lesson, Line, Seen
from fanin.experiments.sweep import Sweep
from fanin.experiments.vary import cells
from fanin.reports import HeatMap, LinePlot, Page, Section, to_html, to_json, to_text
from fanin.reports.lesson_page import lesson_page
from fanin.reports.study_page import signals
from fanin.reports.sweep_page import maps, sweep_page

RATE = 0.1


def sweep(vary: dict[str, tuple[Any, ...]], recipes: tuple[str, ...] = ("a", "b"), lost: str = "") -> Sweep:
    """The loss is 0.2 and 0.1 more for each place of each value; a recipe that is lost diverges."""

    def study(number: int) -> Study:
        runs = []
        for at, recipe in enumerate(recipes):
            for seed in range(3):
                level = 0.2 + 0.1 * number + at + 0.001 * seed
                flow = Flow(("one", "two"), (level, 2 * level), (level, None), (0.1, 1.0))
                ended = 3 if recipe == lost else None
                runs.append(Run(recipe, seed, RATE, (level,) * 20, ended, level, 0.9, 1.0, {}, flow, flow))
        return Study("net", "data", 2.0, Training(20), (0, 1, 2), (RATE,), recipes, tuple(runs), 1.0)

    return Sweep(vary, tuple(study(n) for n in range(len(cells(vary)))))


def test_recipes_stand_over_what_varies_alone() -> None:
    (found,) = maps(sweep({"depth": (5, 10, 40)}))
    assert isinstance(found, HeatMap)
    assert (found.x_names, found.y_names) == (("5", "10", "40"), ("a", "b"))
    assert found.values[0] == pytest.approx([0.1005, 0.1505, 0.2005])  # of chance, 2
    assert found.values[1][0] == pytest.approx(0.6005)
    assert found.centre == 0.5


def test_one_recipe_over_two_numbers_stands_on_axes_with_the_line() -> None:
    line = Line("theory", ((0.5, 7.0), (1.5, 9.0)))
    given = Given(lesson(line=lambda: line), sweep({"depth": (5, 10), "std": (0.5, 1.0, 1.5)}, ("a",)))
    (found,) = [block for block in lesson_page(given, {}, "").sections[0].blocks if isinstance(block, HeatMap)]
    assert (found.x, found.y, found.x_names) == ((0.5, 1.0, 1.5), (5.0, 10.0), ())
    assert found.line is not None
    assert found.line.y == (7.0, 9.0)
    assert found.values[1][0] == pytest.approx((0.5 + 0.001) / 2)


def test_numbers_far_apart_stand_side_by_side() -> None:
    found = maps(sweep({"depth": (5, 10), "std": (0.001, 0.01, 1.0)}, ("a",)))
    assert [(block.x_names, block.y_names) for block in found if isinstance(block, HeatMap)] == [
        (("0.001", "0.01", "1.0"), ())
    ]
    reversed_axis = maps(sweep({"depth": (10, 5), "std": (1, 2)}, ("a",)))
    assert [block.y_names for block in reversed_axis if isinstance(block, HeatMap)] == [("10", "5")]


def test_several_recipes_over_two_things_have_a_map_for_each_of_the_first() -> None:
    found = maps(sweep({"activation": ("tanh", "relu"), "depth": (5, 10)}))
    assert [block.title for block in found if isinstance(block, HeatMap)] == [
        "By recipe and depth, activation tanh",
        "By recipe and depth, activation relu",
    ]


def test_what_diverged_is_grey_and_said() -> None:
    swept = sweep({"depth": (5, 10)}, lost="b")
    (found,) = maps(swept)
    assert isinstance(found, HeatMap)
    assert all(math.isnan(value) for value in found.values[1])
    text = to_text(sweep_page(swept, {}, ""), width=100, color=False)
    assert "∞ diverged or left out" in text
    assert "diverged" in text


def test_the_page_is_text_json_and_html() -> None:
    page = sweep_page(sweep({"depth": (5, 10)}), {}, "fanin")
    assert "Loss at the end" in to_html(page)
    assert "Training loss" in to_text(page)
    to_json(page)
    assert not any(s.title == "depth 5" for s in sweep_page(sweep({"depth": tuple(range(20))}), {}, "").sections)


def test_signals_are_drawn_before_and_after() -> None:
    forward, back = signals(sweep({"depth": (5,)}).studies[0])
    assert isinstance(forward, LinePlot)
    assert isinstance(back, LinePlot)
    assert [line.name for line in forward.series] == ["a, at the start", "a, trained", "b, at the start", "b, trained"]
    assert forward.series[0].y == pytest.approx((0.201, 0.402))  # the middle seed's
    assert math.isnan(back.series[0].y[1] or 0.0), "where no gradient arrives"


def lesson(**other: Any) -> Lesson:
    words = {word: f"the {word}." for word in ("title", "question", "see", "why", "found", "source")}
    fields = {"name": "made_up", "net": "net", "data": "data", "recipes": ["a"], "vary": {}, "settings": {}}
    return Lesson(**{**fields, **words, "claims": (), **other})


def test_a_lesson_says_what_was_seen_and_what_was_not() -> None:
    claims = (Claim("It learns.", lambda _: Seen(True, "0.1")), Claim("It dies.", lambda _: Seen(False, "0.2")))
    given = lesson(claims=claims).look(sweep({"depth": (5, 10)}))
    page = lesson_page(given, {}, "")
    assert page.summary == "the question. 1 of 2 things that the textbook says were seen."
    for text in (to_text(page), str(given)):
        assert "not seen" in text
        for word in ("the see.", "the why.", "the found.", "the source."):
            assert word in text
    assert given.to_dict()["claims"] == [
        {"says": "It learns.", "holds": True, "numbers": "0.1"},
        {"says": "It dies.", "holds": False, "numbers": "0.2"},
    ]


def test_a_map_of_names_in_characters_begins_with_them() -> None:
    values = [[0.1, 1], [1, 0.1]]
    found = HeatMap(
        "m", "depth", "recipe", "loss", [0, 1], [0, 1], values, 0.5, x_names=["5", "10"], y_names=["a", "b"]
    )
    rows = to_text(Page("t", "s", [Section("s", [found])]), width=80, color=False).splitlines()
    first, second = (next(row for row in rows if row.startswith(start)) for start in ("a ", "b "))
    assert rows.index(first) < rows.index(second)
    assert first[1:] != second[1:]


def test_names_are_as_many_as_places() -> None:
    with pytest.raises(BadInput, match="needs a name for each of 2 y"):
        HeatMap("m", "x", "y", "v", [0, 1], [0, 1], [[1, 1], [1, 1]], y_names=["one"])


@pytest.mark.browser
def test_a_map_of_names_is_drawn_with_its_names_and_numbers(open_page: Callable[..., Tab], tmp_path: Path) -> None:
    tab = open_page(sweep_page(sweep({"depth": (5, 10, 40)}), {}, "fanin"), viewport={"width": 900, "height": 800})
    tab.wait_for_function("document.querySelectorAll('.map .chart svg text').length > 5")
    said = tab.eval_on_selector_all(".map .chart svg text", "all => all.map(t => t.textContent)")
    assert {"a", "b", "5", "10", "40", "0.1", "0.6"} <= set(said), said
    heights = tab.eval_on_selector_all(
        ".map .chart svg text", "all => Object.fromEntries(all.map(t => [t.textContent, t.getBoundingClientRect().y]))"
    )
    assert heights["a"] < heights["b"], "the first recipe stands above"
    tab.locator("#theme").click()
    again = tab.eval_on_selector_all(".map .chart svg text", "all => all.map(t => t.textContent)")
    assert {"a", "b"} <= set(again)
    box = tab.locator(".map .chart").bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.4)
    tip = tab.locator(".tip")
    tip.wait_for()
    assert "recipe" in tip.inner_text()
