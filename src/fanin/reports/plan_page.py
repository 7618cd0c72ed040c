"""The report of `fanin plan --predict`: the decisions, and what they make of signals and gradients over depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fanin.plans import Plan
from fanin.reports.blocks import plan_table
from fanin.reports.page import Block, Column, LinePlot, Page, Section, Series, Table, Text, Value
from fanin.reports.prediction_page import LayerRow, layer_rows, notes_of
from fanin.signals import Signals

VALUES = ("Activations over depth", "E[x²] of the layer's output")
GRADIENTS = ("Gradients over depth", "‖δ‖², δ = ∂loss/∂z")
COLUMNS = (
    Column("start"),
    Column("E[x²] first", "scientific"),
    Column("E[x²] last", "scientific"),
    Column("‖δ‖² first", "scientific"),
    Column("‖δ‖² last", "scientific"),
    Column("‖δ‖² first/last", "scientific"),
)


class Ends(NamedTuple):
    """What is predicted at the first and at the last layer of a start."""

    start: str
    first_value: float | None
    last_value: float | None
    first_gradient: float | None
    last_gradient: float | None
    gradient_ratio: float | None


def plan_page(plan: Plan, predicted: Mapping[str, Signals], facts: Mapping[str, Value], program: str) -> Page:
    """A page on one plan.

    Args:
        predicted: the signals of each start by its name, the plan's last; others, such as the model as it is built, to
            see what the plan changes.
    """
    *_, (name, signals) = predicted.items()
    graph = signals.graph
    assert graph is not None  # signals are always of a graph
    rows = {start: layer_rows(of, None) for start, of in predicted.items()}
    table = Table("ends", COLUMNS, [tuple(ends(start, of)) for start, of in rows.items()], notes_of(signals, graph))
    blocks: list[Block] = [table, _plot(*VALUES, rows, 3), _plot(*GRADIENTS, rows, 6)]
    decisions: list[Block] = [*(Text(note, "warn") for note in plan.notes), plan_table(plan)]
    sections = [
        Section("Plan", decisions),
        Section("Predicted signals", blocks, f"From the graph alone. Gradients of {signals.loss_name}."),
    ]
    subtitle = f"{len(graph.parameters)} parameters, {len(graph.nodes)} operations"
    return Page(graph.model, subtitle, sections, facts, program, f"Start: {name}.")


def ends(start: str, rows: Sequence[LayerRow]) -> Ends:
    """The first and the last layer with a number."""
    values = [row.predicted for row in rows if row.predicted is not None]
    gradients = [row.predicted_gradient for row in rows if row.predicted_gradient is not None]
    ratio = gradients[0] / gradients[-1] if gradients and gradients[-1] else None
    first, last = (values[0], values[-1]) if values else (None, None)
    first_gradient, last_gradient = (gradients[0], gradients[-1]) if gradients else (None, None)
    return Ends(start, first, last, first_gradient, last_gradient, ratio)


def _plot(title: str, label: str, rows: Mapping[str, Sequence[LayerRow]], column: int) -> LinePlot:
    series = [
        Series(start, [row.layer for row in of], [_number(row[column]) for row in of]) for start, of in rows.items()
    ]
    return LinePlot(title, "layer", label, series, log_y=True, x_integer=True)


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
