"""What flows through a traced module, from the graph alone: laws in place of weights, moments in place of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from fanin.errors import BadInput
from fanin.frameworks.torch.built import built
from fanin.frameworks.torch.call import call_of
from fanin.frameworks.torch.custom_functions import unsure_gradients
from fanin.frameworks.torch.known import known_tensors
from fanin.frameworks.torch.loops import loop_runner
from fanin.frameworks.torch.observe import Loss, bounds_of, moments, name_of
from fanin.frameworks.torch.record import Recording
from fanin.frameworks.torch.seeds import of_fixed_noise, of_loss
from fanin.frameworks.torch.state import undisturbed
from fanin.frameworks.torch.surrogate import sampler
from fanin.frameworks.torch.trace import Traced
from fanin.frameworks.torch.weights import weights_of
from fanin.frameworks.torch.whole import any_sharded, unwrapped
from fanin.graph import Graph, Node, Ref
from fanin.plans import Plan
from fanin.signals import Moments, ParameterSignal, Signals
from fanin.signals.bands import BACKWARD, band_of, band_of_draws
from fanin.signals.gradient import Gradient, total
from fanin.signals.latent import WEIGHTS
from fanin.signals.model import RANDOM_COTANGENT
from fanin.signals.propagate import Propagated, Rule, backward, forward
from fanin.signals.rules import RULES
from fanin.signals.state import State
from fanin.signals.values import Constant, Value, Weight


# A signal may leave float64 on its way; that it is then infinite is the answer.
@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def predict(
    traced: Traced,
    model: torch.nn.Module,
    example: tuple[Any, ...],
    plan: Plan | Recording | None = None,
    loss: Loss | None = None,
    rules: Mapping[str, Rule] = RULES,
) -> Signals:
    """Moments of every node's value and gradient, and of every parameter's gradient; the model is left as it was.

    Args:
        plan: how the parameters are to start; without one, as they are. What the plan keeps is seen as it is. A
            recording of the constructor stands for what that draws.
        rules: by the name of the operation.
        loss: from the model's output to a scalar: it is given outputs drawn as they are predicted. Without one, the
            gradient is that of `observe`.

    Raises:
        BadInput: parameters on the meta device without a plan, a plan for another model, a sharded model without a
            plan, or a loss that fails, as for `observe`.
    """
    if any_sharded(model) and plan is None:
        raise BadInput(
            "The model is sharded, and this process does not hold the values of its parameters. Predict from how they "
            "are to start, predict(model, x, plan=plan), or before the model is sharded."
        )
    model, graph = unwrapped(model), traced.graph
    with undisturbed(model):
        known: dict[str, Value] = {**_weights(graph, model, plan), **known_tensors(traced, call_of(model, example))}
        found = forward(graph, known, rules, sampler(traced), run_loop=loop_runner(traced))
        if loss is None:
            scalar, seeds = of_fixed_noise(traced, found, known)
        else:
            scalar, seeds = of_loss(traced, model, found, known, loss)
        backward(graph, found, seeds)
    return Signals(
        *_of_nodes(graph, found),
        {p.path: _parameter(known[p.path], found.weights.get(p.path)) for p in graph.parameters},
        scalar,
        name_of(loss) if loss else RANDOM_COTANGENT,
        "predicted",
        found.sampled,
        _assumed(graph, found),
        graph,
        {n.name: v.axes for n in graph.nodes if isinstance(v := found.values[n.name][0], State)},
    )


def _weights(graph: Graph, model: torch.nn.Module, plan: Plan | Recording | None) -> dict[str, Weight]:
    if isinstance(plan, Recording):
        as_built = built(plan, model, graph)
        return weights_of(graph, model, as_built.plan, as_built.kept)
    return weights_of(graph, model, plan)


def _of_nodes(graph: Graph, found: Propagated) -> tuple[dict[str, Moments], dict[str, Moments]]:
    """Of values, and of gradients where one arrives."""
    values, gradients = {}, {}
    bounds = bounds_of(graph)
    for node in graph.nodes:
        first = found.values[node.name][0]
        if isinstance(first, Constant) and first.array.dtype.kind in "fc":
            values[node.name] = moments(torch.tensor(first.array))
        if not isinstance(first, State):
            continue
        values[node.name] = _moments(first, bounds.get(node.name))
        gradient = _gradient(node, found)
        if gradient:
            seen = total(gradient, first)
            g, h, s = (first.average(m) for m in (seen.second, seen.across_positions, seen.across_samples))
            band = band_of(g, seen.band_variance(first), BACKWARD)
            gradients[node.name] = Moments(0.0, g, across_positions=h, across_samples=s, band=band)
    return values, gradients


def _gradient(node: Node, found: Propagated) -> Gradient:
    """That of the first result; one of several results is an operation of its own, whose users name the first."""
    of = node.arguments.get("self") if node.op == "getitem" else None
    name, index = (of.name, of.result) if isinstance(of, Ref) else (node.name, 0)
    gradients = found.gradients.get(name, ())
    return gradients[index] if index < len(gradients) else {}


def _assumed(graph: Graph, found: Propagated) -> dict[str, tuple[str, ...]]:
    firsts = ((node.name, found.values[node.name][0]) for node in graph.nodes)
    assumed = {name: tuple(sorted(s.marks)) for name, s in firsts if isinstance(s, State) and s.marks}
    for name, why in unsure_gradients(graph).items():
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
        band=band_of_draws(second, state.drawn),
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
