"""From fanin's nouns to the blocks of a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fanin.diagnosis import Diagnosis
from fanin.plans import Plan
from fanin.plans.text import HEADERS, NUMBERS, rows
from fanin.reports.page import Column, FindingRow, Findings, LinePlot, Series, Table
from fanin.signals import LayerSignal, Moments, by_depth


def findings(diagnosis: Diagnosis, prefix: str = "", *, counted: bool = True) -> Findings:
    """The findings, or one line that says there are none."""
    if diagnosis.healthy:
        return Findings([FindingRow("", "ok", f"{prefix}healthy")], counted)
    return Findings(
        [
            FindingRow(f.code, f.severity.value, f"{prefix}{f.name}", f"from {f.place}", f.why, f.what, f.remedy)
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
    return _over_depth(diagnoses, title, "E[x²] of the layer's output", lambda seen: seen.value)


def gradients_over_depth(diagnoses: Mapping[str, Diagnosis], title: str = "Gradients over depth") -> LinePlot:
    """Second moment of the gradient at every layer's pre-activation, a series for each start."""
    return _over_depth(diagnoses, title, "E[δ²], δ = ∂loss/∂z", lambda seen: seen.gradient)


def _over_depth(
    diagnoses: Mapping[str, Diagnosis], title: str, y_label: str, of: Callable[[LayerSignal], Moments | None]
) -> LinePlot:
    series = []
    for name, diagnosis in diagnoses.items():
        seen = by_depth(diagnosis.graph, diagnosis.signals)
        moments = [of(layer) for layer in seen]
        series.append(Series(name, [s.layer.index for s in seen], [m.second_moment if m else None for m in moments]))
    return LinePlot(title, "layer", y_label, series, log_y=True, x_integer=True)


def layer_table(diagnosis: Diagnosis) -> Table:
    """Every layer with what flows out of it and what comes back."""
    columns = [
        Column("layer", "integer"),
        Column("module"),
        Column("operation"),
        Column("activation"),
        Column("E[x²]", "scientific"),
        Column("E[δ²]", "scientific"),
        Column("saturated", "percent"),
        Column("source"),
    ]
    return Table(
        "layers",
        columns,
        [
            (
                s.layer.index,
                s.layer.module,
                s.layer.node.op,
                str(s.layer.activation or ""),
                s.value.second_moment,
                s.gradient.second_moment if s.gradient else None,
                s.value.saturated,
                s.layer.node.source,
            )
            for s in by_depth(diagnosis.graph, diagnosis.signals)
        ],
    )


def reach(diagnosis: Diagnosis) -> tuple[float | None, float | None]:
    """How far signals come: E[x²] of the last layer over the first's, and E[δ²] of the first over the last's."""
    seen = by_depth(diagnosis.graph, diagnosis.signals)
    forward = _ratio(seen[-1].value, seen[0].value)
    return forward, _ratio(seen[0].gradient, seen[-1].gradient)


def _ratio(far: Moments | None, near: Moments | None) -> float | None:
    return far.second_moment / near.second_moment if far and near and near.second_moment else None
