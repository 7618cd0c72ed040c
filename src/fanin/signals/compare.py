"""A prediction beside a measurement, node by node."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fanin.errors import BadInput
from fanin.graph import Graph
from fanin.signals.model import Moments, Signals

if TYPE_CHECKING:
    from rich.console import Group

ROUNDING = {"float64": 1e-26}
"""Of the largest second moment, below which one is the rounding of an exact zero: some 10⁴ ε² of the dtype."""
ROUNDING_ELSEWHERE = 1e-10


@dataclass(frozen=True)
class Pair:
    """One second moment, predicted and measured.

    Attributes:
        band: where the measured one lies in 8 of 10 draws of the weights (p10, p90), as predicted.
        left_out: the measured one is no more than rounding, or infinite as masked logits are: no ratio says anything.
    """

    predicted: float
    measured: float
    band: tuple[float, float] | None = None
    left_out: bool = False

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        if self.measured == 0:
            return 1.0 if self.predicted == 0 else math.inf
        return self.predicted / self.measured

    @property
    def factor(self) -> float:
        """The ratio, or its inverse where that is larger: 1 where both agree."""
        if not (math.isfinite(self.ratio) and self.ratio > 0):
            return math.inf
        return max(self.ratio, 1 / self.ratio)

    @property
    def inside(self) -> bool | None:
        """Whether the measured one is within the band; None where none was predicted."""
        return self.band[0] <= self.measured <= self.band[1] if self.band else None


@dataclass(frozen=True)
class Row:
    """A node, or a parameter, whose gradient it is then.

    Attributes:
        module, source: whose it is, and on which line of the user's.
        assumed: what the prediction assumed at the node beyond what its rule says, or why it was sampled.
    """

    name: str
    op: str
    module: str
    source: str
    value: Pair | None = None
    gradient: Pair | None = None
    assumed: tuple[str, ...] = ()

    def pairs(self) -> dict[str, Pair]:
        """The value's and the gradient's, those that are there."""
        return {kind: pair for kind in ("value", "gradient") if (pair := getattr(self, kind))}


@dataclass(frozen=True)
class Summary:
    """How far predictions are from measurements, over many nodes: factors of 1 are perfect.

    Attributes:
        count: of those compared.
        median, p90, largest: of the factors.
        signed: the median of the ratios: above 1 where too much is predicted.
        inside: the share within the predicted bands; None where there are none.
        left_out: of those that say nothing: measured moments that are only rounding, or infinite.
    """

    count: int
    median: float
    p90: float
    largest: float
    signed: float
    inside: float | None
    left_out: int


@dataclass(frozen=True)
class Comparison:
    """What was predicted beside what was measured.

    Attributes:
        rows: by node, in the order they run.
        parameters: by path; each row's gradient.
        first_layer: the ratio of the gradients at the output of the first layer, where errors of all others arrive.
        sampled: as in `Signals`.
        unpredicted: nodes that were measured and of which nothing was predicted.
    """

    model: str
    rows: tuple[Row, ...]
    parameters: tuple[Row, ...]
    first_layer: Pair | None
    sampled: Mapping[str, str]
    unpredicted: tuple[str, ...]

    @property
    def values(self) -> Summary:
        """Of all nodes' values."""
        return summary(row.value for row in self.rows)

    @property
    def gradients(self) -> Summary:
        """Of all nodes' gradients."""
        return summary(row.gradient for row in self.rows)

    @property
    def parameter_gradients(self) -> Summary:
        """Of all parameters' gradients."""
        return summary(row.gradient for row in self.parameters)

    def worst(self, count: int = 10) -> tuple[tuple[str, Row], ...]:
        """The rows with the largest factors, each with which of its moments that is."""
        every = [(kind, row, pair) for row in self.rows for kind, pair in row.pairs().items()]
        every += [("parameter gradient", row, row.gradient) for row in self.parameters if row.gradient]
        known = [found for found in every if not found[2].left_out]
        known.sort(key=lambda found: -found[2].factor)
        return tuple((kind, row) for kind, row, _ in known[:count])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "model": self.model,
            "summary": {
                "values": asdict(self.values),
                "gradients": asdict(self.gradients),
                "parameter_gradients": asdict(self.parameter_gradients),
            },
            "nodes": [asdict(row) for row in self.rows],
            "parameters": [asdict(row) for row in self.parameters],
            "first_layer": asdict(self.first_layer) if self.first_layer else None,
            "sampled": dict(self.sampled),
            "unpredicted": list(self.unpredicted),
        }

    def __rich__(self) -> Group:
        """The tables that `print` and the command line show."""
        from fanin.signals.compare_text import tables

        return tables(self)

    def __str__(self) -> str:
        from fanin.grid import plain

        return plain(self)


def summary(pairs: Iterable[Pair | None]) -> Summary:
    """Of those that are there."""
    there = [pair for pair in pairs if pair is not None]
    known = [pair for pair in there if not pair.left_out]
    if not known:
        return Summary(0, math.nan, math.nan, math.nan, math.nan, None, len(there))
    factors = np.array([pair.factor for pair in known])
    inside = [pair.inside for pair in known if pair.inside is not None]
    # method="higher": an infinite factor is not interpolated with
    p50, p90 = (float(np.quantile(factors, p, method="higher")) for p in (0.5, 0.9))
    signed = float(np.median([pair.ratio for pair in known]))
    share = sum(inside) / len(inside) if inside else None
    return Summary(len(known), p50, p90, float(factors.max()), signed, share, len(there) - len(known))


def compare(predicted: Signals, measured: Signals) -> Comparison:
    """Node by node, where both have something to say.

    Raises:
        BadInput: the predicted signals carry no graph, or the two are of different models.
    """
    graph = predicted.graph or measured.graph
    if graph is None:
        raise BadInput("Neither signals carry a graph. Compare what fanin.predict gives with what fanin.measure gives.")
    missing = sorted(predicted.parameters.keys() ^ measured.parameters.keys())
    if missing or not predicted.values.keys() & measured.values.keys():
        named = f": only one of them has {', '.join(missing[:5])}" if missing else ""
        raise BadInput(f"The two signals are of different models{named}. Predict and measure one model.")
    values = _pairs(graph, predicted.values, measured.values)
    gradients = _pairs(graph, predicted.gradients, measured.gradients, values)
    rows = tuple(
        Row(n.name, n.op, n.module, n.source, values[n.name], gradients.get(n.name), _assumed(predicted, n.name))
        for n in graph.nodes
        if n.name in values
    )
    return Comparison(
        graph.model,
        rows,
        _parameters(graph, predicted, measured),
        _first_layer(graph, gradients),
        predicted.sampled,
        tuple(n.name for n in graph.nodes if n.name in measured.values and n.name not in predicted.values),
    )


def _pairs(
    graph: Graph,
    predicted: Mapping[str, Moments],
    measured: Mapping[str, Moments],
    among: Mapping[str, Pair] | None = None,
) -> dict[str, Pair]:
    """By node: of those `among`, a moment that was not predicted was predicted to be zero; empty ones have none."""
    known = predicted if among is None else among
    names = [n.name for n in graph.nodes if n.name in measured and n.name in known and 0 not in n.shape]
    of_layers = [name for name in names if any(i in graph.by_path for i in graph.by_name[name].inputs)]
    floor = _floor(graph, (measured[name] for name in of_layers or names))  # a mask of −1e9 is no measure for it
    return {name: _pair(predicted.get(name), measured[name], floor) for name in names}


def _parameters(graph: Graph, predicted: Signals, measured: Signals) -> tuple[Row, ...]:
    arrived = {path: p.gradient for path, p in measured.parameters.items() if p.gradient}
    floor = _floor(graph, arrived.values())
    found = []
    for p in graph.parameters:
        if p.path in arrived:
            node = graph.by_name.get(p.node or "")
            pair = _pair(predicted.parameters[p.path].gradient, arrived[p.path], floor)
            module, source = (node.module, node.source) if node else ("", "")
            found.append(Row(p.path, node.op if node else "", module, source, gradient=pair))
    return tuple(found)


def _first_layer(graph: Graph, gradients: Mapping[str, Pair]) -> Pair | None:
    with_weights = (n for n in graph.nodes if any(name in graph.by_path for name in n.inputs))
    there = (gradients[n.name] for n in with_weights if n.name in gradients)
    return next((pair for pair in there if not pair.left_out), None)


def _pair(predicted: Moments | None, measured: Moments, floor: float) -> Pair:
    second = measured.second_moment
    band = predicted.band if predicted else None
    return Pair(predicted.second_moment if predicted else 0.0, second, band, second <= floor or math.isinf(second))


def _floor(graph: Graph, moments: Iterable[Moments]) -> float:
    dtype = graph.parameters[0].dtype if graph.parameters else ""
    finite = [m.second_moment for m in moments if math.isfinite(m.second_moment)]
    return ROUNDING.get(dtype, ROUNDING_ELSEWHERE) * max(finite, default=0.0)


def _assumed(predicted: Signals, name: str) -> tuple[str, ...]:
    sampled = (f"sampled: {predicted.sampled[name]}",) if name in predicted.sampled else ()
    return (*sampled, *predicted.assumed.get(name, ()))
