"""What flows through a traced module, from the graph alone: laws in place of weights, moments in place of tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from fanin.frameworks.torch.known import known_tensors
from fanin.frameworks.torch.names import named_parameters
from fanin.frameworks.torch.observe import RANDOM_COTANGENT, bounds_of
from fanin.frameworks.torch.surrogate import sampler
from fanin.frameworks.torch.trace import Traced
from fanin.graph import Graph
from fanin.plans import Plan
from fanin.signals import Moments, ParameterSignal, Signals
from fanin.signals.gradient import Gradient, Moments3, total
from fanin.signals.latent import WEIGHTS
from fanin.signals.bands import band_of
from fanin.signals.laws import weight_of
from fanin.signals.propagate import Propagated, backward, forward
from fanin.signals.rules import RULES
from fanin.signals.state import State
from fanin.signals.values import Value, Weight


def predict(
    traced: Traced, model: torch.nn.Module, example: tuple[Any, ...], plan: Plan | None = None, loss: Any = None
) -> Signals:
    """Moments of every node's value and gradient, and of every parameter's gradient."""
    graph = traced.graph
    known: dict[str, Value] = {}
    for parameter, (tensor, _) in zip(graph.parameters, named_parameters(model).values(), strict=True):
        known[parameter.path] = _law(parameter, tensor, plan)
    known |= known_tensors(traced, model, example)
    found = forward(graph, known, RULES, sampler(traced))
    seeds = {}
    for ref in graph.outputs:
        state = found.values.get(ref.name, known.get(ref.name, None))
        state = state[ref.index] if isinstance(state, tuple) else state
        if isinstance(state, State):
            name = ref.name if ref.index == 0 else f"{ref.name}#{ref.index}"
            seeds[name] = _white(state)
    backward(graph, found, seeds)
    return _signals(graph, found, known)


def _white(state: State) -> Gradient:
    one = np.ones(len(state.sizes))
    return Moments3(one / max(state.samples, 1) ** 2, 0 * one, 0 * one).flow()


def _law(parameter: Any, tensor: torch.Tensor, plan: Plan | None) -> Weight:
    if plan is not None:
        return weight_of(plan[parameter.path].initializer, plan[parameter.path].target)
    x = tensor.detach().to(torch.float64)
    return Weight(
        parameter.path,
        tuple(x.shape),
        np.array([float(x.mean())]),
        np.array([float(x.var(correction=0))]),
        np.array([x.shape[0] if x.dim() else 1]),
    )


def _signals(graph: Graph, found: Propagated, known: Mapping[str, Value]) -> Signals:
    values, gradients, assumed = {}, {}, {}
    bounds = bounds_of(graph)
    for node in graph.nodes:
        (first, *_) = found.values[node.name]
        if not isinstance(first, State):
            continue
        values[node.name] = _moments(first, bounds.get(node.name))
        if first.marks:
            assumed[node.name] = tuple(sorted(first.marks))
        gradient = found.gradients.get(node.name, ({},))[0]
        if gradient:
            seen = total(gradient, first)
            g, h, s = (first.average(m) for m in (seen.second, seen.across_positions, seen.across_samples))
            band = band_of(g, seen.band_variance(first))
            gradients[node.name] = Moments(0.0, g, across_positions=h, across_samples=s, band=band)
    return Signals(
        values,
        gradients,
        {p.path: _parameter(known[p.path], found.weights.get(p.path)) for p in graph.parameters},
        math.nan,
        RANDOM_COTANGENT,
        "predicted",
        found.sampled,
        assumed,
        graph,
    )


def _moments(state: State, bounds: tuple[float, float] | None) -> Moments:
    zeros = state.average((state.values == 0) @ WEIGHTS) if state.marginal is not None else 0.0
    saturated = None
    if bounds:
        margin = 0.01 * (bounds[1] - bounds[0])
        at_bound = (state.values < bounds[0] + margin) | (state.values > bounds[1] - margin)
        saturated = state.average(at_bound @ WEIGHTS)
    return Moments(
        state.average(state.mean),
        state.average(state.second),
        zeros,
        saturated=saturated,
        across_positions=state.average(state.across_positions) if state.positions > 1 else None,
        across_samples=state.average(state.across_samples) if state.samples > 1 else None,
        band=band_of(state.average(state.second), state.band_variance),
    )


def _parameter(weight: Value, gradient: float | None) -> ParameterSignal:
    assert isinstance(weight, Weight)
    share = weight.sizes / weight.sizes.sum()
    value = Moments(float(share @ weight.mean), float(share @ weight.second))
    return ParameterSignal(value, None if gradient is None else Moments(0.0, gradient))
