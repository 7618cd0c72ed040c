"""Signals over depth as a notebook shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fanin.fragment import Line, beside, fragment, heading, log_plot
from fanin.signals.model import LayerSignal, Signals, by_depth
from fanin.signals.over_depth import ACTIVATIONS, GRADIENTS, Quantity


def html(signals: Signals) -> str:
    """Where the graph is known, two plots."""
    plots = [plots_of({signals.origin: by_depth(signals.graph, signals)})] if signals.graph else []
    name = signals.graph.model if signals.graph else "Signals"
    return fragment(heading(f"{name}: {signals.origin}", f"Loss {signals.loss:.4g}: {signals.loss_name}"), *plots)


def plots_of(layers: Mapping[str, Sequence[LayerSignal]], marks: Sequence[tuple[float, str, bool]] = ()) -> str:
    """Activations and gradients, a line for each name; what was measured beside a prediction is points.

    Args:
        marks: layers where something starts, each with its label, and whether it is a gradient's.
    """
    plots = []
    for quantity in (ACTIVATIONS, GRADIENTS):
        here = [(x, label) for x, label, backward in marks if backward == quantity.backward]
        lines = [_line(name, seen, quantity, len(layers) > 1) for name, seen in layers.items()]
        plots.append(log_plot(f"{quantity.title}, {quantity.label}", lines, here))
    return beside(*plots)


def _line(name: str, layers: Sequence[LayerSignal], quantity: Quantity, several: bool) -> Line:
    bands = [quantity.band(seen) for seen in layers]
    low, high = ([band[side] if band else None for band in bands] if any(bands) else [] for side in (0, 1))
    places, values = [float(seen.layer.index) for seen in layers], [quantity.of(seen) for seen in layers]
    return Line(name, places, values, low, high, dots=several and name == "measured")
