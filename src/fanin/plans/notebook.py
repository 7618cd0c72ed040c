"""A plan as a notebook shows it."""

from __future__ import annotations

from typing import Literal

from fanin.fragment import fragment, heading, table
from fanin.plans.model import Plan
from fanin.plans.text import HEADERS, NUMBERS, rows


def html(plan: Plan) -> str:
    """Its table, and what could not be known."""
    sides: list[Literal["left", "right"]] = ["right" if name in NUMBERS else "left" for name in HEADERS]
    notes = [heading("note", note) for note in plan.notes]
    return fragment(heading(f"plan: {plan.recipe}"), table(HEADERS, rows(plan), sides), *notes)
