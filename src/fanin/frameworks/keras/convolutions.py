"""Convolutions of every kind of Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fanin.frameworks.keras.describe import Description, channels_first, input_of
from fanin.frameworks.keras.record import Recorded
from fanin.frameworks.keras.windows import same_padding
from fanin.graph import Held


def conv(d: Description, call: Recorded) -> None:
    """With groups, strides, dilation and padding."""
    layer = call.what
    arguments = _places(layer, input_of(call), layer.kernel_size) | {"groups": layer.groups}
    _convolve(d, call, f"conv{layer.rank}d", d.parameter(layer._kernel), d.parameter(layer.bias), arguments)


def conv_transposed(d: Description, call: Recorded) -> None:
    """Each input spreads over the output."""
    layer = call.what
    arguments = {
        "stride": tuple(layer.strides),
        "padding": tuple((k - s) // 2 if layer.padding == "same" else 0 for k, s in _pairs(layer)),
        "output_padding": (0,) * layer.rank,
        "dilation": tuple(layer.dilation_rate),
        "groups": 1,
    }
    _convolve(d, call, f"conv_transpose{layer.rank}d", d.parameter(layer.kernel), d.parameter(layer.bias), arguments)


def _pairs(layer: Any) -> list[tuple[int, int]]:
    return list(zip(layer.kernel_size, layer.strides, strict=True))


def depthwise(d: Description, call: Recorded) -> None:
    """Each channel by itself."""
    layer = call.what
    arguments = _places(layer, input_of(call), layer.kernel_size) | {"groups": _channels(layer, input_of(call))}
    _convolve(d, call, f"conv{layer.rank}d", d.parameter(layer.kernel), d.parameter(layer.bias), arguments)


def separable(d: Description, call: Recorded) -> None:
    """Depthwise, then one of width 1."""
    layer, x = call.what, input_of(call)
    last = layer.data_format != "channels_first"
    groups = _channels(layer, x)
    depth = d.parameter(layer.depthwise_kernel)
    assert depth is not None
    out = tuple(call.outputs[0].shape)
    sizes = channels_first(out)[2:] if last else out[2:]
    shape = (out[0], depth.layout.shape[0], *sizes)
    arguments = {"input": d.first(x) if last else d.last(x), "weight": depth, "bias": None}
    ref = d.emit(f"conv{layer.rank}d", arguments | _places(layer, x, layer.kernel_size) | {"groups": groups}, shape)
    ones = (1,) * layer.rank
    plain = {"stride": ones, "padding": (0,) * layer.rank, "dilation": ones, "groups": 1}
    own = {"input": ref, "weight": d.parameter(layer.pointwise_kernel), "bias": d.parameter(layer.bias)}
    made = d.emit(f"conv{layer.rank}d", own | plain, channels_first(out) if last else out)
    d.gives(call.outputs[0], made, first=last)


def _convolve(
    d: Description, call: Recorded, op: str, weight: Held | None, bias: Held | None, arguments: Mapping[str, Any]
) -> None:
    x, out = input_of(call), call.outputs[0]
    last = call.what.data_format != "channels_first"
    shape = tuple(out.shape)
    own = {"input": d.first(x) if last else d.last(x), "weight": weight, "bias": bias}
    d.gives(out, d.emit(op, own | dict(arguments), channels_first(shape) if last else shape), first=last)


def _places(layer: Any, x: Any, kernel: tuple[int, ...]) -> dict[str, Any]:
    """Stride, padding and dilation, one for each axis of positions."""
    shape = tuple(map(int, x.shape))
    sizes = shape[2:] if layer.data_format == "channels_first" else shape[1:-1]
    stride, dilation = tuple(layer.strides), tuple(layer.dilation_rate)
    padded = layer.padding in {"same", "causal"}
    padding = same_padding(sizes, tuple(kernel), stride, dilation) if padded else (0,) * len(kernel)
    return {"stride": stride, "padding": padding, "dilation": dilation}


def _channels(layer: Any, x: Any) -> int:
    return int(x.shape[1 if layer.data_format == "channels_first" else -1])
