"""Moments of values and gradients, for nodes and for parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fanin.graph import Graph, Layer, layers
from fanin.signals.axes import Axes
from fanin.signals.detail import AttentionDetail, Detail, Stored

if TYPE_CHECKING:
    from rich.console import Group

    from fanin.signals.compare import Comparison

RANDOM_COTANGENT: Final = "⟨output, v⟩/batch with v ~ N(0, 1)"  # what is differentiated where no loss is given


@dataclass(frozen=True)
class Moments:
    """What was seen of one tensor x; every share is between 0 and 1.

    Attributes:
        mean: E[x].
        second_moment: E[x²], in float64 whatever the dtype of x; infinite or NaN where x is.
        zeros: share of exact zeros.
        non_finite: share of infinities and NaNs.
        saturated: share within 1 % of a bound of the activation that made x; None where it has no bounds.
        across_positions: E x_t x_t' over two positions of one sample, t ≠ t'; None where it was not looked for.
        across_samples: E x_s x_s' over two samples, likewise.
        band: of a prediction, where the second moment of one draw of the weights lies in 8 of 10 cases (p10, p90).
    """

    mean: float
    second_moment: float
    zeros: float = 0.0
    non_finite: float = 0.0
    saturated: float | None = None
    across_positions: float | None = None
    across_samples: float | None = None
    band: tuple[float, float] | None = None


@dataclass(frozen=True)
class ParameterSignal:
    """A parameter and its gradient.

    Attributes:
        gradient: None where the parameter has no influence on the loss.
        same_rows: all units have the same weights (slices along the first axis; a weight with one unit never has).
        same_gradient_rows: and the same gradients, so that training cannot tell them apart.
        distinct_rows: how many of the units have weights of their own; None where it was not looked for.
        distinct_units: how many have weights or gradients of their own; likewise.
        distinct_parts: how many of the tensors that it packs have values of their own; None where it packs none.
        digest: equal for tensors of the same bits; None where it was not looked for.
        stored: how the values came into memory; likewise.
    """

    value: Moments
    gradient: Moments | None = None
    same_rows: bool = False
    same_gradient_rows: bool = False
    distinct_rows: int | None = None
    distinct_units: int | None = None
    distinct_parts: int | None = None
    digest: int | None = None
    stored: Stored | None = None


@dataclass(frozen=True)
class Signals:
    """One forward and backward pass, node by node.

    Attributes:
        values: moments by node name.
        gradients: moments of ∂loss/∂value by node name; missing where no gradient arrives.
        parameters: by path.
        loss: the scalar that was differentiated.
        loss_name: what it was.
        origin: "measured" (or "predicted", from the graph alone).
        sampled: of a prediction, the nodes that were run on a sample for want of a rule, and why.
        assumed: what was assumed at a node, or at a parameter, beyond what its rule says; also of a measurement, where
            the gradient passes a backward rule that the graph does not have.
        axes: of a prediction, what the axes of a node's value count.
        details: of a measurement that looked closer, by node name.
        gradient_details: likewise, of ∂loss/∂value.
        parameter_details: likewise, of the parameters, by path.
        attention: likewise, by the name of the node that makes the output of an attention.
    """

    values: Mapping[str, Moments]
    gradients: Mapping[str, Moments]
    parameters: Mapping[str, ParameterSignal]
    loss: float
    loss_name: str
    origin: str = "measured"
    sampled: Mapping[str, str] = field(default_factory=dict)
    assumed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    graph: Graph | None = field(default=None, repr=False, compare=False)
    axes: Mapping[str, Axes] = field(default_factory=dict, repr=False, compare=False)
    details: Mapping[str, Detail] = field(default_factory=dict, repr=False)
    gradient_details: Mapping[str, Detail] = field(default_factory=dict, repr=False)
    parameter_details: Mapping[str, Detail] = field(default_factory=dict, repr=False)
    attention: Mapping[str, AttentionDetail] = field(default_factory=dict, repr=False)

    def compare(self, measured: Signals) -> Comparison:
        """A prediction beside a measurement of the same model, or the mean of several (`averaged`)."""
        from fanin.signals.compare import compare

        return compare(self, measured)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "origin": self.origin,
            "loss": self.loss,
            "loss_name": self.loss_name,
            "values": {name: asdict(m) for name, m in self.values.items()},
            "gradients": {name: asdict(m) for name, m in self.gradients.items()},
            "parameters": {path: asdict(p) for path, p in self.parameters.items()},
        }

    def __rich__(self) -> Group:
        """The table of layers that `print` shows."""
        from fanin.signals.text import table

        return table(self)

    def __str__(self) -> str:
        from fanin.grid import plain

        return plain(self)

    def _repr_html_(self) -> str:
        """In a notebook: values and gradients over depth."""
        from fanin.signals.notebook import html

        return html(self)


@dataclass(frozen=True)
class LayerSignal:
    """A layer with what flows out of it and what comes back.

    Attributes:
        value: of its output, after the activation.
        gradient: of its pre-activation z, the δ of the field; None where none arrives.
    """

    layer: Layer
    value: Moments
    gradient: Moments | None

    @property
    def gradient_norm(self) -> float | None:
        """‖δ‖², the sum of δ² over the layer's whole output.

        The sum and not the mean: where a map of P positions is averaged into one, each position's δ² falls by P² and
        nothing is lost but a factor P.
        """
        return self.gradient.second_moment * math.prod(self.layer.node.shape) if self.gradient else None


def by_depth(graph: Graph, signals: Signals) -> tuple[LayerSignal, ...]:
    """The layers in the order they run, each with its output's moments and its δ's."""
    return tuple(
        LayerSignal(layer, signals.values[layer.output.name], signals.gradients.get(layer.node.name))
        for layer in layers(graph)
        if layer.output.name in signals.values
    )
