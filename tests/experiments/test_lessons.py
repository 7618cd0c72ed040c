"""Every lesson runs, says what it must, can be written as a file, and has its page."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fanin.experiments.conduct import Engagement
from fanin.experiments.lessons import LESSONS, Lesson
from fanin.experiments.lessons.claims import ahead, cell_ahead, learns, more_cells_learn, stays
from fanin.experiments.lessons.trainable_depth import reach
from fanin.experiments.settings import Training
from fanin.experiments.study import Study
from fanin.experiments.sweep import Sweep
from fanin.experiments.trial import Run
from fanin.experiments.vary import cells

PAGES = Path(__file__).parents[2] / "docs" / "lessons"
HERE = Engagement(workers=1, progress=False)


def smallest(lesson: Lesson) -> Lesson:
    """Without its deepest nets, which take long to trace; its claims ask for cells that are then not there."""
    small = {name: [v for v in values if not isinstance(v, int) or v <= 10] for name, values in lesson.vary.items()}
    return replace(lesson, vary=small, claims=())


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_runs(name: str, tmp_path: Path) -> None:
    """In three steps of one seed at one rate: what comes out is of no account, that it does is."""
    found = smallest(LESSONS[name]).give(HERE, str(tmp_path), steps=3, seeds=1, learning_rates=[0.01])
    assert len(found.sweep.studies) == len(cells(found.sweep.vary))
    assert all(study.runs and not study.failed for study in found.sweep.studies)
    assert LESSONS[name].title in str(found)


@pytest.mark.parametrize("name", LESSONS)
def test_every_claim_asks_for_cells_and_recipes_that_are_there(name: str) -> None:
    lesson = LESSONS[name]
    recipes = list(lesson.recipes)
    made = tuple(made_up(lesson, cell, recipes) for cell in cells(lesson.vary))
    swept = Sweep({k: tuple(v) for k, v in lesson.vary.items()}, made)
    for says, seen in lesson.look(swept).claims:
        assert says.endswith(".")
        assert seen.numbers
        assert "no runs" not in seen.numbers


def made_up(lesson: Lesson, cell: dict[str, Any], recipes: list[str], loss: float = 1.0) -> Study:
    """A study in which all is level."""
    rate = max(lesson.settings["learning_rates"])
    runs = tuple(Run(r, s, rate, (loss,) * 20, None, loss, 0.5, 1.0) for r in recipes for s in range(3))
    return Study(lesson.net, lesson.data, 2.0, Training(20), (0, 1, 2), (rate,), tuple(recipes), runs, 1.0)


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_a_file_of_compare(name: str) -> None:
    lesson = LESSONS[name]
    read = tomllib.loads(lesson.to_toml())
    assert (read["net"], read["data"]) == (lesson.net, lesson.data)
    assert read["recipes"] == list(lesson.recipes)
    assert read["vary"] == {k: list(v) for k, v in lesson.vary.items()}
    assert {k: read[k] for k in lesson.settings} == lesson.settings


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_cites_its_source_and_has_its_page(name: str) -> None:
    lesson = LESSONS[name]
    assert re.search(r"\d{4}", lesson.source)
    page = " ".join((PAGES / f"{name}.md").read_text(encoding="utf-8").split())
    words = (lesson.title, lesson.question, lesson.see, lesson.why, lesson.found, *(c.says for c in lesson.claims))
    for part in words:
        assert " ".join(part.split()) in page, "run: python scripts/lessons.py --write"
    assert (PAGES / "images" / f"{name}.png").is_file()


def two_cells(first: float, second: float, spread: float = 0.0) -> Sweep:
    def study(level: float) -> Study:
        runs = tuple(
            Run(recipe, seed, 0.1, (level + at + spread * seed,) * 20, None, 1.0, 0.5, 1.0)
            for recipe, at in (("a", 0.0), ("b", 0.3))
            for seed in range(4)
        )
        return Study("net", "data", 2.0, Training(20), (0, 1, 2, 3), (0.1,), ("a", "b"), runs, 1.0)

    return Sweep({"depth": (1, 2)}, (study(first), study(second)))


def test_what_is_looked_for_is_what_is_said() -> None:
    """Mutant: any of them the other way round."""
    found = two_cells(0.2, 1.95)
    assert learns("a", depth=1)(found).holds
    assert not learns("a", depth=2)(found).holds
    assert stays("a", depth=2)(found).holds
    assert not stays("a", depth=1)(found).holds
    assert ahead("a", "b", depth=1)(found).holds
    assert not ahead("b", "a", depth=1)(found).holds
    assert cell_ahead("a", {"depth": 1}, {"depth": 2})(found).holds
    assert not cell_ahead("a", {"depth": 2}, {"depth": 1})(found).holds
    assert more_cells_learn("a", {"depth": 1}, {"depth": 2})(found).holds
    assert not more_cells_learn("a", {"depth": 2}, {"depth": 1})(found).holds


def test_six_correlation_lengths_are_what_theory_says() -> None:
    """Schoenholz et al. 2017: ξ diverges at the edge, and falls on both sides of it."""
    assert reach(1.0) == pytest.approx(6 * 3.627, rel=1e-3)
    assert reach(1.76) > 10 * reach(1.5)
    assert reach(1.0) < reach(1.5)
    assert reach(4.0) < reach(2.5)
