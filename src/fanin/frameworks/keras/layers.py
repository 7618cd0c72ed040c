"""What each of Keras's own layers is in PyTorch's words, seen from outside.

To teach a layer: a line in `LAYERS`, class → a function of the description and the call. Layers that are not here are
looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import keras
import numpy as np

from fanin.activations import TABLE
from fanin.frameworks.described import NO_BIAS
from fanin.frameworks.keras.describe import Description, channels_first, snake
from fanin.frameworks.keras.layouts import is_weight
from fanin.frameworks.keras.operations import describe_activation, function_as_activation, same_padding
from fanin.frameworks.keras.record import Recorded
from fanin.frameworks.keras.variables import layer_path
from fanin.graph import ActivationCall, Held, Ref, Role
from fanin.graph.operations import SLOTS, Slot, packed, packed_bias

Describe = Callable[[Description, Recorded], None]
SAFE: Final = ActivationCall("relu", assumed="assumed; the layer that calls it was not looked into")
KERAS_GRU: Final = ("z", "r", "n")  # update, reset, new: PyTorch has the reset gate first


def _input(call: Recorded) -> Any:
    return call.args[0] if call.args else next(iter(call.kwargs.values()))


def _dense(d: Description, call: Recorded) -> None:
    layer, out = call.what, call.outputs[0]
    arguments = {"input": d.last(_input(call)), "weight": d.parameter(layer._kernel), "bias": d.parameter(layer.bias)}
    d.gives(out, d.emit("linear", arguments, tuple(out.shape)))


def _einsum_dense(d: Description, call: Recorded) -> None:
    """A linear map between the axes that the equation names; those that it keeps are positions."""
    layer, out = call.what, call.outputs[0]
    x, shape = d.last(_input(call)), tuple(out.shape)
    bias = d.parameter(layer.bias)
    left, _, right = layer.equation.replace(" ", "").partition("->")
    signal, _, kernel = left.partition(",")
    summed = [letter for letter in signal.replace("...", "") if letter in kernel and letter not in right]
    made = [letter for letter in right.replace("...", "") if letter in kernel and letter not in signal]
    copies = [letter for letter in kernel if letter in signal and letter in right]
    tidy = signal.endswith("".join(summed)) and right.endswith("".join(made)) and not copies and summed and made
    if not tidy:
        slot = Slot(Role.WEIGHT, lambda _, __: layouts_fans(d, layer))
        arguments = {"input": x, "weight": d.parameter(layer._kernel, slot), "bias": _bias(d, layer)}
        d.gives(out, d.emit("einsum_dense", arguments, shape))
        return
    given = tuple(map(int, _input(call).shape))
    if len(summed) > 1:
        flat = (*given[: -len(summed)], d.held(layer._kernel).layout.shape[1])
        x = d.emit("view", {"self": x, "size": flat}, flat)
    weight = d.parameter(layer._kernel)
    assert weight is not None
    flat = (*shape[: len(shape) - len(made)], weight.layout.shape[0])
    ref = d.emit("linear", {"input": x, "weight": weight, "bias": bias}, flat)
    d.gives(out, d.emit("view", {"self": ref, "size": shape}, shape) if len(made) > 1 else ref)


def layouts_fans(d: Description, layer: Any) -> Any:
    """The fans that the layout of a layer's kernel says."""
    return d.held(layer._kernel).layout.fans


def _bias(d: Description, layer: Any) -> Held | None:
    return d.parameter(layer.bias, Slot(Role.BIAS))


def _embedding(d: Description, call: Recorded) -> None:
    layer, out = call.what, call.outputs[0]
    weight, shape = d.parameter(layer._embeddings), tuple(out.shape)
    if call.kwargs.get("reverse"):
        d.gives(out, d.emit("linear", {"input": d.last(_input(call)), "weight": weight, "bias": None}, shape))
        return
    arguments = {"weight": weight, "indices": d.last(_input(call)), "padding_idx": -1}
    d.gives(out, d.emit("embedding", arguments, shape))


def _conv(d: Description, call: Recorded) -> None:
    layer = call.what
    arguments = _places(layer, _input(call), layer.kernel_size) | {"groups": layer.groups}
    _convolve(d, call, f"conv{layer.rank}d", d.parameter(layer._kernel), d.parameter(layer.bias), arguments)


def _conv_transposed(d: Description, call: Recorded) -> None:
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


def _depthwise(d: Description, call: Recorded) -> None:
    layer = call.what
    arguments = _places(layer, _input(call), layer.kernel_size) | {"groups": _channels(layer, _input(call))}
    _convolve(d, call, f"conv{layer.rank}d", d.parameter(layer.kernel), d.parameter(layer.bias), arguments)


def _separable(d: Description, call: Recorded) -> None:
    """Depthwise, then one of width 1."""
    layer, x = call.what, _input(call)
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
    x, out = _input(call), call.outputs[0]
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


def _batch_norm(d: Description, call: Recorded) -> None:
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


def _group_norm(d: Description, call: Recorded) -> None:
    layer = call.what
    arguments = {
        "num_groups": layer.groups,
        "weight": d.parameter(layer.gamma),
        "bias": d.parameter(layer.beta),
        "eps": layer.epsilon,
    }
    _over_channels(d, call, "group_norm", arguments)


def _over_channels(d: Description, call: Recorded, op: str, arguments: Mapping[str, Any]) -> None:
    x, out = _input(call), call.outputs[0]
    rank = len(out.shape)
    last = int(call.what.axis) % rank == rank - 1 and rank > 2
    shape = tuple(out.shape)
    own = {"input": d.first(x) if last else d.last(x)}
    d.gives(out, d.emit(op, own | dict(arguments), channels_first(shape) if last else shape), first=last)


def _layer_norm(d: Description, call: Recorded) -> None:
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
    arguments = {"input": d.last(_input(call)), "normalized_shape": normalized, "weight": weight}
    arguments |= ({} if rms else {"bias": bias}) | {"eps": layer.epsilon}
    d.gives(out, d.emit(op, arguments, shape))


def _dropout(d: Description, call: Recorded) -> None:
    x, out = _input(call), call.outputs[0]
    first, shape = d.has_first(x), tuple(out.shape)
    arguments = {
        "input": d.first(x) if first else d.last(x),
        "p": float(getattr(call.what, "rate", 0.0)),
        "train": True,
    }
    d.gives(out, d.emit("dropout", arguments, channels_first(shape) if first else shape), first=first)


def _passes_on(d: Description, call: Recorded) -> None:
    """Noise that is added in training."""
    x, out = _input(call), call.outputs[0]
    signal = d.signals[id(x)]
    for ref, first in ((signal.last, False), (signal.first, True)):
        if ref is not None:
            d.gives(out, ref, first=first)


def _rescaling(d: Description, call: Recorded) -> None:
    """X · scale + offset."""
    layer, out = call.what, call.outputs[0]
    shape = tuple(out.shape)
    ref = d.emit("mul", {"self": d.last(_input(call)), "other": _number(d, layer.scale)}, shape)
    if np.any(layer.offset):
        ref = d.emit("add", {"self": ref, "other": _number(d, layer.offset), "alpha": 1}, shape)
    d.gives(out, ref)


def _normalization(d: Description, call: Recorded) -> None:
    """(x − mean)/std, of statistics that the layer was given; the other way round with `invert`."""
    layer, out = call.what, call.outputs[0]
    shape, x = tuple(out.shape), d.last(_input(call))
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


def _up_sampling(d: Description, call: Recorded) -> None:
    """Every position several times."""
    layer, out = call.what, call.outputs[0]
    if getattr(layer, "interpolation", "nearest") != "nearest":
        opaque(d, call)
        return
    last = getattr(layer, "data_format", "channels_last") != "channels_first"
    x, shape = _input(call), tuple(out.shape)
    size = (layer.size,) if isinstance(layer.size, int) else tuple(layer.size)
    arguments = {"input": d.first(x) if last else d.last(x), "scale_factors": tuple(map(float, size))}
    made = d.emit(f"upsample_nearest{len(size)}d", arguments, channels_first(shape) if last else shape)
    d.gives(out, made, first=last)


def _prelu(d: Description, call: Recorded) -> None:
    out = call.outputs[0]
    slope = d.parameter(call.what.alpha, Slot(Role.SLOPE))
    d.gives(out, d.emit("prelu", {"self": d.last(_input(call)), "weight": slope}, tuple(out.shape)))


def _recurrent(d: Description, call: Recorded) -> None:
    """A layer over a sequence, with one cell of Keras's."""
    layer, x = call.what, _input(call)
    cell = layer.cell
    kind = next(name for name in CELLS if any(base.__name__ == name for base in type(cell).__mro__))
    op, gates = CELLS[kind]
    if kind == "SimpleRNNCell" and getattr(cell.activation, "__name__", "") == "relu":
        op = "rnn_relu"
    params: list[Any] = [
        d.parameter(cell.kernel, packed(gates)),
        d.parameter(cell.recurrent_kernel, packed(gates, Role.RECURRENT)),
    ]
    further: dict[str, Any] = {}
    if cell.use_bias:
        none = [d.constant(np.zeros(max(len(gates), 1) * cell.units, np.float32), NO_BIAS) for _ in range(2)]
        if len(cell.bias.shape) == 2:  # one bias for the input and one for the state, in one variable
            params += none
            further["bias"] = d.parameter(cell.bias, Slot(Role.BIAS))
        else:  # PyTorch has a second one
            params += [d.parameter(cell.bias, packed_bias(gates)), none[0]]
    batch, steps = int(x.shape[0]), int(x.shape[1])
    sequence = (batch, steps, cell.units)
    state = (1, batch, cell.units)
    shapes = (sequence, state, state) if op == "lstm" else (sequence, state)
    arguments = {
        "input": d.last(x),
        "params": tuple(params),
        "has_biases": bool(cell.use_bias),
        "num_layers": 1,
        "dropout": 0.0,
        "train": True,
        "bidirectional": False,
        "batch_first": True,
        **further,
    }
    made = d.emit(op, arguments, sequence, shapes=shapes)
    results = list(call.outputs)
    whole = made
    if not layer.return_sequences:
        last = {"self": made, "dim": 1, "index": steps - 1}
        whole = d.emit("select", last, (batch, cell.units))
    d.gives(results[0], whole)
    for i, out in enumerate(results[1:], 1):
        shape = (batch, cell.units)
        d.gives(out, d.emit("squeeze", {"self": Ref(made.name, min(i, len(shapes) - 1), state), "dim": 0}, shape))


def opaque(d: Description, call: Recorded) -> None:
    """A layer of which only the variables are known: its kernels by their fans, what is called a bias as one.

    Each layer inside it is a call of its own, as if it read what the whole is given.
    """
    layer = call.what
    phi = function_as_activation(getattr(layer, "activation", None)) if type(layer).__name__ == "Activation" else None
    if phi is not None:
        describe_activation(d, call, phi)
        return
    signals = [x for x in keras.tree.flatten((call.args, dict(call.kwargs))) if d.is_signal(x)]
    arguments: dict[str, Any] = {f"input_{i}" if i else "input": d.last(x) for i, x in enumerate(signals)}
    inside = [own for own in layer._flatten_layers(include_self=False) if own._trainable_variables]
    if call.unseen:
        d.unseen[layer_path(d.model, layer) or type(layer).__name__] = call.unseen
    for own in inside:
        _by_itself(d, own, arguments.get("input"))
    arguments |= _own_variables(d, layer)
    shapes = tuple(tuple(map(int, out.shape)) for out in call.outputs)
    made = d.emit(snake(type(layer).__name__), arguments, shapes[0] if shapes else (), shapes=shapes)
    for i, (out, shape) in enumerate(zip(call.outputs, shapes, strict=True)):
        d.gives(out, Ref(made.name, i, shape))


def _by_itself(d: Description, layer: Any, given: Any) -> None:
    """A layer that is not seen to run, on what the one around it is given; and the activation that it may feed."""
    name = str(getattr(getattr(layer, "activation", None), "__name__", ""))
    phi = ActivationCall(name) if name in TABLE and name != "linear" else SAFE
    made = d.emit(snake(type(layer).__name__), {"input": given, **_own_variables(d, layer)}, ())
    if any(is_weight(variable.name) for variable in layer._trainable_variables):
        d.emit(phi.name, {"self": made}, (), activation=phi)


def _own_variables(d: Description, layer: Any) -> dict[str, Held]:
    found = (d.parameter(variable, slot_by_name(d, variable)) for variable in layer._trainable_variables)
    return {held.path: held for held in found if held is not None}


def slot_by_name(d: Description, variable: Any) -> Slot:
    """What a variable is, by its name and its number of axes, where no operation says it."""
    if id(variable) not in d.variables.path_of:
        return Slot(Role.UNKNOWN)
    if variable.name == "embeddings":
        return SLOTS["embedding"]["weight"]
    known = d.held(variable).layout.fans
    if known is not None and (is_weight(variable.name) or len(variable.shape) > 1):
        role = Role.RECURRENT if "recurrent" in variable.name else Role.WEIGHT
        return Slot(role, lambda _, __: known)
    return Slot({"bias": Role.BIAS, "gamma": Role.NORM_SCALE, "beta": Role.NORM_SHIFT}.get(variable.name, Role.UNKNOWN))


CELLS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "LSTMCell": ("lstm", ("i", "f", "g", "o")),
    "GRUCell": ("gru", KERAS_GRU),
    "SimpleRNNCell": ("rnn_tanh", ()),
}

# Classes of Keras by name, base classes included, since those of convolutions are not public.
LAYERS: Final[Mapping[str, Describe]] = {
    "Dense": _dense,
    "EinsumDense": _einsum_dense,
    "Embedding": _embedding,
    "BaseConv": _conv,
    "BaseConvTranspose": _conv_transposed,
    "BaseDepthwiseConv": _depthwise,
    "BaseSeparableConv": _separable,
    "BatchNormalization": _batch_norm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _layer_norm,
    **dict.fromkeys(("Dropout", "BaseSpatialDropout"), _dropout),
    **dict.fromkeys(("GaussianNoise", "GaussianDropout", "AlphaDropout"), _passes_on),
    **dict.fromkeys(("Identity", "ActivityRegularization", "InputLayer"), _passes_on),
    **dict.fromkeys(("UpSampling1D", "UpSampling2D", "UpSampling3D"), _up_sampling),
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "PReLU": _prelu,
    "RNN": _recurrent,
}


def describer_of(layer: Any) -> Describe | None:
    """How a layer is described from outside; None for those that are looked into."""
    for base in type(layer).__mro__:
        if base.__module__.partition(".")[0] != "keras":
            continue
        if base.__name__ == "RNN":
            cells = [kind.__name__ for kind in type(layer.cell).__mro__ if kind.__module__.startswith("keras.")]
            return _recurrent if any(name in CELLS for name in cells) else opaque
        if base.__name__ in OPAQUE:
            return opaque
        if base.__name__ in LAYERS:
            return LAYERS[base.__name__]
    return None


# Layers of Keras that run on the back end's own tensors, or over steps.
OPAQUE: Final = frozenset({"ConvLSTM", "StackedRNNCells", "SpectralNormalization", "Lambda", "DataLayer", "Masking"})
