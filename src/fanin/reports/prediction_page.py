"""The report of `fanin check --predict`: what is predicted of every layer, beside what is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from fanin.graph import Graph, layers
from fanin.reports.comparison_page import summary_table
from fanin.reports.page import Block, Column, LinePlot, Page, Section, Series, Table, Text, Value
from fanin.reports.stack_section import stack_section
from fanin.signals import LayerSignal, Signals, by_depth, stacks


class LayerRow(NamedTuple):
    """One layer: E[x²] of its output, ‖δ‖² of its pre-activation, each predicted, measured, and their ratio."""

    layer: int
    module: str
    operation: str
    predicted: float | None
    measured: float | None
    ratio: float | None
    predicted_gradient: float | None
    measured_gradient: float | None
    gradient_ratio: float | None
    how: str


COLUMNS = (
    Column("layer", "integer"),
    Column("module"),
    Column("operation"),
    Column("E[x²]", "scientific"),
    Column("measured", "scientific"),
    Column("ratio", "number"),
    Column("‖δ‖²", "scientific"),
    Column("measured", "scientific"),
    Column("ratio", "number"),
    Column("how"),
)
_OF_MEASUREMENT = (4, 5, 7, 8)


def layer_rows(predicted: Signals, measured: Signals | None) -> tuple[LayerRow, ...]:
    """The layers in the order they run; None where nothing is known of one."""
    graph = _graph(predicted)
    foreseen, seen = (
        {s.layer.index: s for s in by_depth(graph, signals)} if signals else {} for signals in (predicted, measured)
    )
    rows = []
    for layer in layers(graph):
        value, real = (_value(of.get(layer.index)) for of in (foreseen, seen))
        gradient, real_gradient = (_gradient(of.get(layer.index)) for of in (foreseen, seen))
        names = {layer.node.name, layer.output.name}
        how = "sampled" if names & predicted.sampled.keys() else "assumed" if names & predicted.assumed.keys() else ""
        rows.append(
            LayerRow(
                layer.index,
                layer.node.module,
                layer.node.op,
                value,
                real,
                _ratio(value, real),
                gradient,
                real_gradient,
                _ratio(gradient, real_gradient),
                how,
            )
        )
    return tuple(rows)


def prediction_page(
    predicted: Signals, measured: Signals | None, facts: Mapping[str, Value], program: str, not_measured: str = ""
) -> Page:
    """A page on one model.

    Args:
        not_measured: why nothing was, where that is so.
    """
    graph = _graph(predicted)
    rows = layer_rows(predicted, measured)
    shown = [i for i in range(len(COLUMNS)) if measured is not None or i not in _OF_MEASUREMENT]
    table = Table(
        "layers", [COLUMNS[i] for i in shown], [[row[i] for i in shown] for row in rows], notes_of(predicted, graph)
    )
    blocks: list[Block] = [_plot("Activations over depth", "E[x²] of the layer's output", rows, 3, measured)]
    blocks += [_plot("Gradients over depth", "‖δ‖², δ = ∂loss/∂z", rows, 6, measured), table]
    if not_measured:
        blocks.insert(0, Text(not_measured, "warn"))
    loss = f"Gradients of {predicted.loss_name}."
    title = "Predicted" if measured is None else "Predicted and measured"
    subtitle = f"{len(graph.parameters)} parameters, {len(graph.nodes)} operations"
    sections = [Section(title, blocks, loss)]
    if measured is not None:
        sections.append(
            Section("How close", [summary_table(predicted.compare(measured))], "Ratios over all operations.")
        )
    repeated = stack_section(stacks(predicted))
    return Page(graph.model, subtitle, sections + ([repeated] if repeated else []), facts, program)


def notes_of(predicted: Signals, graph: Graph) -> list[str]:
    """Which operations were run on a sample, and what was assumed, each once with how often."""
    notes = []
    if predicted.sampled:
        ops = Counter(graph.by_name[name].op for name in predicted.sampled)
        named = ", ".join(f"{op} ({n})" for op, n in ops.most_common())
        notes.append(f"{len(predicted.sampled)} operation(s) were run on a sample for want of a rule: {named}.")
    marks = Counter(mark for of_node in predicted.assumed.values() for mark in of_node)
    notes += [f"Assumed, at {n} operation(s): {mark}." for mark, n in marks.most_common()]
    return notes


def _plot(title: str, label: str, rows: tuple[LayerRow, ...], column: int, measured: Signals | None) -> LinePlot:
    names = ("predicted", "measured") if measured is not None else ("predicted",)
    series = [
        Series(name, [row.layer for row in rows], [_number(row[column + at]) for row in rows])
        for at, name in enumerate(names)
    ]
    return LinePlot(title, "layer", label, series, log_y=True, x_integer=True)


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _graph(signals: Signals) -> Graph:
    assert signals.graph is not None  # signals are always of a graph
    return signals.graph


def _value(of: LayerSignal | None) -> float | None:
    return of.value.second_moment if of else None


def _gradient(of: LayerSignal | None) -> float | None:
    return of.gradient_norm if of else None


def _ratio(predicted: float | None, measured: float | None) -> float | None:
    return predicted / measured if predicted is not None and measured else None
