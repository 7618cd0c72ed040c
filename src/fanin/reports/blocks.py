"""From fanin's nouns to the blocks of a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from fanin.diagnosis import Diagnosis, Severity
from fanin.plans import Plan
from fanin.plans.text import HEADERS, NUMBERS, rows
from fanin.reports.page import Column, FindingRow, Findings, LinePlot, Series, Table, Text
from fanin.reports.page import Severity as Shown
from fanin.signals import LayerSignal, by_depth

WORDS: Final[Mapping[Severity, Shown]] = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def findings(diagnosis: Diagnosis, prefix: str = "", *, counted: bool = True) -> Findings | Text:
    """The findings, or one line that says there are none."""
    if not diagnosis.findings:
        return Text(f"{prefix}healthy: no check found anything", "good")
    return Findings(
        [
            FindingRow(f.code, WORDS[f.severity], f"{prefix}{f.name}", f"from {f.place}", f.why, f.what, f.remedy)
            for f in diagnosis
        ],
        counted,
    )


def plan_table(plan: Plan) -> Table:
    """Parameter, shape, fans, initializer, std, why; repeated layers share a row."""
    columns = [Column(name, align="right" if name in NUMBERS else "left") for name in HEADERS]
    return Table(f"plan: {plan.recipe}", columns, rows(plan))


def activations_over_depth(diagnoses: Mapping[str, Diagnosis], title: str = "Activations over depth") -> LinePlot:
    """Second moment of every layer's output, a series for each start."""
    return _over_depth(diagnoses, title, "E[x²] of the layer's output", lambda seen: seen.value.second_moment)


def gradients_over_depth(diagnoses: Mapping[str, Diagnosis], title: str = "Gradients over depth") -> LinePlot:
    """Squared norm of the gradient at every layer's pre-activation, a series for each start."""
    return _over_depth(diagnoses, title, "‖δ‖², δ = ∂loss/∂z", lambda seen: seen.gradient_norm)


def _over_depth(
    diagnoses: Mapping[str, Diagnosis], title: str, y_label: str, of: Callable[[LayerSignal], float | None]
) -> LinePlot:
    series = []
    for name, diagnosis in diagnoses.items():
        seen = by_depth(diagnosis.graph, diagnosis.signals)
        series.append(Series(name, [s.layer.index for s in seen], [of(s) for s in seen]))
    return LinePlot(title, "layer", y_label, series, log_y=True, x_integer=True)


def layer_table(diagnosis: Diagnosis) -> Table:
    """Every layer with what flows out of it and what comes back; the source where it is known."""
    columns = [
        Column("layer", "integer"),
        Column("module"),
        Column("operation"),
        Column("activation"),
        Column("E[x²]", "scientific"),
        Column("‖δ‖²", "scientific"),
        Column("saturated", "percent"),
        Column("source"),
    ]
    rows = [
        (
            s.layer.index,
            s.layer.module,
            s.layer.node.op,
            str(s.layer.activation or ""),
            s.value.second_moment,
            s.gradient_norm,
            s.value.saturated,
            s.layer.node.source,
        )
        for s in by_depth(diagnosis.graph, diagnosis.signals)
    ]
    shown = len(columns) if any(row[-1] for row in rows) else len(columns) - 1
    return Table("layers", columns[:shown], [row[:shown] for row in rows])


def reach(diagnosis: Diagnosis) -> tuple[float | None, float | None]:
    """How far signals come: E[x²] of the last layer over the first's, and ‖δ‖² of the first over the last's."""
    seen = by_depth(diagnosis.graph, diagnosis.signals)
    forward = _ratio(seen[-1].value.second_moment, seen[0].value.second_moment)
    return forward, _ratio(seen[0].gradient_norm, seen[-1].gradient_norm)


def _ratio(far: float | None, near: float | None) -> float | None:
    return far / near if far is not None and near else None
