"""A plan as a table: one line for parameters that are treated alike in repeated layers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from rich.console import Group
from rich.text import Text

from fanin.graph import Parameter
from fanin.grid import Grid
from fanin.plans.model import Entry, Plan

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
    """Entries alike in all but the numbers of their paths, in the order of the first of each.

    The numbers of a group are every combination of those at each place, so that its label names all and no other.
    """
    groups: dict[object, list[Entry]] = {}
    for e in plan:
        p = e.parameter
        alike = (re.sub(r"\d+", "#", p.path), p.shape, p.dtype, p.role, p.fans, e.initializer, e.why)
        groups.setdefault(alike, []).append(e)
    order = {e.parameter.path: i for i, e in enumerate(plan)}
    combined = [part for group in groups.values() for part in _combinations(group)]
    return sorted(combined, key=lambda group: order[group[0].parameter.path])


def _combinations(group: list[Entry]) -> list[list[Entry]]:
    """The group, or parts of it that share their first differing number, until each holds every combination."""
    numbers = [re.findall(r"\d+", e.parameter.path) for e in group]
    places = [dict.fromkeys(place) for place in zip(*numbers, strict=True)]
    if math.prod(map(len, places)) == len(group):
        return [group]
    split = next(i for i, place in enumerate(places) if len(place) > 1)
    parts = ([e for e, own in zip(group, numbers, strict=True) if own[split] == value] for value in places[split])
    return [whole for part in parts for whole in _combinations(part)]


def _path(group: list[Entry]) -> str:
    """`layers.0.weight`, or `layers.{0…39}.weight (40)` for a group."""
    places = zip(*(re.split(r"(\d+)", e.parameter.path) for e in group), strict=True)
    label = "".join(place[0] if len(set(place)) == 1 else f"{{{_span(place)}}}" for place in places)
    return label if len(group) == 1 else f"{label} ({len(group)})"


def _span(values: Iterable[str]) -> str:
    """Numbers in ascending order, equal steps shortened: "0…39", "0,2…78", "0,1,3"."""
    numbers = sorted(set(map(int, values)))
    pieces: list[str] = []
    while numbers:
        step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
        run = 1
        while run < len(numbers) and numbers[run] == numbers[0] + run * step:
            run += 1
        if run >= (3 if step == 1 else 4):
            head = f"{numbers[0]}" if step == 1 else f"{numbers[0]},{numbers[1]}"
            pieces.append(f"{head}…{numbers[run - 1]}")
        else:
            run = 1
            pieces.append(f"{numbers[0]}")
        numbers = numbers[run:]
    return ",".join(pieces)


def _fans(p: Parameter) -> tuple[str, str]:
    return (f"{p.fans.fan_in:g}", f"{p.fans.fan_out:g}") if p.fans else ("", "")
