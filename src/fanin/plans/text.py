"""A plan as a table: one line for parameters that are treated alike in repeated layers."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from fanin.graph import Parameter
from fanin.plans.model import Entry, Plan


def table(plan: Plan) -> Table:
    """Parameter, shape, fans, initializer, std, why."""
    view = Table(title=f"plan: {plan.recipe}", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("parameter", "shape"):
        view.add_column(name, overflow="fold")
    for name in ("fan_in", "fan_out"):
        view.add_column(name, justify="right")
    view.add_column("initializer", overflow="fold")
    view.add_column("std", justify="right")
    view.add_column("why", overflow="fold", ratio=1)
    for row in rows(plan):
        view.add_row(*row)
    return view


def plain(plan: Plan, width: int = 120) -> str:
    """The same without colour."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table(plan))
    text = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO given above
    return "\n".join(line.rstrip() for line in text.splitlines())


def rows(plan: Plan) -> list[tuple[str, ...]]:
    """The table's cells; consecutive layers that differ only in their number share a line."""
    return [
        (
            _path(group),
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
    """Entries alike in all but the numbers of their paths, in the order of the first of each."""
    groups: dict[object, list[Entry]] = {}
    for e in plan:
        p = e.parameter
        alike = (re.sub(r"\d+", "#", p.path), p.shape, p.dtype, p.role, p.fans, e.initializer, e.why)
        groups.setdefault(alike, []).append(e)
    return list(groups.values())


def _path(group: list[Entry]) -> str:
    """`layers.0.weight`, or `layers.{0…39}.weight (40)` for a group."""
    first, last = group[0].parameter.path, group[-1].parameter.path
    if len(group) == 1:
        return first
    pieces = zip(re.split(r"(\d+)", first), re.split(r"(\d+)", last), strict=True)
    return "".join(a if a == b else f"{{{a}…{b}}}" for a, b in pieces) + f" ({len(group)})"


def _fans(p: Parameter) -> tuple[str, str]:
    return (f"{p.fans.fan_in:g}", f"{p.fans.fan_out:g}") if p.fans else ("", "")
