"""What flows through a model, as lines over its depth: values forward, gradients back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fanin.diagnosis import Diagnosis
from fanin.reports.blocks import WORDS
from fanin.reports.page import LinePlot, Mark, Series
from fanin.signals import LayerSignal, by_depth
from fanin.signals.over_depth import ACTIVATIONS, GRADIENTS, Quantity


def activations_over_depth(diagnoses: Mapping[str, Diagnosis]) -> LinePlot:
    """Second moment of every layer's output, a line for each start."""
    return _of_starts(diagnoses, ACTIVATIONS)


def gradients_over_depth(diagnoses: Mapping[str, Diagnosis]) -> LinePlot:
    """Squared norm of the gradient at every layer's pre-activation, a line for each start."""
    return _of_starts(diagnoses, GRADIENTS)


def before_and_after(before: Diagnosis, after: Diagnosis) -> list[LinePlot]:
    """Both, of a model as it is built and after its remedies, over the same axes."""
    return [
        _plot(
            quantity, [_line("as built", before, quantity), _line("after the remedies", after, quantity, True)], after
        )
        for quantity in (ACTIVATIONS, GRADIENTS)
    ]


def expected_and_seen(diagnosis: Diagnosis) -> list[LinePlot]:
    """Both, as predicted and as measured, with a mark where each finding starts."""
    evidence = diagnosis.evidence
    foreseen = evidence.predicted if evidence.measured else evidence.signals
    predicted = by_depth(evidence.graph, foreseen) if foreseen else ()
    measured = evidence.layers if evidence.measured else ()
    return [
        _plot(quantity, _expected(quantity, predicted, measured), diagnosis) for quantity in (ACTIVATIONS, GRADIENTS)
    ]


def _expected(quantity: Quantity, predicted: Sequence[LayerSignal], measured: Sequence[LayerSignal]) -> list[Series]:
    series = []
    if predicted:
        bands = [quantity.band(seen) for seen in predicted]
        low, high = ([band[side] if band else None for band in bands] for side in (0, 1))
        banded = any(bands)
        series.append(_series("predicted", predicted, quantity, low if banded else None, high if banded else None))
    if measured:
        series.append(_series("measured", measured, quantity, dots=bool(predicted)))
    return series


def _of_starts(diagnoses: Mapping[str, Diagnosis], quantity: Quantity) -> LinePlot:
    lines = [_line(name, diagnosis, quantity) for name, diagnosis in diagnoses.items()]
    return LinePlot(quantity.title, "layer", quantity.label, lines, log_y=True, x_integer=True)


def _line(name: str, diagnosis: Diagnosis, quantity: Quantity, emphasis: bool = False) -> Series:
    return _series(name, diagnosis.evidence.layers, quantity, emphasis=emphasis)


def _series(
    name: str,
    layers: Sequence[LayerSignal],
    quantity: Quantity,
    low: Sequence[float | None] | None = None,
    high: Sequence[float | None] | None = None,
    *,
    emphasis: bool = False,
    dots: bool = False,
) -> Series:
    places = [seen.layer.index for seen in layers]
    return Series(name, places, [quantity.of(seen) for seen in layers], low, high, emphasis, dots=dots)


def _plot(quantity: Quantity, series: Sequence[Series], diagnosis: Diagnosis) -> LinePlot:
    return LinePlot(
        quantity.title,
        "layer",
        quantity.label,
        series,
        log_y=True,
        x_integer=True,
        marks=[
            Mark(f.place.layer, f.code, f.name, WORDS[f.severity])
            for f in diagnosis
            if f.place.layer is not None and f.code.startswith("B") == quantity.backward
        ],
        places={seen.layer.index: _place(seen) for seen in diagnosis.evidence.layers},
    )


def _place(seen: LayerSignal) -> str:
    named = f"module {seen.layer.module}" if seen.layer.module else seen.layer.node.op
    return ", ".join(filter(None, (named, seen.layer.node.source)))
