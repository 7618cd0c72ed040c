"""Every layer in numbers, how its values are spread, and what attention attends to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fanin.diagnosis import Diagnosis
from fanin.reports.formats import evenly
from fanin.reports.page import Column, Table, Value
from fanin.signals import LayerSignal, Signals, by_depth

IN_TERMINAL: Final = 10  # rows: a report on a healthy model is to fit on a screen
DRAWN: Final = 100  # layers whose spread is drawn: with three drawings each, 120 kB of a page


@dataclass(frozen=True)
class _Row:
    """One layer, with what was predicted of it and what a closer look at it showed."""

    seen: LayerSignal
    foreseen: LayerSignal | None
    signals: Signals

    @property
    def dead(self) -> float | None:
        detail = self.signals.details.get(self.seen.layer.output.name)
        return detail.dead if detail else None

    @property
    def expected(self) -> float | None:
        return self.foreseen.value.second_moment if self.foreseen else None

    @property
    def expected_gradient(self) -> float | None:
        return self.foreseen.gradient_norm if self.foreseen else None

    @property
    def cosine(self) -> float | None:
        together, alone = self.seen.value.across_samples, self.seen.value.second_moment
        return together / alone if together is not None and alone else None


COLUMNS: Final[tuple[tuple[Column, Callable[[_Row], Value]], ...]] = (
    (Column("layer", "integer"), lambda row: row.seen.layer.index),
    (Column("module"), lambda row: row.seen.layer.module),
    (Column("operation", minor=True), lambda row: row.seen.layer.node.op),
    (Column("activation"), lambda row: str(row.seen.layer.activation or "")),
    (Column("E[x²]", "scientific"), lambda row: row.seen.value.second_moment),
    (Column("predicted", "scientific", minor=True), lambda row: row.expected),
    (Column("‖δ‖²", "scientific"), lambda row: row.seen.gradient_norm),
    (Column("predicted", "scientific", minor=True), lambda row: row.expected_gradient),
    (Column("dead", "percent"), lambda row: row.dead),
    (Column("saturated", "percent"), lambda row: row.seen.value.saturated),
    (Column("cos", "number"), lambda row: row.cosine),
    (Column("source"), lambda row: row.seen.layer.node.source),
)
NOTES: Final = {
    "dead": "dead: share of the units that are 0 for every sample and position.",
    "saturated": "saturated: share of the values within 1 % of a bound of their activation.",
    "cos": "cos: E[x x'] of two samples over E[x²]; 1 where the layer says the same of all of them.",
}


def layer_table(diagnosis: Diagnosis) -> Table:
    """Every layer with what flows out of it and what comes back; columns of which nothing is known are left out."""
    evidence = diagnosis.evidence
    beside = evidence.predicted if evidence.measured else None
    foreseen = {s.layer.index: s for s in by_depth(evidence.graph, beside)} if beside else {}
    rows = [_Row(seen, foreseen.get(seen.layer.index), evidence.signals) for seen in evidence.layers]
    cells = [[of(row) for row in rows] for _, of in COLUMNS]
    known = [i for i, column in enumerate(cells) if any(value not in (None, "") for value in column)]
    columns = [COLUMNS[i][0] for i in known]
    notes = [NOTES[column.name] for column in columns if column.name in NOTES]
    return Table("", columns, list(zip(*(cells[i] for i in known), strict=True)), notes, IN_TERMINAL)


def spread_table(diagnosis: Diagnosis) -> Table | None:
    """Histograms of each layer's values, gradients and weights; None where no closer look was taken."""
    signals, layers = diagnosis.signals, diagnosis.evidence.layers
    if not signals.details:
        return None
    starts = {finding.place.layer for finding in diagnosis}
    chosen = sorted({*evenly(len(layers), DRAWN), *(i for i, s in enumerate(layers) if s.layer.index in starts)})
    rows = [
        (
            seen.layer.index,
            seen.layer.module,
            *(
                detail.histogram if detail else None
                for detail in (
                    signals.details.get(seen.layer.output.name),
                    signals.gradient_details.get(seen.layer.node.name),
                    signals.parameter_details.get(seen.layer.weight),
                )
            ),
        )
        for seen in (layers[i] for i in chosen)
    ]
    columns = [Column("layer", "integer"), Column("module")]
    columns += [Column(name, "histogram") for name in ("values", "gradients", "weights")]
    notes = ["Each spans four root mean squares to both sides of 0; heights go as the square root of the counts."]
    if len(chosen) < len(layers):
        notes.insert(0, f"{len(chosen)} of {len(layers)} layers.")
    return Table("", columns, rows, notes, IN_TERMINAL)


def attention_table(diagnosis: Diagnosis) -> Table | None:
    """Each attention with how sharply it looks; None where there is none."""
    seen = diagnosis.signals.attention
    rows = [
        (node.module or node.name, d.keys, d.logit_std, d.entropy, d.largest, node.source)
        for node in diagnosis.graph.nodes
        if (d := seen.get(node.name))
    ]
    columns = [
        Column("module"),
        Column("keys", "number"),
        Column("logit std", "number"),
        Column("entropy", "percent"),
        Column("largest", "percent"),
        Column("source"),
    ]
    notes = [
        "keys: that a query sees, on average. entropy: of the weights over that of equal ones, 100% where every key "
        "counts alike. largest: the largest weight of a query, on average."
    ]
    return Table("", columns, rows, notes, IN_TERMINAL) if rows else None
