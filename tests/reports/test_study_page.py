"""The report of a comparison, from runs made up by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fanin.experiments import Run, Study, Training
from fanin.reports import LinePlot, Table, to_html, to_json, to_text
from fanin.reports.study_page import curves, standings, study_page


@pytest.fixture
def study() -> Study:
    """Six seeds at two rates; "bad" diverges once at the larger one."""
    runs = []
    for recipe, level in (("good", 0.1), ("bad", 1.0)):
        for seed in range(6):
            for rate in (0.01, 0.1):
                lost = recipe == "bad" and rate == 0.1 and seed == 3
                end = level + 0.01 * seed + rate
                losses = tuple(end + 1 / step for step in range(1, 6 if lost else 301))
                runs.append(Run(recipe, seed, rate, losses, 6 if lost else None, end, 0.9, 1.0))
    return Study(
        "net",
        "data",
        2.3,
        Training(steps=300),
        tuple(range(6)),
        (0.01, 0.1),
        ("good", "bad"),
        tuple(runs),
        1.15,
        left_out={"fixup": "no branches"},
    )


def test_the_page_has_the_verdict_the_table_the_curves_and_the_rates(study: Study) -> None:
    page = study_page(study, {}, "fanin")
    assert page.summary == "good ends lower than every other recipe, beyond what the 6 seeds differ in."
    text = to_text(page)
    for part in ("good", "1 of 6 diverged", "fixup is left out: no branches", "Training loss"):
        assert part in text
    assert "1 of 6 diverged" in to_html(page)
    to_json(page)


def test_a_column_of_the_diverged_is_there_if_some_did(study: Study) -> None:
    assert "diverged" not in [column.name for column in standings(study).columns], "not at the best rates"
    only = tuple(run for run in study.runs if run.rate == 0.1)
    found = standings(replace(study, rates=(0.1,), runs=only))
    assert "diverged" in [column.name for column in found.columns]
    assert isinstance(found, Table)


def test_curves_span_the_seeds_and_have_about_a_hundred_points(study: Study) -> None:
    plot = curves(study)
    assert isinstance(plot, LinePlot)
    good = plot.series[0]
    assert good.emphasis
    assert len(good.x) == 100
    assert good.low is not None
    assert good.high is not None
    assert good.high[-1] is not None
    assert good.low[-1] is not None
    assert good.high[-1] - good.low[-1] == pytest.approx(0.05)
