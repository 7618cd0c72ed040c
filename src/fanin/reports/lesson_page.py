"""The report of a lesson: the question, what was seen, what the textbook says, and why."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.experiments.lessons import Given, Lesson, Line
from fanin.reports.page import Column, Page, Section, Series, Table, Text, Value
from fanin.reports.sweep_page import by_cell, losses, maps


def lesson_page(given: Given, facts: Mapping[str, Value], program: str) -> Page:
    """What to see first, then the map and the table, the claims, the reason, and the curves."""
    lesson, swept = given.lesson, given.sweep
    line = _series(lesson.line()) if lesson.line else None
    pictures = [Text(lesson.see), *maps(swept, line), losses(swept, test=lesson.test)]
    sections = [
        Section("What to see", pictures),
        Section("What the textbook says, and what was seen", [claims(given)]),
        Section("Why", [Text(lesson.why), *_found(lesson), Text(f"Source: {lesson.source}.")]),
        *by_cell(swept),
    ]
    if swept.all_that_went_wrong:
        sections.append(Section("Left out", [Text(line) for line in swept.all_that_went_wrong]))
    seen = sum(one.holds for _, one in given.claims)
    first = swept.studies[0]
    return Page(
        title=lesson.title,
        subtitle=(
            f"On {first.data}; over {', '.join(swept.vary)}; {len(first.seeds)} seed(s), {len(first.rates)} rates, "
            f"{first.how.steps} steps of {first.how.batch_size} with {first.how.optimizer}"
        ),
        sections=sections,
        facts=facts,
        generated_by=program,
        summary=f"{lesson.question} {seen} of {len(given.claims)} things that the textbook says were seen.",
    )


def claims(given: Given) -> Table:
    """Each with whether it was seen, and the numbers."""
    rows = [(says, "seen" if seen.holds else "not seen", seen.numbers) for says, seen in given.claims]
    return Table("", [Column("claim"), Column("here"), Column("numbers")], rows)


def _found(lesson: Lesson) -> list[Text]:
    return [Text(f"When this was written down: {lesson.found}")] if lesson.found else []


def _series(line: Line) -> Series:
    x, y = zip(*line.points, strict=True)
    return Series(line.name, x, y)
