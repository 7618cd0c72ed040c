"""The report of a sweep: where each recipe ends over what varies, and the curves of every cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Any, Final

from fanin.experiments import Study
from fanin.experiments.sweep import Sweep, table
from fanin.reports.page import Block, Column, HeatMap, Page, Section, Series, Table, Text, Value
from fanin.reports.study_page import curves, signals

SMALLEST: Final = 1e-4  # of chance: losses below are as good as none, and would take all colours
EVEN: Final = 4  # the widest gap over the narrowest on an axis of numbers: beyond, the narrow ones cannot be read
CURVES: Final = 12  # studies whose curves a page has room for


def sweep_page(swept: Sweep, facts: Mapping[str, Value], program: str, line: Series | None = None) -> Page:
    """Maps first, then the table, then curves.

    Args:
        line: what theory says, drawn over maps whose axes are numbers.
    """
    first = swept.studies[0]
    sections = [Section("Loss at the end", [*maps(swept, line), losses(swept)]), *by_cell(swept)]
    if swept.all_that_went_wrong:
        sections.append(Section("Left out", [Text(line) for line in swept.all_that_went_wrong]))
    nets = dict.fromkeys(study.net for study in swept.studies)
    return Page(
        title=f"Starts of {next(iter(nets))}{f' and {len(nets) - 1} other nets' if len(nets) > 1 else ''}, compared",
        subtitle=(
            f"On {first.data}; over {', '.join(swept.vary)}; {len(first.seeds)} seeds, {len(first.rates)} rates, "
            f"{first.how.steps} steps of {first.how.batch_size} with {first.how.optimizer}"
        ),
        sections=sections,
        facts=facts,
        generated_by=program,
    )


def by_cell(swept: Sweep) -> list[Section]:
    """Curves and signals of each study, where there is room for all."""
    pairs = list(zip(swept.cells, swept.studies, strict=True)) if len(swept.studies) <= CURVES else []
    return [Section(said(cell), [Text(study.verdict), curves(study), *signals(study)]) for cell, study in pairs]


def losses(swept: Sweep, *, test: bool = False) -> Table:
    """The table that is printed."""
    head, rows = table(swept, test=test)
    note = "Means over seeds, each recipe at its own best rate; * ends lower than every other."
    title = "Share of the test that is said right" if test else "Loss at the end"
    return Table(title, [Column(name, align="right") for name in head], rows, [note])


def maps(swept: Sweep, line: Series | None = None) -> list[Block]:
    """Recipes over what varies alone; or for each recipe, the last two things that vary, and others one by one."""
    names = list(swept.vary)
    if len(names) == 1:
        return [_recipes_over(swept, names[0])] if len(swept.recipes) > 1 or len(swept.vary[names[0]]) > 1 else []
    *outer, down, across = names
    if len(swept.recipes) > 1 and len(names) == 2:
        return [_recipes_over(swept, across, {down: value}) for value in swept.vary[down]]
    others = [dict(zip(outer, values, strict=True)) for values in product(*(swept.vary[n] for n in outer))]
    return [_plane(swept, recipe, down, across, fixed, line) for recipe in swept.recipes for fixed in others]


def said(cell: Mapping[str, Any]) -> str:
    """As "depth 5, norm batch"."""
    return ", ".join(f"{name} {value}" for name, value in cell.items())


def _recipes_over(swept: Sweep, across: str, fixed: Mapping[str, Any] | None = None) -> HeatMap:
    fixed = fixed or {}
    values = swept.vary[across]
    rows = [[_shown(swept.at(**{across: value}, **fixed), recipe) for value in values] for recipe in swept.recipes]
    places, names = _axis(values, named=True)
    title = f"By recipe and {across}{f', {said(fixed)}' if fixed else ''}"
    return _map(swept, title, across, "recipe", rows, places, names, range(len(rows)), swept.recipes)


def _plane(swept: Sweep, recipe: str, down: str, across: str, fixed: Mapping[str, Any], line: Series | None) -> HeatMap:
    rows = [
        [_shown(swept.at(**{down: y, across: x}, **fixed), recipe) for x in swept.vary[across]]
        for y in swept.vary[down]
    ]
    (x, x_names), (y, y_names) = _axis(swept.vary[across]), _axis(swept.vary[down])
    title = f"{recipe}{f', {said(fixed)}' if fixed else ''}"
    return _map(swept, title, across, down, rows, x, x_names, y, y_names, None if x_names or y_names else line)


def _map(
    swept: Sweep,
    title: str,
    x_label: str,
    y_label: str,
    rows: Sequence[Sequence[float]],
    x: Sequence[float],
    x_names: Sequence[str],
    y: Sequence[float],
    y_names: Sequence[str],
    line: Series | None = None,
) -> HeatMap:
    bar = swept.studies[0].bar / swept.studies[0].chance
    return HeatMap(
        title,
        x_label,
        y_label,
        "loss at the end / chance",
        x,
        y,
        rows,
        centre=bar,
        reach=1 / bar,
        line=line,
        beyond="diverged or left out",
        caption=f"Below {bar:g} a net has learned something; at 1 it knows no more than the best constant answer.",
        x_names=x_names,
        y_names=y_names,
    )


def _axis(values: Sequence[Any], named: bool = False) -> tuple[Sequence[float], Sequence[str]]:
    """Numbers that rise about evenly stand where they are, unless names are asked for; anything else in its order."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    gaps = [b - a for a, b in pairwise(values)] if numbers and not named else []
    if gaps and 0 < max(gaps) <= EVEN * min(gaps):
        return values, ()
    return range(len(values)), tuple(map(str, values))


def _shown(study: Study, recipe: str) -> float:
    loss = study.loss(recipe)
    return math.nan if loss is None or not math.isfinite(loss) else max(SMALLEST, loss / study.chance)
