"""From a declared net to calls of layers, with the shapes that they give."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fanin.errors import BadInput
from fanin.frameworks.numpy.net import NORMS, WEIGHTS, Array, Declared, Net
from fanin.graph import Axis, Graph, Held, Input, LayerCall, Layout, Ref, axes_of, graph_of

Shape = tuple[int, ...]
INPUT: Final = "x"
POOLS: Final = ("avg_pool2d", "max_pool2d")
PLACES: Final = {"stride": 1, "padding": 0, "dilation": 1}  # of a convolution, and their defaults


def described(net: Net, example: Shape = ()) -> Graph:
    """The net's graph for a batch of that shape; one row of the first layer's width if none is given.

    Raises:
        BadInput: a layer names an array that is not there, or one of another rank, or reads what is not made by then.
    """
    held = {one.path: one for one in held_by(net)}
    shape = example or net.example or _row(net, held)
    dtype = "int64" if net.layers and net.layers[0].op == "embedding" else "float32"
    calls = list(_calls(net, held, shape))
    last = calls[-1].name if calls else INPUT
    return graph_of("Net", held.values(), calls, [Input(INPUT, shape, dtype)], [Ref(last)])


def held_by(net: Net) -> Iterator[Held]:
    """Every array, with its layout, in the order of the dict."""
    uses = {array: (one, slot) for one in net.layers for slot, array in one.parameters.items()}
    for name in uses:
        if name not in net:
            raise BadInput(f"A layer names the array {name!r}; the net has {', '.join(net) or 'none'}.")
    for name, array in net.items():
        one, slot = uses.get(name, (None, ""))
        yield Held(name, array.shape, _layout(name, array, one, slot), array.dtype.name)


def _layout(name: str, array: Array, one: Declared | None, slot: str) -> Layout:
    as_it_is = Layout(tuple(range(array.ndim)), array.shape)
    if one is None or one.op not in WEIGHTS:
        return as_it_is
    if slot == "bias":  # a number for each unit, whether it lies as a row, a column, or neither
        return Layout(as_it_is.axes, (array.size,))
    if array.ndim != WEIGHTS[one.op]:
        raise BadInput(f"{name}: the weight of {one.op} has {WEIGHTS[one.op]} axes; got shape {array.shape}.")
    if one.op == "embedding":
        return as_it_is
    named = axes_of(array.ndim, one.axes or None)
    order = tuple(sorted(range(array.ndim), key=lambda axis: tuple(Axis).index(named[axis])))
    return Layout(order, tuple(array.shape[axis] for axis in order))


def _row(net: Net, held: Mapping[str, Held]) -> Shape:
    for one in net.layers:
        if one.op in WEIGHTS and one.op != "linear":
            raise BadInput(f"A net that begins with {one.op} does not say the shape of its input: Net(…, example=(…)).")
        if one.op == "linear":
            return (1, held[one.parameters["weight"]].layout.shape[1])
    raise BadInput("The net has no layer with a weight: there is nothing to plan. Declare one with layer(…).")


def _calls(net: Net, held: Mapping[str, Held], shape: Shape) -> Iterator[LayerCall]:
    shapes: dict[str, Shape] = {INPUT: shape}
    last: dict[str, str] = {INPUT: INPUT}  # a layer → what makes its result: itself, or the activation behind it
    before = INPUT
    for number, one in enumerate(net.layers, 1):
        name = one.name or f"{one.op}_{number}"
        reads = one.reads or (before,)
        if unknown := [other for other in reads if other not in shapes]:
            raise BadInput(f"The layer {name!r} reads {unknown[0]!r}; before it there are {', '.join(shapes)}.")
        signals = [Ref(last[other], 0, shapes[other]) for other in reads]
        made = _shape(one, name, held, shapes[reads[0]])
        if one.activation and one.op == one.activation.name:
            yield LayerCall(name, one.op, {"self": signals[0]}, made, activation=one.activation)
            last[name] = name
        else:
            yield LayerCall(name, one.op, _arguments(one, signals, held), made)
            last[name] = name
            if one.activation:
                last[name] = f"{name}_{one.activation.name}"
                self = {"self": Ref(name, 0, made)}
                yield LayerCall(last[name], one.activation.name, self, made, activation=one.activation)
        shapes[name], before = made, name


def _arguments(one: Declared, signals: Sequence[Ref], held: Mapping[str, Held]) -> dict[str, Any]:
    """By the names of the operation's schema."""
    own = {slot: held[array] for slot, array in one.parameters.items()}
    if one.op == "add":
        if len(signals) != 2:
            raise BadInput(f"An addition reads two layers: layer('add', reads=('first', 'second')); got {one.reads}.")
        return {"self": signals[0], "other": signals[1], "alpha": 1}
    if one.op == "embedding":
        return {"weight": own["weight"], "indices": signals[0], "padding_idx": -1}
    if one.op in NORMS:
        return {"input": signals[0], "normalized_shape": own["weight"].shape, **own, "eps": 1e-5, **one.arguments}
    defaults: dict[str, dict[str, Any]] = {
        "dropout": {"p": 0.5, "train": True},
        "softmax": {"dim": -1},
        "flatten": {"start_dim": 1},
    }
    given = {**defaults.get(one.op, {}), **one.arguments}
    if one.op in POOLS:
        given |= {name: _each(one, name, default) for name, default in _of_pool(one).items()}
    elif one.op.startswith("conv"):
        given |= {name: _each(one, name, default, len(own["weight"].shape) - 2) for name, default in PLACES.items()}
    return {"self" if one.op in {"softmax", "flatten", *POOLS} else "input": signals[0], **own, **given}


def _of_pool(one: Declared) -> dict[str, Any]:
    if "kernel_size" not in one.arguments:
        raise BadInput(f"layer({one.op!r}) needs its window: layer({one.op!r}, kernel_size=2).")
    return {"kernel_size": 1, "stride": one.arguments["kernel_size"], "padding": 0}


def _each(one: Declared, name: str, default: Any, axes: int = 2) -> Shape:
    """An argument for each axis of positions."""
    given = one.arguments.get(name, default)
    return (given,) * axes if isinstance(given, int) else tuple(given)


def _shape(one: Declared, name: str, held: Mapping[str, Held], shape: Shape) -> Shape:
    """Of the result, in the order of PyTorch's axes: (batch, channels, *positions) of a convolution."""
    if one.op == "flatten":
        return (shape[0], math.prod(shape[1:]))
    if one.op in POOLS:
        kernel, stride, padding = (_each(one, argument, default) for argument, default in _of_pool(one).items())
        return (*shape[:2], *_positions(shape[2:], kernel, stride, padding, (1, 1)))
    if one.op not in WEIGHTS:
        return shape
    weight = held[one.parameters["weight"]].layout.shape
    if one.op == "embedding":
        return (*shape, weight[1])
    expected = weight[1] * one.arguments.get("groups", 1)
    channels = -1 if one.op == "linear" else 1
    if len(shape) <= max(channels, 0) or shape[channels] != expected:
        raise BadInput(
            f"The layer {name!r} takes {expected} inputs; it reads shape {shape}. "
            "Say the order of its weight's axes, such as axes=('in', 'out') for x @ W."
        )
    if one.op == "linear":
        return (*shape[:-1], weight[0])
    stride, padding, dilation = (_each(one, argument, default, len(weight) - 2) for argument, default in PLACES.items())
    return (shape[0], weight[0], *_positions(shape[2:], weight[2:], stride, padding, dilation))


def _positions(sizes: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Shape:
    """How many there are behind a window that slides over so many."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True)
    )
