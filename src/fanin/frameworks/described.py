"""Predict signals, and tune plans on them, for a model that is described as calls of layers: no framework is needed.

What the torch adapter does with a recorded program is done here with the graph alone. An operation without a rule stops
a prediction, since there is no program of which to run it on a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.frameworks.losses import Slopes, seeds_of
from fanin.graph import Graph, Input, Parameter, Ref
from fanin.plans import Plan, Sweep
from fanin.plans.model import writes
from fanin.signals import Signals
from fanin.signals.axes import Axes, Kind, axes_of, count, usual
from fanin.signals.flow import Gradient
from fanin.signals.gradient import GradientMoments
from fanin.signals.laws import weight_of
from fanin.signals.model import RANDOM_COTANGENT
from fanin.signals.particles import cube, moments_of
from fanin.signals.propagate import Propagated, Rule, Tune, backward, forward
from fanin.signals.rules import RULES
from fanin.signals.state import State, gaussian
from fanin.signals.summary import summarised
from fanin.signals.values import Call, Constant, Outcome, Value, Weight

Array: TypeAlias = npt.NDArray[Any]
NO_BIAS: Final = "no_bias"  # names of biases that a layer of this framework does not have begin so
STANDARD_ERRORS: Final = 4.0  # of a mean; chance goes beyond in one of 16000 tensors


@dataclass(frozen=True)
class Described:
    """A graph, with the tensors that are neither signals nor parameters.

    Attributes:
        constants: by the name that `Ref`s give them.
    """

    graph: Graph
    constants: Mapping[str, Array] = field(default_factory=dict)


def sweep_of(described: Described, read: Callable[[str], Array]) -> Sweep:
    """Predict forward from a plan, tuning; inputs are white noise of second moment 1, so that shapes alone count.

    Args:
        read: the logical values of a parameter, for those that a plan keeps.
    """

    def swept(plan: Plan, tune: Tune) -> Mapping[str, float]:
        known = {**laws_of(described.graph, plan, read), **_known(described, {})}
        return forward(described.graph, known, RULES, refused, tune).factors

    return swept


# A signal may leave float64 on its way; that it is then infinite is the answer.
@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def predict(
    described: Described,
    given: Mapping[str, Array],
    plan: Plan | None,
    read: Callable[[str], Array],
    rules: Mapping[str, Rule] = RULES,
    slopes: Slopes | None = None,
    loss_name: str = RANDOM_COTANGENT,
) -> Signals:
    """Moments of every node's value and gradient, and of every parameter's gradient.

    Without a loss, the gradient is that of ⟨output, v⟩/batch with v white noise.

    Args:
        given: the batch, by the names of the graph's inputs: its moments count, and of integers the values.
        plan: how the parameters are to start; without one, as they are.
        read: the logical values of a parameter.
        slopes, loss_name: of a loss, as the framework differentiates it; see `losses.py`.

    Raises:
        BadInput: a plan for another model, an operation that has no rule, or a loss that fails.
    """
    graph = described.graph
    known = {**laws_of(graph, plan, read), **_known(described, given)}
    found = forward(graph, known, rules, refused)
    scalar, seeds = (0.0, dict(_cotangents(graph, found))) if slopes is None else seeds_of(graph, found, known, slopes)
    backward(graph, found, seeds)
    return summarised(graph, found, known, scalar, loss_name)


def refused(call: Call) -> Outcome:
    """Where there is no rule, there is no prediction.

    Raises:
        BadInput: names the operation and its layer.
    """
    node = call.node
    raise BadInput(
        f"{node.op} (in {node.module or node.name}) has no rule that holds here, and outside PyTorch nothing can be "
        "run on a sample in its place. Give one: predict(…, rules={…}) (docs/extending.md)."
    )


def laws_of(graph: Graph, plan: Plan | None, read: Callable[[str], Array]) -> dict[str, Value]:
    """The parameters as laws, by path: as the plan draws them, or as their values show.

    Raises:
        BadInput: the plan is for another model.
    """
    if plan is not None:
        planned, there = {e.parameter.path for e in plan}, {p.path for p in graph.parameters}
        if differing := sorted(planned ^ there):
            raise BadInput(f"The plan is not for this model: {', '.join(differing[:5])} only in one of them.")

    def law(p: Parameter) -> Weight:
        if plan is not None and writes(plan[p.path]):
            return weight_of(plan[p.path].initializer, plan[p.path].target)
        return seen_weight(p, read(p.path))

    return {p.path: law(p) for p in graph.parameters}


def seen_weight(parameter: Parameter, values: Array) -> Weight:
    """The law of the values that a parameter has, part by part where it packs several along its first axis."""
    parts = parameter.parts.of(parameter.shape) if parameter.parts and parameter.parts.axis == 0 else ()
    sizes = [part.size for part in parts] or [parameter.shape[0] if parameter.shape else 1]
    flat = values.reshape(parameter.shape) if parameter.shape else values.reshape(1)
    ends = np.cumsum(sizes)
    seen = [_mean_and_variance(flat[end - size : end]) for end, size in zip(ends, sizes, strict=True)]
    mean, variance = (np.array(x) for x in zip(*seen, strict=True))
    return Weight(parameter.path, parameter.shape, mean, variance, np.array(sizes))


def _mean_and_variance(x: Array) -> tuple[float, float]:
    """In float64; a mean that chance explains counts as 0."""
    wide = np.asarray(x, np.float64).reshape(-1)
    if not wide.size or bool((wide == wide[0]).all()):
        return (float(wide[0]) if wide.size else 0.0), 0.0
    mean, second = float(wide.mean()), float(np.mean(wide**2))
    mean = 0.0 if mean**2 <= STANDARD_ERRORS**2 * second / wide.size else mean
    return mean, max(second - mean**2, 0.0)


def _known(described: Described, given: Mapping[str, Array]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, array in described.constants.items():
        if name.startswith(NO_BIAS):
            found[name] = Weight(name, array.shape, np.zeros(1), np.zeros(1), np.array([len(array)]))
        else:
            found[name] = Constant(array)
    for one in described.graph.inputs:
        found[one.name] = _input(described.graph, one, given.get(one.name))
    return found


def _input(graph: Graph, one: Input, array: Array | None) -> Value:
    """A floating-point input as a state; integers by their values, or by some that can be looked up."""
    if not one.dtype.startswith(("float", "bfloat")):
        return Constant(_indices(graph, one) if array is None else np.asarray(array))
    axes = input_axes(graph, one)
    features = max(count(axes, Kind.FEATURE), 1)
    if array is None or not array.size:
        return gaussian(axes, [features], 0.0, 1.0, 0.0, 0.0)
    mean, second, positions, samples = moments_of(cube(np.asarray(array, np.float64), axes))
    square = mean**2
    across = [square if x is None else x for x in (positions if count(axes, Kind.POSITION) > 1 else second, samples)]
    return gaussian(axes, [features], mean, second, *across)


def _indices(graph: Graph, one: Input) -> Array:
    """Indices below the size of the smallest table that they are looked up in."""
    tables = [user for user in graph.users.get(one.name, ()) if user.op == "embedding"]
    rows = [ref.shape[0] for user in tables if isinstance(ref := user.arguments.get("weight"), Ref)]
    return np.random.default_rng(0).integers(0, min(rows, default=1), one.shape)


def input_axes(graph: Graph, one: Input) -> Axes:
    """What an input's axes count: channels last where they are turned to be first, else as usual for its rank."""
    users = graph.users.get(one.name, ())
    rank = len(one.shape)
    turned = (0, rank - 1, *range(1, rank - 1))
    if rank > 3 and any(user.op == "permute" and tuple(user.arguments.get("dims", ())) == turned for user in users):
        return axes_of(one.shape, [Kind.SAMPLE, *[Kind.POSITION] * (rank - 2), Kind.FEATURE])
    return usual(one.shape)


def _cotangents(graph: Graph, found: Propagated) -> Iterator[tuple[str, Gradient]]:
    """Of ⟨output, v⟩/batch, for the v that a measurement takes."""
    for ref, v in zip(graph.outputs, cotangents(graph.outputs), strict=True):
        value = found.values[ref.name][ref.result] if ref.name in found.values else None
        if isinstance(value, State):
            _, second, positions, samples = moments_of(cube(v.astype(np.float64), value.axes), value.sizes)
            zero = 0 * second
            seen = GradientMoments(
                second, zero if positions is None else positions, zero if samples is None else samples
            )
            batch = max(ref.shape[0] if ref.shape else 1, 1)
            yield ref.name if ref.result == 0 else f"{ref.name}#{ref.result}", seen.times(1 / batch**2).flow()


def cotangents(outputs: Sequence[Ref]) -> list[Array]:
    """V ~ N(0, 1) for each output, the same in every call."""
    generator = np.random.default_rng(0)
    return [generator.standard_normal(ref.shape, np.float32) for ref in outputs]
