"""Dense layers, maps by an einsum equation, and tables."""

from __future__ import annotations

from typing import Any

from fanin.frameworks.keras.describe import Description, input_of
from fanin.frameworks.keras.record import Recorded
from fanin.graph import Held, Role
from fanin.graph.operations import Slot


def dense(d: Description, call: Recorded) -> None:
    """X @ W + b."""
    layer, out = call.what, call.outputs[0]
    arguments = {"input": d.last(input_of(call)), "weight": d.parameter(layer._kernel), "bias": d.parameter(layer.bias)}
    d.gives(out, d.emit("linear", arguments, tuple(out.shape)))


def einsum_dense(d: Description, call: Recorded) -> None:
    """A linear map between the axes that the equation names; those that it keeps are positions."""
    layer, out = call.what, call.outputs[0]
    x, shape = d.last(input_of(call)), tuple(out.shape)
    bias = d.parameter(layer.bias)
    left, _, right = layer.equation.replace(" ", "").partition("->")
    signal, _, kernel = left.partition(",")
    summed = [letter for letter in signal.replace("...", "") if letter in kernel and letter not in right]
    made = [letter for letter in right.replace("...", "") if letter in kernel and letter not in signal]
    copies = [letter for letter in kernel if letter in signal and letter in right]
    tidy = signal.endswith("".join(summed)) and right.endswith("".join(made)) and not copies and summed and made
    if not tidy:
        slot = Slot(Role.WEIGHT, lambda _, __: _kernel_fans(d, layer))
        arguments = {"input": x, "weight": d.parameter(layer._kernel, slot), "bias": _bias(d, layer)}
        d.gives(out, d.emit("einsum_dense", arguments, shape))
        return
    given = tuple(map(int, input_of(call).shape))
    if len(summed) > 1:
        flat = (*given[: -len(summed)], d.held(layer._kernel).layout.shape[1])
        x = d.emit("view", {"self": x, "size": flat}, flat)
    weight = d.parameter(layer._kernel)
    assert weight is not None
    flat = (*shape[: len(shape) - len(made)], weight.layout.shape[0])
    ref = d.emit("linear", {"input": x, "weight": weight, "bias": bias}, flat)
    d.gives(out, d.emit("view", {"self": ref, "size": shape}, shape) if len(made) > 1 else ref)


def _kernel_fans(d: Description, layer: Any) -> Any:
    """The fans that the layout of a layer's kernel says."""
    return d.held(layer._kernel).layout.fans


def _bias(d: Description, layer: Any) -> Held | None:
    return d.parameter(layer.bias, Slot(Role.BIAS))


def embedding(d: Description, call: Recorded) -> None:
    """Look rows up; or, in reverse, the readout that the table is tied to."""
    layer, out = call.what, call.outputs[0]
    weight, shape = d.parameter(layer._embeddings), tuple(out.shape)
    if call.kwargs.get("reverse"):
        d.gives(out, d.emit("linear", {"input": d.last(input_of(call)), "weight": weight, "bias": None}, shape))
        return
    arguments = {"weight": weight, "indices": d.last(input_of(call)), "padding_idx": -1}
    d.gives(out, d.emit("embedding", arguments, shape))
