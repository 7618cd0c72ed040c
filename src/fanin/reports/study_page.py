"""The report of `fanin compare`: who ended where, and the way there."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

from fanin.experiments import Standing, Study
from fanin.experiments.study import cells
from fanin.reports.page import Block, Column, LinePlot, Page, Section, Series, Table, Text, Value
from fanin.signals.over_depth import ACTIVATIONS, GRADIENTS, Quantity

POINTS = 100  # of a curve: what a plot of this width shows
HEAD = (
    *(Column("recipe"), Column("best rate", align="right"), Column("loss at the end", align="right")),
    *(Column("behind the best", align="right"), Column("p", align="right"), Column("test", align="right")),
    *(Column("diverged", minor=True), Column("steps to bar", align="right")),
)


def study_page(study: Study, facts: Mapping[str, Value], program: str) -> Page:
    """The verdict first, then the table, the curves, and every rate."""
    how = study.how
    blocks: list[Block] = [standings(study), *(Text(note) for note in study.all_notes)]
    sections = [Section("Each at its own best rate", blocks), Section("Training", [curves(study)])]
    if len(study.rates) > 1:
        sections.append(Section("Over learning rates", [over_rates(study)]))
    if flowed := signals(study):
        sections.append(Section("Signals over depth", flowed, "At the start, and after training."))
    if study.all_that_went_wrong:
        sections.append(Section("Left out", [Text(line) for line in study.all_that_went_wrong]))
    return Page(
        title=f"Starts of {study.net}, compared",
        subtitle=(
            f"On {study.data}; {len(study.seeds)} seeds, {len(study.rates)} rates, {how.steps} steps of "
            f"{how.batch_size} with {how.optimizer}, momentum {how.momentum:g}"
        ),
        sections=sections,
        facts=facts,
        generated_by=program,
        summary=study.verdict,
    )


def standings(study: Study) -> Table:
    """One row a recipe, best first; how many diverged only if some did."""
    rows = [cells(row) for row in study.standings]
    shown = [at for at, column in enumerate(HEAD) if column.name != "diverged" or any(row[at] for row in rows)]
    return Table(
        f"Means over {len(study.seeds)} seeds with 95 % intervals; differences seed by seed",
        [HEAD[at] for at in shown],
        [[row[at] for at in shown] for row in rows],
        notes=[
            f"Chance is {study.chance:.3g}, the bar {study.bar:.3g}. All recipes of a seed see the same batches. "
            "p is that of Wilcoxon's signed-rank test."
        ],
    )


def curves(study: Study) -> LinePlot:
    """Loss over steps of each recipe at its best rate; the band spans the seeds."""
    window = max(1, math.ceil(study.how.steps / POINTS))
    drawn = [_series(study, row, window) for row in study.standings]
    label = f"loss, mean of {window} steps" if window > 1 else "loss"
    return LinePlot(
        "Training loss",
        "step",
        label,
        drawn,
        log_y=True,
        x_integer=True,
        caption="The band spans the seeds. A curve ends where the first of them diverged.",
    )


def over_rates(study: Study) -> Table:
    """Mean loss at the end of each recipe at each rate; of those that diverged, how many did."""

    def cell(recipe: str, rate: float) -> str:
        runs = study.of(recipe, rate)
        lost = sum(run.diverged_at is not None for run in runs)
        if lost or not runs:
            return f"{lost} of {len(runs)} diverged" if runs else ""
        return f"{statistics.fmean(run.final_loss for run in runs):.3g}"

    columns = [Column("recipe"), *(Column(f"{rate:g}", align="right") for rate in study.rates)]
    rows = [(row.recipe, *(cell(row.recipe, rate) for rate in study.rates)) for row in study.standings]
    return Table("Mean loss at the end by learning rate", columns, rows)


def signals(study: Study) -> list[Block]:
    """What flowed through the layers before and after training, of each recipe at its best rate; where it was kept."""
    plots = []
    for quantity in (ACTIVATIONS, GRADIENTS):
        series = [_flowing(study, recipe, when, quantity) for recipe in study.recipes for when in ("start", "end")]
        if drawn := [line for line in series if line is not None and len(line.x) > 1]:
            caption = "Medians over seeds, each recipe at its own best rate, on 128 samples."
            plots.append(
                LinePlot(quantity.title, "layer", quantity.label, drawn, log_y=True, x_integer=True, caption=caption)
            )
    return list(plots)


def _flowing(study: Study, recipe: str, when: str, quantity: Quantity) -> Series | None:
    flows = study.flows(recipe, when)
    if not flows:
        return None
    numbers = [flow.gradients if quantity.backward else flow.values for flow in flows]
    middle = [
        statistics.median([x for x in layer if x is not None] or [math.nan]) for layer in zip(*numbers, strict=True)
    ]
    word = {"start": "at the start", "end": "trained"}[when]
    return Series(f"{recipe}, {word}", range(1, len(middle) + 1), middle, group=recipe)


def _series(study: Study, row: Standing, window: int) -> Series:
    points = study.curve(row.recipe, window)
    x, mean, low, high = (list(column) for column in zip(*points, strict=True)) if points else ([], [], [], [])
    return Series(row.recipe, x, mean, low, high, emphasis=row.recipe == study.winner)
