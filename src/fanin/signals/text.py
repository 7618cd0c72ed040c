"""Signals as a table, layer by layer: what `print` shows of a prediction or a measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Group
from rich.text import Text

from fanin.graph.model import operation_name
from fanin.grid import Grid
from fanin.signals.model import RANDOM_COTANGENT, LayerSignal, Moments, ParameterSignal, Signals, by_depth

BAND: Final = "in 8 of 10 draws"
LAYERS: Final = ("layer", "module", "operation", "E y²", BAND, "E δ²", "E (∂loss/∂w)²")
NODES: Final = ("node", "E x²", BAND, "E (∂loss/∂x)²")
WORDS: Final = {"module", "operation", "node"}
SHOWN: Final = 40  # rows; of more, the first and the last half of so many


def table(signals: Signals) -> Group:
    """A row for each layer; for each node where no graph says which layers there are."""
    layers = by_depth(signals.graph, signals) if signals.graph else ()
    headers: tuple[str, ...] = LAYERS if layers else NODES
    rows = [_layer(seen, signals.parameters) for seen in layers] or [_node(name, signals) for name in signals.values]
    shown = [i for i, name in enumerate(headers) if name != BAND or signals.origin != "measured"]
    columns = [headers[i] for i in shown]
    cells = [[row[i] for i in shown] for row in _some(rows, headers)]
    grid = Grid(columns, cells, ["left" if name in WORDS else "right" for name in columns])
    return Group(Text(_head(signals), "bold"), grid, *map(Text, _notes(signals, bool(layers))))


def _head(signals: Signals) -> str:
    model = signals.graph.model if signals.graph else "Signals"
    if signals.loss_name == RANDOM_COTANGENT:
        return f"{model}, {signals.origin}; gradients are those of {RANDOM_COTANGENT}"
    return f"{model}, {signals.origin}; loss {signals.loss:.4g} ({signals.loss_name})"


def _layer(seen: LayerSignal, parameters: Mapping[str, ParameterSignal]) -> tuple[str, ...]:
    layer, weight = seen.layer, parameters.get(seen.layer.weight)
    operation = operation_name(layer.node.op) + (f", {layer.activation.name}" if layer.activation else "")
    of_weight = _number(weight.gradient) if weight else "–"
    return (str(layer.index), layer.module, operation, *_value(seen.value), _number(seen.gradient), of_weight)


def _node(name: str, signals: Signals) -> tuple[str, ...]:
    return (name, *_value(signals.values[name]), _number(signals.gradients.get(name)))


def _value(seen: Moments) -> tuple[str, str]:
    band = f"{seen.band[0]:.3g} … {seen.band[1]:.3g}" if seen.band else "–"
    return _number(seen), band


def _number(seen: Moments | None) -> str:
    return f"{seen.second_moment:.3g}" if seen else "–"


def _some(rows: Sequence[tuple[str, ...]], headers: Sequence[str]) -> list[tuple[str, ...]]:
    """All, or those at both ends, with how many are between them under the first header of words."""
    if len(rows) <= SHOWN:
        return list(rows)
    names = next(i for i, name in enumerate(headers) if name in WORDS)
    between = tuple(f"{len(rows) - SHOWN} more" if i == names else "…" for i in range(len(headers)))
    return [*rows[: SHOWN // 2], between, *rows[-SHOWN // 2 :]]


def _notes(signals: Signals, layers: bool) -> list[str]:
    """What the letters mean, and what the numbers do not say."""
    found = ["y is what a layer puts out, δ = ∂loss/∂z of what its weights make."] if layers else []
    if broken := [name for name, seen in signals.values.items() if seen.non_finite]:
        found.append(f"Not finite: {_named(broken)}.")
    if signals.sampled:
        found.append(f"Run on a sample for want of a rule: {_named(list(signals.sampled))}.")
    if signals.origin == "predicted" and signals.assumed:
        found.append(f"More is assumed than rules say at {_named(list(signals.assumed))}: see `assumed`.")
    return found


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
