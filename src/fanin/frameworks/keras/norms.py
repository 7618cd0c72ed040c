"""Norms, dropout, noise, and the slope of PReLU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fanin.frameworks.keras.describe import Description, channels_first, input_of
from fanin.frameworks.keras.record import Recorded
from fanin.graph import Role
from fanin.graph.operations import Slot


def batch_norm(d: Description, call: Recorded) -> None:
    """As in training: with the statistics of the batch."""
    layer = call.what
    arguments = {
        "weight": d.parameter(layer.gamma),
        "bias": d.parameter(layer.beta),
        "running_mean": None,
        "running_var": None,
        "training": True,
        "momentum": 1 - layer.momentum,
        "eps": layer.epsilon,
    }
    _over_channels(d, call, "batch_norm", arguments)


def group_norm(d: Description, call: Recorded) -> None:
    """Over groups of channels."""
    layer = call.what
    arguments = {
        "num_groups": layer.groups,
        "weight": d.parameter(layer.gamma),
        "bias": d.parameter(layer.beta),
        "eps": layer.epsilon,
    }
    _over_channels(d, call, "group_norm", arguments)


def _over_channels(d: Description, call: Recorded, op: str, arguments: Mapping[str, Any]) -> None:
    x, out = input_of(call), call.outputs[0]
    rank = len(out.shape)
    last = int(call.what.axis) % rank == rank - 1 and rank > 2
    shape = tuple(out.shape)
    own = {"input": d.first(x) if last else d.last(x)}
    d.gives(out, d.emit(op, own | dict(arguments), channels_first(shape) if last else shape), first=last)


def layer_norm(d: Description, call: Recorded) -> None:
    """Layer and RMS norm, over the last axes."""
    layer, out = call.what, call.outputs[0]
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    shape = tuple(map(int, out.shape))
    normalized = tuple(shape[axis] for axis in axes)
    slots = [Slot(Role.NORM_SCALE), Slot(Role.NORM_SHIFT)]
    rms = type(layer).__name__ == "RMSNormalization"
    names = ("scale", None) if rms else ("gamma", "beta")
    weight, bias = (
        d.parameter(getattr(layer, name, None), slot) if name else None for name, slot in zip(names, slots, strict=True)
    )
    op = "rms_norm" if rms else "layer_norm"
    if sorted(axis % len(shape) for axis in axes) != list(range(len(shape) - len(axes), len(shape))):
        op = f"{op}_over_other_axes"
    arguments = {"input": d.last(input_of(call)), "normalized_shape": normalized, "weight": weight}
    arguments |= ({} if rms else {"bias": bias}) | {"eps": layer.epsilon}
    d.gives(out, d.emit(op, arguments, shape))


def dropout(d: Description, call: Recorded) -> None:
    """As in training."""
    x, out = input_of(call), call.outputs[0]
    first, shape = d.has_first(x), tuple(out.shape)
    arguments = {
        "input": d.first(x) if first else d.last(x),
        "p": float(getattr(call.what, "rate", 0.0)),
        "train": True,
    }
    d.gives(out, d.emit("dropout", arguments, channels_first(shape) if first else shape), first=first)


def passes_on(d: Description, call: Recorded) -> None:
    """Noise that is added in training."""
    x, out = input_of(call), call.outputs[0]
    signal = d.signals[id(x)]
    for ref, first in ((signal.last, False), (signal.first, True)):
        if ref is not None:
            d.gives(out, ref, first=first)


def prelu(d: Description, call: Recorded) -> None:
    """A slope below 0 that is learned."""
    out = call.outputs[0]
    slope = d.parameter(call.what.alpha, Slot(Role.SLOPE))
    d.gives(out, d.emit("prelu", {"self": d.last(input_of(call)), "weight": slope}, tuple(out.shape)))
