"""What is done with images before and between convolutions: rescaling, given statistics, upsampling."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fanin.frameworks.keras.describe import Description, channels_first, input_of
from fanin.frameworks.keras.outside import opaque
from fanin.frameworks.keras.record import Recorded


def rescaling(d: Description, call: Recorded) -> None:
    """X · scale + offset."""
    layer, out = call.what, call.outputs[0]
    shape = tuple(out.shape)
    ref = d.emit("mul", {"self": d.last(input_of(call)), "other": _number(d, layer.scale)}, shape)
    if np.any(layer.offset):
        ref = d.emit("add", {"self": ref, "other": _number(d, layer.offset), "alpha": 1}, shape)
    d.gives(out, ref)


def normalization(d: Description, call: Recorded) -> None:
    """(x − mean)/std, of statistics that the layer was given; the other way round with `invert`."""
    layer, out = call.what, call.outputs[0]
    shape, x = tuple(out.shape), d.last(input_of(call))
    mean, std = np.asarray(layer.mean), np.maximum(np.sqrt(np.asarray(layer.variance)), keras.backend.epsilon())
    if layer.invert:
        ref = d.emit("mul", {"self": x, "other": _number(d, std)}, shape)
        d.gives(out, d.emit("add", {"self": ref, "other": _number(d, mean), "alpha": 1}, shape))
    else:
        ref = d.emit("sub", {"self": x, "other": _number(d, mean), "alpha": 1}, shape)
        d.gives(out, d.emit("div", {"self": ref, "other": _number(d, std)}, shape))


def _number(d: Description, x: Any) -> Any:
    """A number, or a constant of one for each feature."""
    array = np.asarray(x, np.float32)
    return float(array.reshape(-1)[0]) if array.size == 1 else d.constant(array)


def up_sampling(d: Description, call: Recorded) -> None:
    """Every position several times."""
    layer, out = call.what, call.outputs[0]
    if getattr(layer, "interpolation", "nearest") != "nearest":
        opaque(d, call)
        return
    last = getattr(layer, "data_format", "channels_last") != "channels_first"
    x, shape = input_of(call), tuple(out.shape)
    size = (layer.size,) if isinstance(layer.size, int) else tuple(layer.size)
    arguments = {"input": d.first(x) if last else d.last(x), "scale_factors": tuple(map(float, size))}
    made = d.emit(f"upsample_nearest{len(size)}d", arguments, channels_first(shape) if last else shape)
    d.gives(out, made, first=last)
