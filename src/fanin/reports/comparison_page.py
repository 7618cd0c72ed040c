"""The report of a comparison: how far predictions are from measurements, over all and over depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fanin.reports.page import Block, Column, LinePlot, Page, Section, Series, Table, Text, Value
from fanin.signals import Comparison, Pair, Row
from fanin.signals.compare_text import NODES, NUMBERS, SUMMARY, node_cells, notes, summary_rows


def comparison_page(comparison: Comparison, facts: Mapping[str, Value], program: str, worst: int = 50) -> Page:
    """A page on one comparison.

    Args:
        worst: so many nodes are listed, those that are furthest off first.
    """
    overall: list[Block] = [summary_table(comparison), *map(Text, notes(comparison))]
    sections = [
        Section("Over all nodes", overall),
        Section("Over depth", [values_over_depth(comparison), gradients_over_depth(comparison)]),
        Section("Furthest off", [nodes_table(comparison, worst)]),
    ]
    subtitle = f"{len(comparison.rows)} operations, {len(comparison.parameters)} parameters"
    return Page(f"{comparison.model}: predicted and measured signals", subtitle, sections, facts, program)


def values_over_depth(comparison: Comparison, title: str = "Activations over depth") -> LinePlot:
    """Second moment of every node's value: the prediction with its band, the measurement as points."""
    return _over_depth(comparison.rows, title, "E[x²]", lambda row: row.value)


def gradients_over_depth(comparison: Comparison, title: str = "Gradients over depth") -> LinePlot:
    """Second moment of every node's gradient, likewise."""
    return _over_depth(comparison.rows, title, "E[(∂loss/∂x)²]", lambda row: row.gradient)


def _over_depth(rows: Sequence[Row], title: str, y_label: str, of: Callable[[Row], Pair | None]) -> LinePlot:
    drawn = [(at, pair) for at, row in enumerate(rows, 1) if (pair := of(row)) and not pair.zero]
    places = [at for at, _ in drawn]
    banded = any(pair.band for _, pair in drawn)
    low, high = ([pair.band[side] if pair.band else None for _, pair in drawn] for side in (0, 1))
    predicted = Series(
        "predicted", places, [p.predicted for _, p in drawn], low if banded else None, high if banded else None
    )
    measured = Series("measured", places, [p.measured for _, p in drawn], dots=True)
    caption = "The band is where 8 of 10 draws of the weights are predicted to lie." if banded else ""
    return LinePlot(title, "operation", y_label, [predicted, measured], log_y=True, x_integer=True, caption=caption)


def summary_table(comparison: Comparison) -> Table:
    """Medians and quantiles of the factors."""
    return Table("Predicted over measured", _columns(SUMMARY), summary_rows(comparison))


def nodes_table(comparison: Comparison, worst: int = 50) -> Table:
    """The nodes that are furthest off."""
    return Table("Nodes", _columns(NODES), [node_cells(kind, row) for kind, row in comparison.worst(worst)])


def _columns(names: Sequence[str]) -> list[Column]:
    return [Column(name, align="right" if name in NUMBERS else "left") for name in names]
