"""A plan as a table: one line for parameters that are treated alike in repeated layers."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.console import Group
from rich.text import Text

from fanin.graph import Parameter
from fanin.grid import Grid
from fanin.plans.model import Entry, Plan
from fanin.plans.repeated import grouped, label

HEADERS = ("parameter", "shape", "fan_in", "fan_out", "initializer", "std", "why")
NUMBERS = {"fan_in", "fan_out", "std"}


def table(plan: Plan) -> Group:
    """Parameter, shape, fans, initializer, std, why; below them, what could not be known."""
    grid = Grid(HEADERS, rows(plan), ["right" if name in NUMBERS else "left" for name in HEADERS])
    notes = [Text(f"note: {note}") for note in plan.notes]
    return Group(Text(f"plan: {plan.recipe}", "bold"), grid, *notes)


def rows(plan: Plan) -> list[tuple[str, ...]]:
    """The table's cells; consecutive layers that differ only in their number share a line."""
    return [
        (
            label([e.parameter.path for e in group]),
            "×".join(map(str, first.parameter.shape)) or "scalar",
            *_fans(first.parameter),
            str(first.initializer),
            "" if math.isnan(first.std) else f"{first.std:.4g}",
            first.why,
        )
        for group in _grouped(plan)
        for first in (group[0],)
    ]


def _grouped(plan: Iterable[Entry]) -> list[list[Entry]]:
    """Entries alike in all but the numbers of their paths."""
    return grouped(
        plan,
        lambda e: e.parameter.path,
        lambda e: (e.parameter.shape, e.parameter.dtype, e.parameter.role, e.parameter.fans, e.initializer, e.why),
    )


def _fans(p: Parameter) -> tuple[str, str]:
    return (f"{p.fans.fan_in:g}", f"{p.fans.fan_out:g}") if p.fans else ("", "")
