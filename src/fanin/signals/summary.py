"""What the sweeps found, as `Signals`: the moments of every node's value and gradient, and of every parameter's."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from fanin.activations import activation
from fanin.graph import Graph, Node, Ref
from fanin.signals.bands import APART, BACKWARD, band_of_draws
from fanin.signals.flow import Gradient
from fanin.signals.gradient import total
from fanin.signals.latent import WEIGHTS, Array
from fanin.signals.model import Moments, ParameterSignal, Signals
from fanin.signals.propagate import Propagated
from fanin.signals.state import State
from fanin.signals.values import Constant, Value, Weight


def summarised(
    graph: Graph,
    found: Propagated,
    known: Mapping[str, Value],
    loss: float,
    loss_name: str,
    unsure: Mapping[str, str] | None = None,
) -> Signals:
    """A prediction.

    Args:
        known: the parameters, as laws, by path.
        loss: the scalar that was differentiated, and what it was.
        unsure: nodes whose gradient the graph does not tell, and why.
    """
    return Signals(
        *_of_nodes(graph, found),
        {p.path: _parameter(known[p.path], found.weights.get(p.path)) for p in graph.parameters},
        loss,
        loss_name,
        "predicted",
        found.sampled,
        _assumed(graph, found, unsure or {}),
        graph,
        {n.name: v.axes for n in graph.nodes if isinstance(v := found.values[n.name][0], State)},
    )


def bounds_of(graph: Graph) -> dict[str, tuple[float, float]]:
    """Of the activations that saturate on both sides of 0; one that rests on a bound, as ReLU6 does, is only sparse."""
    known = {n.name: activation(n.activation.name, **n.activation.parameters) for n in graph.nodes if n.activation}
    return {
        name: phi.bounds for name, phi in known.items() if phi.saturates and phi.bounds[0] < phi(0.0) < phi.bounds[1]
    }


def _of_nodes(graph: Graph, found: Propagated) -> tuple[dict[str, Moments], dict[str, Moments]]:
    """Of values, and of gradients where one arrives."""
    values, gradients = {}, {}
    bounds = bounds_of(graph)
    for node in graph.nodes:
        first = found.values[node.name][0]
        if isinstance(first, Constant) and first.array.dtype.kind in "fc":
            values[node.name] = _of_array(first.array)
        if not isinstance(first, State):
            continue
        values[node.name] = _moments(first, bounds.get(node.name))
        gradient = _gradient(node, found)
        if gradient:
            seen = total(gradient, first)
            g, h, s = (first.average(m) for m in (seen.second, seen.across_positions, seen.across_samples))
            own = seen.band_variance(first) - seen.swing.variance
            band = band_of_draws(g, seen.swing, BACKWARD, own)
            gradients[node.name] = Moments(0.0, g, across_positions=h, across_samples=s, band=band)
    return values, gradients


def _gradient(node: Node, found: Propagated) -> Gradient:
    """That of the first result; one of several results is an operation of its own, whose users name the first."""
    of = node.arguments.get("self") if node.op == "getitem" else None
    name, index = (of.name, of.result) if isinstance(of, Ref) else (node.name, 0)
    gradients = found.gradients.get(name, ())
    return gradients[index] if index < len(gradients) else {}


def _of_array(x: Array) -> Moments:
    """Of a constant; of complex values the mean of the real part and E[|x|²]."""
    if x.size == 0:
        return Moments(math.nan, math.nan)
    wide = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    finite = float(np.mean(np.isfinite(wide)))
    second = float(np.mean(np.abs(wide) ** 2))
    return Moments(float(np.mean(wide.real)), second, float(np.mean(wide == 0)), 1 - finite)


def _assumed(graph: Graph, found: Propagated, unsure: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    firsts = ((node.name, found.values[node.name][0]) for node in graph.nodes)
    assumed = {name: tuple(sorted(s.marks)) for name, s in firsts if isinstance(s, State) and s.marks}
    for name, why in unsure.items():
        assumed[name] = (*assumed.get(name, ()), why)
    return assumed


def _moments(state: State, bounds: tuple[float, float] | None) -> Moments:
    zeros = state.average((state.values == 0) @ WEIGHTS) if state.marginal is not None else 0.0
    saturated = None
    if bounds:
        margin = 0.01 * (bounds[1] - bounds[0])
        at_bound = (state.values < bounds[0] + margin) | (state.values > bounds[1] - margin)
        saturated = state.average(at_bound @ WEIGHTS)
    second = state.average(state.second)
    return Moments(
        state.average(state.mean),
        second,
        zeros,
        saturated=saturated,
        across_positions=state.average(state.across_positions) if state.positions > 1 else None,
        across_samples=state.average(state.across_samples) if state.samples > 1 else None,
        band=None if APART in state.marks else band_of_draws(second, state.drawn),
    )


def _parameter(weight: Value, gradient: float | None) -> ParameterSignal:
    assert isinstance(weight, Weight)
    share = weight.sizes / weight.sizes.sum() if weight.sizes.sum() else np.ones(len(weight.sizes))
    constant = len(weight.mean) == 1 and float(weight.variance[0]) == 0
    return ParameterSignal(
        Moments(float(share @ weight.mean), float(share @ weight.second), zeros=float(share @ (weight.second == 0))),
        None if gradient is None else Moments(0.0, gradient),
        same_rows=constant and len(weight.shape) >= 2 and weight.shape[0] >= 2,
    )
