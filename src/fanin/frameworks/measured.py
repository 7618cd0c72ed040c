"""What was seen of a pass, once its tensors are arrays of NumPy: what every adapter but PyTorch's measures alike."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from fanin.errors import BadInput
from fanin.frameworks.closer import Look, alikeness, details, look_of, looked_at
from fanin.frameworks.described import input_axes
from fanin.frameworks.held import Array
from fanin.graph import Graph, Node
from fanin.graph.layers import REARRANGES
from fanin.signals import Detail, Moments, ParameterSignal, Signals
from fanin.signals.axes import Axes, Kind, shape_of
from fanin.signals.circumstances import InputSeen

T = TypeVar("T", Moments, Detail)


def moments(x: Array, bounds: tuple[float, float] | None = None, axes: Axes | None = None) -> Moments:
    """Of an array, in float64; of complex values the mean of the real part and E|x|².

    Args:
        bounds: of the activation that made it, where that saturates on both sides.
        axes: what its axes count, where that is known: then it is also seen how alike positions and samples are.
    """
    if not x.size:
        return Moments(math.nan, math.nan)
    wide = np.asarray(x, np.complex128 if x.dtype.kind == "c" else np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, second = float(wide.mean().real), float(np.mean(np.abs(wide) ** 2))
        fits = axes is not None and shape_of(axes) == x.shape and wide.dtype.kind == "f"
        positions, samples = alikeness(looked_at(np, wide, Look(axes)), axes, second) if fits and axes else (None, None)
    lost = 0.0 if math.isfinite(second) else float(np.mean(~np.isfinite(wide)))
    saturated = None
    if bounds:
        margin = 0.01 * (bounds[1] - bounds[0])
        saturated = float(np.mean((wide < bounds[0] + margin) | (wide > bounds[1] - margin)))
    return Moments(mean, second, float(np.mean(wide == 0)), lost, saturated, positions, samples)


def parameter_signal(value: Array, gradient: Array | None) -> ParameterSignal:
    """A parameter and its gradient, in the order of the logical weight's axes."""
    return ParameterSignal(
        moments(value),
        None if gradient is None else moments(gradient),
        _same_rows(value),
        gradient is not None and _same_rows(gradient),
    )


def _same_rows(x: Array) -> bool:
    return x.ndim >= 2 and x.shape[0] >= 2 and x.size > 0 and bool((x == x[:1]).all())


def looks_of(graph: Graph, axes: Mapping[str, Axes] | None, classes: Mapping[str, int] | None) -> dict[str, Look]:
    """How to look closer at each node; {} where no closer look is asked for."""
    return {} if axes is None else {node.name: look_of(node, axes, classes or {}) for node in graph.nodes}


def with_details(
    signals: Signals,
    graph: Graph,
    looks: Mapping[str, Look],
    values: Mapping[str, Array],
    gradients: Mapping[str, Array],
    parameters: Mapping[str, Array],
) -> Signals:
    """The signals with what a closer look shows of arrays by node and by path; as they are where none is asked for."""
    if not looks:
        return signals
    of_values, of_gradients = details(values, looks), details(gradients, {})
    for of, alone in ((of_values, False), (of_gradients, True)):
        fill(graph, of, alone=alone)
    return replace(signals, details=of_values, gradient_details=of_gradients, parameter_details=details(parameters, {}))


def fill(graph: Graph, of: dict[str, T], *, alone: bool) -> None:
    """Both ways through what rearranges; a gradient only where nobody else reads what is rearranged."""
    nodes: list[Node] = [node for node in graph.nodes if node.op in REARRANGES and node.inputs]
    for node in (*nodes, *reversed(nodes)):
        source = node.inputs[0]
        if alone and len(graph.users.get(source, ())) != 1:
            continue
        if source in of and node.name not in of:
            of[node.name] = of[source]
        elif node.name in of and source not in of and source in graph.by_name:
            of[source] = of[node.name]


def arrays_seen(graph: Graph, arrays: Mapping[str, Array]) -> tuple[InputSeen, ...]:
    """Each floating-point array of a batch, by the names of the graph's inputs.

    Raises:
        BadInput: one holds values that are no numbers, or infinite ones.
    """
    found = []
    for one in graph.inputs:
        x = arrays.get(one.name)
        if x is None or not one.dtype.startswith(("float", "bfloat")) or not x.size:
            continue
        if not (finite := np.isfinite(x)).all():
            at = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise BadInput(
                f"The input {one.name}, of shape {x.shape}, holds {int((~finite).sum()):,} values that are no finite "
                f"numbers, the first at index {at}: the fault is in the data, and nothing can be said of the model."
            )
        kinds = [kind for axis in input_axes(graph, one) for kind, _ in (axis or ((None, 1),))]
        found.append(_seen(one.name, x, tuple(i for i, kind in enumerate(kinds) if kind is not Kind.FEATURE)))
    return tuple(found)


def _seen(name: str, x: Array, over: tuple[int, ...]) -> InputSeen:
    """By feature, where there are at least two numbers to each."""
    wide = x.astype(np.float64)
    each = x.size // max(int(np.prod([x.shape[i] for i in range(x.ndim) if i not in over])), 1)
    known = len(over) < x.ndim and each >= 2
    means, stds = ((f(wide, axis=over).reshape(-1).tolist() if known else ()) for f in (np.mean, np.std))
    integral = bool((wide == np.round(wide)).all())
    return InputSeen(
        name, x.shape, moments(x), tuple(means), tuple(stds), integral, float(wide.min()), float(wide.max())
    )


def takes_target(loss: Callable[..., Any]) -> bool:
    """Whether it needs two arguments, as a loss of an output and a target does."""
    try:
        parameters = inspect.signature(loss).parameters.values()
    except (TypeError, ValueError):  # built-in functions may tell no signature
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return len([p for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty]) >= 2


def name_of(loss: Any) -> str:
    """As it is called in reports."""
    of = loss.func if isinstance(loss, partial) else loss
    name = str(getattr(of, "__name__", type(of).__name__))
    return "a lambda" if name == "<lambda>" else name


def first_line(error: BaseException) -> str:
    """Of what an error says."""
    return str(error).strip().partition("\n")[0]


def scalar_of(
    loss: Callable[[Any], Any],
    output: Any,
    *,
    kind: str,
    reduce: str,
    under: str = "",
    said: Callable[[BaseException], str] = first_line,
) -> Any:
    """What a loss makes of a model's output: an array of one element, of any shape.

    Args:
        kind: what the framework calls an array.
        reduce: how it makes one number of one.
        under: what runs the loss.
        said: what an error says, in a line.

    Raises:
        BadInput: it fails, or is no scalar.
    """
    try:
        value = loss(output)
    except Exception as error:  # whatever the user's loss raises is explained and re-raised
        raise BadInput(f"The loss, {name_of(loss)}, failed{under}: {type(error).__name__}: {said(error)}.") from error
    shape = getattr(value, "shape", None)
    if shape is None or math.prod(shape) != 1:
        got = type(value).__name__ if shape is None else f"shape {tuple(shape)}"
        raise BadInput(f"The loss must return {kind} with one element; got {got}. Reduce it with {reduce}.")
    return value
