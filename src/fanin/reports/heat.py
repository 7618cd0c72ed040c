"""A heat map in numbers, words and characters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

from fanin.reports.formats import evenly, shown
from fanin.reports.page import Column, HeatMap, Table

SHADES = " ░▒▓█"
BEYOND = "∞"
TABLE_PLACES = 11  # rows and columns of the table of numbers; the JSON report has them all


class HeatData(TypedDict):
    """What the page's script is told of a heat map; null is not finite."""

    x_label: str
    y_label: str
    value_label: str
    x: list[float]
    y: list[float]
    x_names: list[str]
    y_names: list[str]
    values: list[list[float | None]]
    centre: float
    extent: float
    line: list[list[float | None]]
    line_name: str
    beyond: str
    description: str


def heat_data(block: HeatMap) -> HeatData:
    """The heat map for the page's script."""
    line = [] if block.line is None else [[_short(x), y and _short(y)] for x, y, _, _ in block.line.points()]
    return HeatData(
        x_label=block.x_label,
        y_label=block.y_label,
        value_label=block.value_label,
        x=[_short(v) for v in block.x],
        y=[_short(v) for v in block.y],
        x_names=list(block.x_names),
        y_names=list(block.y_names),
        values=[[_short(v) if math.isfinite(v) else None for v in row] for row in block.values],
        centre=block.centre,
        extent=block.extent(),
        line=line,
        line_name=block.line.name if block.line else "",
        beyond=block.beyond if any(not math.isfinite(v) for row in block.values for v in row) else "",
        description=heat_description(block),
    )


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def heat_description(block: HeatMap) -> str:
    """The map in words, for those who hear it: what is drawn over what, and its range."""
    drawn = [v for row in block.values for v in row if math.isfinite(v)]
    span = f"from {shown(min(drawn), 'number')} to {shown(max(drawn), 'number')}" if drawn else "nowhere finite"
    return f"{block.title}. Heat map of {block.value_label} over {block.x_label} and {block.y_label}; {span}."


def heat_table(block: HeatMap) -> Table:
    """Some of the numbers, for reading without the drawing."""
    across, down = evenly(len(block.x), TABLE_PLACES), evenly(len(block.y), TABLE_PLACES)
    columns = [Column(f"{block.y_label} \\ {block.x_label}", "text" if block.y_names else "number")]
    columns += [Column(place(block.x, block.x_names, i), "number") for i in across]
    there = block.y_names or block.y
    rows = [[there[j], *(block.values[j][i] for i in across)] for j in down]
    skipped = len(across) < len(block.x) or len(down) < len(block.y)
    notes = [f"{len(down)} of {len(block.y)} rows, {len(across)} of {len(block.x)} columns."] if skipped else []
    return Table(block.title, columns, rows, notes)


def place(places: Sequence[float], names: Sequence[str], at: int) -> str:
    """What stands on the axis there."""
    return names[at] if names else shown(places[at], "number")


def heat_rows(block: HeatMap, width: int, height: int = 12) -> list[str]:
    """The map as rows of characters, the largest y first, names from above: the darker, the larger.

    Rows that are all shown begin with what they are of; a map of few columns has wide ones.
    """
    down = _spread(len(block.y), height)
    down = down if block.y_names else down[::-1]
    across = _spread(len(block.x), width)
    extent, wide = block.extent() or 1.0, max(1, min(6, width // max(1, len(across))))
    rows = ["".join(_shade(block.values[j][i], block.centre, extent) * wide for i in across) for j in down]
    if len(down) < len(block.y):
        return rows
    names = [place(block.y, block.y_names, j) for j in down]
    room = max(map(len, names))
    return [f"{name:>{room}} {row}" for name, row in zip(names, rows, strict=True)]


def _spread(count: int, places: int) -> Sequence[int]:
    places = min(count, places)
    return [(2 * i + 1) * count // (2 * places) for i in range(places)]


def _shade(value: float, centre: float, extent: float) -> str:
    if not math.isfinite(value):
        return BEYOND
    share = 0.0 if value <= 0 else (math.log(value / centre) / extent + 1) / 2
    return SHADES[max(0, min(int(share * len(SHADES)), len(SHADES) - 1))]
