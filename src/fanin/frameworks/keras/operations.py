"""What each operation of `keras.ops` is in PyTorch's words.

To teach one: a line in `OPERATIONS`, class → a function of the description and the call, or in `ACTIVATIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from fanin.frameworks.keras.describe import Description, channels_first, snake
from fanin.frameworks.keras.record import Recorded
from fanin.graph import ActivationCall, Held, Ref

Describe = Callable[[Description, Recorded], None]


def _plain(name: str) -> Callable[[Any], ActivationCall]:
    return lambda _: ActivationCall(name)


def _relu(op: Any) -> ActivationCall | None:
    """`keras.activations.relu`, which is several."""
    slope, most, threshold = (float(getattr(op, n) or 0) for n in ("negative_slope", "max_value", "threshold"))
    if threshold or (most and (slope or most != 6)):
        return None
    if most:
        return ActivationCall("relu6")
    return ActivationCall("leaky_relu", {"negative_slope": slope}) if slope else ActivationCall("relu")


ACTIVATIONS: Final[Mapping[str, Callable[[Any], ActivationCall | None]]] = {
    "ReLU": _relu,
    "Gelu": lambda op: ActivationCall("gelu_tanh" if op.approximate else "gelu"),
    "LeakyRelu": lambda op: ActivationCall("leaky_relu", {"negative_slope": float(op.negative_slope)}),
    "Elu": lambda op: ActivationCall("elu", {"alpha": float(op.alpha)}),
    "Celu": lambda op: ActivationCall("celu", {"alpha": float(op.alpha)}),
    **{
        theirs: _plain(ours)
        for theirs, ours in {
            **{"Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Silu": "silu", "Tanh": "tanh", "Selu": "selu"},
            **{"Mish": "mish", "Softplus": "softplus", "Softsign": "softsign", "HardSilu": "hardswish"},
            **{"HardSigmoid": "hardsigmoid", "LogSigmoid": "logsigmoid", "TanhShrink": "tanhshrink"},
            **{"HardTanh": "hardtanh", "Erf": "erf", "Sin": "sin"},
        }.items()
    },
}
FUNCTIONS: Final[Mapping[str, str]] = {
    **{"hard_silu": "hardswish", "hard_sigmoid": "hardsigmoid", "log_sigmoid": "logsigmoid", "mish": "mish"},
    **{"tanh_shrink": "tanhshrink", "hard_tanh": "hardtanh", "softsign": "softsign", "softplus": "softplus"},
    **{"silu": "silu", "selu": "selu", "tanh": "tanh", "sigmoid": "sigmoid", "relu6": "relu6"},
}
# As torch's operations are called, where the activation of the table is called otherwise.
_OPS: Final = {"gelu_tanh": "gelu", "logsigmoid": "log_sigmoid"}


def describe_operation(d: Description, call: Recorded) -> None:
    """One operation of `keras.ops`, or an activation that takes the back end's own tensors."""
    kind = type(call.what).__name__
    activation = ACTIVATIONS[kind](call.what) if kind in ACTIVATIONS else function_as_activation(call.what)
    if activation is not None:
        describe_activation(d, call, activation)
    elif kind in OPERATIONS:
        OPERATIONS[kind](d, call)
    elif kind in POINTWISE:
        _pointwise(d, call, POINTWISE[kind])
    else:
        generic(d, call)


def function_as_activation(function: Any) -> ActivationCall | None:
    """A function of `keras.activations` that takes no symbolic tensor, by its name."""
    of_keras = str(getattr(function, "__module__", "")).startswith("keras.")
    name = FUNCTIONS.get(getattr(function, "__name__", "")) if of_keras else None
    return ActivationCall(name) if name else None


def describe_activation(d: Description, call: Recorded, activation: ActivationCall) -> None:
    """A pointwise activation of the first argument."""
    _pointwise(d, call, _OPS.get(activation.name, activation.name), activation)


def _pointwise(d: Description, call: Recorded, op: str, activation: ActivationCall | None = None) -> None:
    x = call.args[0]
    first = d.has_first(x)
    shape = tuple(call.outputs[0].shape)
    ref = d.emit(
        op,
        {"self": d.first(x) if first else d.last(x)},
        channels_first(shape) if first else shape,
        activation=activation,
    )
    d.gives(call.outputs[0], ref, first=first)


POINTWISE: Final[Mapping[str, str]] = {
    **{"Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Rsqrt": "rsqrt", "Square": "square", "Negative": "neg"},
    **{"Absolute": "abs", "Abs": "abs", "Cos": "cos", "Log1p": "log1p", "Expm1": "expm1"},
}


def _binary(op: str) -> Describe:
    def describe(d: Description, call: Recorded) -> None:
        a, b = (*call.args, *call.kwargs.values())[:2]
        out = call.outputs[0]
        signals = [x for x in (a, b) if d.is_signal(x)]
        rank = len(out.shape)
        first = any(d.has_first(x) for x in signals) and all(len(d.signals[id(x)].shape) == rank for x in signals)
        first = first and all(d.is_signal(x) or _is_number(x) for x in (a, b))
        side = [(d.first(x) if first else d.last(x)) if d.is_signal(x) else d.other(x) for x in (a, b)]
        name = op
        if not isinstance(side[0], (Ref, Held)):
            side, name = side[::-1], "rsub" if op == "sub" else op
        arguments = {"self": side[0], "other": side[1]} | ({"alpha": 1} if op in {"add", "sub"} else {})
        shape = tuple(out.shape)
        d.gives(out, d.emit(name, arguments, channels_first(shape) if first else shape), first=first)

    return describe


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float)) or getattr(x, "shape", None) == ()


def _same(d: Description, call: Recorded) -> None:
    """The same numbers."""
    x = call.args[0] if call.args else next(iter(call.kwargs.values()))
    if not d.is_signal(x):
        return generic(d, call)
    signal, out = d.signals[id(x)], call.outputs[0]
    if signal.last is not None:
        d.gives(out, signal.last)
    if signal.first is not None:
        d.gives(out, signal.first, first=True)
    return None


def _reshape(d: Description, call: Recorded) -> None:
    shape = tuple(call.outputs[0].shape)
    d.gives(call.outputs[0], d.emit("view", {"self": d.last(call.args[0]), "size": shape}, shape))


def _transpose(d: Description, call: Recorded) -> None:
    out = call.outputs[0]
    dims = call.what.axes or tuple(range(len(out.shape)))[::-1]
    shape = tuple(out.shape)
    d.gives(out, d.emit("permute", {"self": d.last(call.args[0]), "dims": tuple(dims)}, shape))


def _swapaxes(d: Description, call: Recorded) -> None:
    out = call.outputs[0]
    arguments = {"self": d.last(call.args[0]), "dim0": call.what.axis1, "dim1": call.what.axis2}
    d.gives(out, d.emit("transpose", arguments, tuple(out.shape)))


def _concatenate(d: Description, call: Recorded) -> None:
    parts, out = tuple(call.args[0]), call.outputs[0]
    rank = len(out.shape)
    axis = call.what.axis % rank
    first = rank > 2 and all(d.has_first(x) for x in parts)
    dim = _moved(axis, rank) if first else axis
    refs = tuple(d.first(x) if first else d.last(x) for x in parts)
    shape = tuple(out.shape)
    d.gives(out, d.emit("cat", {"tensors": refs, "dim": dim}, channels_first(shape) if first else shape), first=first)


def _moved(axis: int, rank: int) -> int:
    """Where an axis is once the channels are first."""
    return 1 if axis == rank - 1 else axis + 1 if axis else 0


def _reduction(op: str) -> Describe:
    def describe(d: Description, call: Recorded) -> None:
        x, out = call.args[0], call.outputs[0]
        rank = len(x.shape)
        axes = call.what.axis
        axes = tuple(range(rank)) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
        axes = tuple(axis % rank for axis in axes)
        keep = bool(call.what.keepdims)
        over_positions = d.has_first(x) and set(axes) <= set(range(1, rank - 1))
        if over_positions:
            axes = tuple(_moved(axis, rank) for axis in axes)
        arguments = {"self": d.first(x) if over_positions else d.last(x), "dim": axes, "keepdim": keep}
        first = over_positions and keep
        shape = tuple(out.shape)
        made = d.emit(op, arguments, channels_first(shape) if first else shape)
        d.gives(out, made, first=first)

    return describe


def _softmax(op: str) -> Describe:
    def describe(d: Description, call: Recorded) -> None:
        axis = call.what.axis
        if isinstance(axis, (tuple, list)):
            if len(axis) != 1:
                return generic(d, call)
            (axis,) = axis
        out = call.outputs[0]
        d.gives(out, d.emit(op, {"self": d.last(call.args[0]), "dim": axis}, tuple(out.shape)))
        return None

    return describe


def _pool(kind: str) -> Describe:
    def describe(d: Description, call: Recorded) -> None:
        x, out, op = call.args[0], call.outputs[0], call.what
        spatial = len(out.shape) - 2
        first = op.data_format != "channels_first"
        sizes = [(n,) * spatial if isinstance(n, int) else tuple(n) for n in (op.pool_size, op.strides or op.pool_size)]
        shape = channels_first(tuple(out.shape)) if first else tuple(out.shape)
        before = channels_first(tuple(x.shape)) if first else tuple(x.shape)
        padding = same_padding(before[2:], sizes[0], sizes[1]) if op.padding == "same" else (0,) * spatial
        arguments: dict[str, Any] = {
            "self": d.first(x) if first else d.last(x),
            "kernel_size": sizes[0],
            "stride": sizes[1],
            "padding": padding,
        }
        if kind == "avg_pool":
            arguments["count_include_pad"] = False  # Keras counts what is there
        d.gives(out, d.emit(f"{kind}{spatial}d", arguments, shape), first=first)

    return describe


def same_padding(
    sizes: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...] = ()
) -> tuple[int, ...]:
    """Keras's "same" on each side: half of what is added, where the halves differ the smaller."""
    dilation = dilation or (1,) * len(kernel)
    return tuple(
        max((math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n, 0) // 2
        for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)
    )


def _matmul(d: Description, call: Recorded) -> None:
    a, b = call.args[:2]
    out = call.outputs[0]
    right = d.other(b) if not d.is_signal(b) else None
    if d.is_signal(a) and isinstance(right, Held) and len(right.shape) == 2:  # x @ W, of a layer of the user's
        d.gives(out, d.emit("linear", {"input": d.last(a), "weight": right}, tuple(out.shape)))
    else:
        d.gives(out, d.emit("matmul", {"self": d.last(a), "other": d.last(b)}, tuple(out.shape)))


def _einsum(d: Description, call: Recorded) -> None:
    out = call.outputs[0]
    if any(isinstance(d.last(x), Held) for x in call.args):
        return generic(d, call)
    tensors = tuple(d.last(x) for x in call.args)
    arguments = {"equation": call.what.subscripts, "tensors": tensors}
    d.gives(out, d.emit("einsum", arguments, tuple(out.shape)))
    return None


def _attention(d: Description, call: Recorded) -> None:
    """(batch, positions, heads, width) of Keras; heads before positions of PyTorch."""
    names = ("query", "key", "value", "bias", "mask", "scale")
    given = dict(zip(names, call.args, strict=False)) | dict(call.kwargs)
    heads_first = {}
    for name in ("query", "key", "value"):
        shape = tuple(given[name].shape)
        moved = (shape[0], shape[2], shape[1], shape[3])
        heads_first[name] = d.emit("permute", {"self": d.last(given[name]), "dims": (0, 2, 1, 3)}, moved)
    mask = given.get("mask")
    arguments = {
        **heads_first,
        "attn_mask": None if mask is None else d.last(mask),
        "dropout_p": 0.0,
        "is_causal": bool(given.get("is_causal", getattr(call.what, "is_causal", False))),
        "scale": given.get("scale"),
    }
    out = call.outputs[0]
    shape = tuple(out.shape)
    made = d.emit("scaled_dot_product_attention", arguments, (shape[0], shape[2], shape[1], shape[3]))
    d.gives(out, d.emit("permute", {"self": made, "dims": (0, 2, 1, 3)}, shape))


def _expand_dims(d: Description, call: Recorded) -> None:
    if not isinstance(call.what.axis, int):
        return generic(d, call)
    out = call.outputs[0]
    arguments = {"self": d.last(call.args[0]), "dim": call.what.axis}
    d.gives(out, d.emit("unsqueeze", arguments, tuple(out.shape)))
    return None


def _squeeze(d: Description, call: Recorded) -> None:
    out = call.outputs[0]
    d.gives(out, d.emit("squeeze", {"self": d.last(call.args[0])}, tuple(out.shape)))


def _get_item(d: Description, call: Recorded) -> None:
    """X[0], x[:, -1], x[..., :8]: one selection or slice after the other."""
    x, key = call.args[0], call.args[1] if len(call.args) > 1 else call.kwargs["key"]
    keys = list(key) if isinstance(key, (tuple, list)) else [key]
    rank = len(x.shape)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (rank - len(keys) + 1)
    if not all(isinstance(k, (int, slice)) for k in keys):
        return generic(d, call)
    ref, shape, dim = d.last(x), list(map(int, x.shape)), 0
    for k in keys:
        if isinstance(k, int):
            arguments = {"self": ref, "dim": dim, "index": k % shape[dim]}
            del shape[dim]
            ref = d.emit("select", arguments, tuple(shape))
            continue
        start, stop, step = k.indices(shape[dim])
        if (start, stop, step) != (0, shape[dim], 1):
            shape[dim] = len(range(start, stop, step))
            ref = d.emit("slice", {"self": ref, "dim": dim, "start": start, "end": stop, "step": step}, tuple(shape))
        dim += 1
    d.gives(call.outputs[0], ref)
    return None


def _split(d: Description, call: Recorded) -> None:
    x, outs = call.args[0], call.outputs
    axis = call.what.axis % len(x.shape)
    shapes = tuple(tuple(map(int, out.shape)) for out in outs)
    arguments = {"self": d.last(x), "split_size": [shape[axis] for shape in shapes], "dim": axis}
    made = d.emit("split_with_sizes", arguments, shapes[0], shapes=shapes)
    for i, (out, shape) in enumerate(zip(outs, shapes, strict=True)):
        d.gives(out, Ref(made.name, i, shape))


def _pad(d: Description, call: Recorded) -> None:
    """By zeros, by copies or by mirror images, from the last axis to the first."""
    x, out = call.args[0], call.outputs[0]
    rank = len(out.shape)
    widths = [tuple(pair) for pair in call.what.pad_width]
    widths = widths * rank if len(widths) == 1 else widths
    first = rank > 2 and not any(widths[0]) and not any(widths[-1])  # only positions
    if first:
        widths = [widths[0], widths[-1], *widths[1:-1]]
    shape = tuple(out.shape)
    arguments = {
        "self": d.first(x) if first else d.last(x),
        "pad": tuple(int(n) for pair in reversed(widths) for n in pair),
        "mode": {"edge": "replicate", "symmetric": "replicate"}.get(call.what.mode, call.what.mode),
        "value": d.last(call.kwargs.get("constant_values", call.args[1] if len(call.args) > 1 else 0.0)) or 0.0,
    }
    d.gives(out, d.emit("pad", arguments, channels_first(shape) if first else shape), first=first)


def _power(d: Description, call: Recorded) -> None:
    a, b = call.args[:2]
    out = call.outputs[0]
    d.gives(out, d.emit("pow", {"self": d.last(a), "exponent": d.last(b)}, tuple(out.shape)))


def generic(d: Description, call: Recorded) -> None:
    """An operation that is in no table: it reads what it reads; no rule predicts it."""
    named = {f"argument_{i}": x for i, x in enumerate(call.args)} | dict(call.kwargs)
    arguments: dict[str, Any] = {}
    for name, x in named.items():
        if isinstance(x, (list, tuple)):
            arguments[name] = tuple(d.last(each) for each in x)
        elif x is not None and not isinstance(x, (bool, str)):
            arguments["self" if name == "argument_0" else name] = d.last(x)
    kind = type(call.what).__name__ if not callable(getattr(call.what, "__name__", None)) else ""
    kind = getattr(call.what, "__name__", None) or kind
    shapes = tuple(tuple(map(int, out.shape)) for out in call.outputs)
    if not shapes:
        return
    made = d.emit(snake(kind).strip("<>") or "operation", arguments, shapes[0], shapes=shapes)
    for i, (out, shape) in enumerate(zip(call.outputs, shapes, strict=True)):
        d.gives(out, Ref(made.name, i, shape))


OPERATIONS: Final[Mapping[str, Describe]] = {
    **{"Add": _binary("add"), "Subtract": _binary("sub"), "Multiply": _binary("mul")},
    **dict.fromkeys(("Divide", "TrueDivide"), _binary("div")),
    **{"Maximum": _binary("maximum"), "Minimum": _binary("minimum"), "Power": _power},
    **dict.fromkeys(("Cast", "ConvertToTensor", "Copy", "StopGradient"), _same),
    **{"Reshape": _reshape, "Transpose": _transpose, "Swapaxes": _swapaxes, "Concatenate": _concatenate},
    **{"ExpandDims": _expand_dims, "Squeeze": _squeeze, "GetItem": _get_item, "Split": _split, "Pad": _pad},
    **{"Mean": _reduction("mean"), "Sum": _reduction("sum"), "Var": _reduction("var"), "Std": _reduction("std")},
    **dict.fromkeys(("Max", "Amax"), _reduction("amax")),
    **dict.fromkeys(("Min", "Amin"), _reduction("amin")),
    **{"Softmax": _softmax("softmax"), "LogSoftmax": _softmax("log_softmax")},
    **{"MaxPool": _pool("max_pool"), "AveragePool": _pool("avg_pool")},
    **{"Matmul": _matmul, "Einsum": _einsum, "DotProductAttention": _attention},
}
