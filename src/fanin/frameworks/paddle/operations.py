"""What each operation of a Paddle program is in PyTorch's words.

To teach one: a line in `OPERATIONS`, name → a function of the description and the operation, or in `ACTIVATIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from fanin.frameworks.paddle.describe import Description, literal, shape_of
from fanin.graph import ActivationCall, Held, Ref

Describe = Callable[[Description, Any], None]


def operands(operation: Any) -> list[Any]:
    """Its operands that are there."""
    return [value for value in operation.operands_source() if value.initialized()]


def operand(operation: Any, name: str) -> Any:
    """The operand by its name; None if it is not there."""
    named = dict(zip(operation.get_input_names(), operation.operands_source(), strict=True))
    value = named.get(name)
    return value if value is not None and value.initialized() else None


def results(operation: Any) -> list[Any]:
    """Its results that are tensors."""
    return [value for value in operation.results() if value.initialized() and value.is_dense_tensor_type()]


def _plain(name: str) -> Callable[[Mapping[str, Any]], ActivationCall]:
    return lambda _: ActivationCall(name)


def _with(name: str, **renamed: str) -> Callable[[Mapping[str, Any]], ActivationCall]:
    return lambda attrs: ActivationCall(name, {ours: _short(attrs[theirs]) for ours, theirs in renamed.items()})


def _short(x: float) -> float:
    """The decimal number that a float32 was given as: 0.01 rather than 0.009999999776."""
    return float(f"{x:.7g}")


ACTIVATIONS: Final[Mapping[str, Callable[[Mapping[str, Any]], ActivationCall]]] = {
    **{
        name: _plain(name)
        for name in ("relu", "relu6", "tanh", "sigmoid", "silu", "mish", "selu", "hardswish", "softsign", "erf", "sin")
    },
    "gelu": lambda attrs: ActivationCall("gelu_tanh" if attrs["approximate"] else "gelu"),
    "swish": _plain("silu"),
    "hardsigmoid": _plain("hardsigmoid"),
    "logsigmoid": _plain("logsigmoid"),
    "tanh_shrink": _plain("tanhshrink"),
    "leaky_relu": _with("leaky_relu", negative_slope="negative_slope"),
    "elu": _with("elu", alpha="alpha"),
    "celu": _with("celu", alpha="alpha"),
    "softplus": _with("softplus", beta="beta"),
    "hardtanh": _with("hardtanh", min_val="t_min", max_val="t_max"),
}
# As torch's operations are called, where the activation of the table is called otherwise.
_OPS: Final = {"gelu_tanh": "gelu", "logsigmoid": "log_sigmoid"}
POINTWISE: Final[Mapping[str, str]] = {
    **{name: name for name in ("exp", "log", "sqrt", "rsqrt", "square", "abs", "cos", "log1p", "expm1", "neg")},
    **{"floor": "floor", "sign": "sign", "reciprocal": "reciprocal"},
}


def describe_operation(d: Description, operation: Any) -> None:
    """One operation that depends on a signal or a parameter."""
    name = operation.name().partition(".")[2].rstrip("_")
    if name in ACTIVATIONS:
        activation = ACTIVATIONS[name](operation.attrs())
        _pointwise(d, operation, _OPS.get(activation.name, activation.name), activation)
    elif name in POINTWISE:
        _pointwise(d, operation, POINTWISE[name])
    else:
        OPERATIONS.get(name, generic)(d, operation)


def _pointwise(d: Description, operation: Any, op: str, activation: ActivationCall | None = None) -> None:
    x, out = operands(operation)[0], operation.results()[0]
    d.gives(out, d.emit(op, {"self": d.read(x)}, shape_of(out), activation=activation))


def _binary(op: str) -> Describe:
    def describe(d: Description, operation: Any) -> None:
        out = operation.results()[0]
        side = [d.read(value) for value in operands(operation)[:2]]
        name = op
        if not isinstance(side[0], (Ref, Held)):
            side, name = side[::-1], "rsub" if op == "sub" else op
        arguments = {"self": side[0], "other": side[1]} | ({"alpha": 1} if op in {"add", "sub"} else {})
        d.gives(out, d.emit(name, arguments, shape_of(out)))

    return describe


def _scale(d: Description, operation: Any) -> None:
    """X · scale + bias, or (x + bias) · scale."""
    x, out, attrs = operands(operation)[0], operation.results()[0], operation.attrs()
    shape, ref = shape_of(out), d.read(x)
    given = operand(operation, "scale")
    scale = 1.0 if given is None else d.read(given) if literal(given) is None else _short(literal(given))
    steps: list[tuple[str, Any]] = [("mul", scale), ("add", _short(attrs["bias"]))]
    for op, by in steps if attrs["bias_after_scale"] else steps[::-1]:
        if by != (1.0 if op == "mul" else 0.0):
            ref = d.emit(op, {"self": ref, "other": by} | ({"alpha": 1} if op == "add" else {}), shape)
    d.gives(out, ref if isinstance(ref, Ref) else d.emit("alias", {"self": ref}, shape))


def _power(d: Description, operation: Any) -> None:
    out = operation.results()[0]
    exponent = operation.attrs().get("y")
    by = d.read(operands(operation)[1]) if exponent is None else _short(exponent)
    d.gives(out, d.emit("pow", {"self": d.read(operands(operation)[0]), "exponent": by}, shape_of(out)))


def _same(d: Description, operation: Any) -> None:
    """The same numbers."""
    known = d.read(operands(operation)[0])
    out = operation.results()[0]
    d.gives(out, known if isinstance(known, Ref) else d.emit("alias", {"self": known}, shape_of(out)))


def _view(d: Description, operation: Any) -> None:
    out = operation.results()[0]
    shape = shape_of(out)
    d.gives(out, d.emit("view", {"self": d.read(operands(operation)[0]), "size": shape}, shape))


def _transpose(d: Description, operation: Any) -> None:
    out = operation.results()[0]
    arguments = {"self": d.read(operands(operation)[0]), "dims": tuple(operation.attrs()["perm"])}
    d.gives(out, d.emit("permute", arguments, shape_of(out)))


def _matmul(d: Description, operation: Any) -> None:
    out, attrs = operation.results()[0], operation.attrs()
    sides: list[Any] = []
    if attrs.get("transpose_y") and not attrs.get("transpose_x") and len(operands(operation)[1].shape) == 2:
        x, weight = map(d.read, operands(operation))
        if isinstance(weight, Held):
            return d.gives(out, d.emit("linear", {"input": x, "weight": weight, "bias": None}, shape_of(out)))
    for value, turned in zip(operands(operation), (attrs.get("transpose_x"), attrs.get("transpose_y")), strict=True):
        ref, shape = d.read(value), shape_of(value)
        if turned and len(shape) > 1:
            swapped = (*shape[:-2], shape[-1], shape[-2])
            ref = d.emit("transpose", {"self": ref, "dim0": -2, "dim1": -1}, swapped)
        sides.append(ref)
    return d.gives(out, d.emit("matmul", {"self": sides[0], "other": sides[1]}, shape_of(out)))


def _einsum(d: Description, operation: Any) -> None:
    out = operation.results()[0]
    tensors = tuple(d.read(value) for value in members(operands(operation)[0]))
    d.gives(out, d.emit("einsum", {"equation": operation.attrs()["equation"], "tensors": tensors}, shape_of(out)))


def members(value: Any) -> list[Any]:
    """The tensors of a list in the program."""
    made = value.get_defining_op()
    return list(made.operands_source()) if made is not None and made.name() == "builtin.combine" else [value]


def _concat(d: Description, operation: Any) -> None:
    out = operation.results()[0]
    tensors = tuple(d.read(value) for value in members(operands(operation)[0]))
    axis = literal(operands(operation)[1]) if len(operands(operation)) > 1 else operation.attrs().get("axis", 0)
    d.gives(out, d.emit("cat", {"tensors": tensors, "dim": int(axis or 0)}, shape_of(out)))


def _stack(d: Description, operation: Any) -> None:
    out = operation.results()[0]
    tensors = tuple(d.read(value) for value in members(operands(operation)[0]))
    d.gives(out, d.emit("stack", {"tensors": tensors, "dim": operation.attrs()["axis"]}, shape_of(out)))


def _split(d: Description, operation: Any) -> None:
    """A list of parts, which `builtin.split` takes apart."""
    x, out = operands(operation)[0], operation.results()[0]
    axis = literal(operand(operation, "axis"))
    parts = [value for user in _users(out) for value in user.results()]
    shapes = tuple(shape_of(value) for value in parts)
    if axis is None or not parts:
        return generic(d, operation)
    arguments = {"self": d.read(x), "split_size": [shape[int(axis)] for shape in shapes], "dim": int(axis)}
    made = d.emit("split_with_sizes", arguments, shapes[0], shapes=shapes)
    for i, (value, shape) in enumerate(zip(parts, shapes, strict=True)):
        d.gives(value, Ref(made.name, i, shape))
    return None


def _users(value: Any) -> list[Any]:
    """The `builtin.split` that takes a list apart."""
    return [user for user in value.all_used_ops() if user.name() == "builtin.split"]


def _slice(d: Description, operation: Any) -> None:
    x, out, attrs = operands(operation)[0], operation.results()[0], operation.attrs()
    starts, ends = (literal(operand(operation, name)) for name in ("starts", "ends"))
    if starts is None or ends is None:
        return generic(d, operation)
    ref, shape = d.read(x), list(shape_of(x))
    for axis, start, end in sorted(zip(attrs["axes"], starts, ends, strict=True), reverse=True):
        first, last, _ = slice(start, end).indices(max(shape[axis], 0))
        if axis in attrs["decrease_axis"]:
            arguments = {"self": ref, "dim": axis, "index": first}
            del shape[axis]
            ref = d.emit("select", arguments, tuple(shape))
        elif (first, last) != (0, shape[axis]):
            shape[axis] = last - first
            arguments = {"self": ref, "dim": axis, "start": first, "end": last, "step": 1}
            ref = d.emit("slice", arguments, tuple(shape))
    d.gives(out, ref if isinstance(ref, Ref) else d.emit("alias", {"self": ref}, tuple(shape)))
    return None


def _expand(d: Description, operation: Any) -> None:
    out = operation.results()[0]
    shape = shape_of(out)
    d.gives(out, d.emit("expand", {"self": d.read(operands(operation)[0]), "size": shape}, shape))


def _reduction(op: str) -> Describe:
    def describe(d: Description, operation: Any) -> None:
        x, out, attrs = operands(operation)[0], operation.results()[0], operation.attrs()
        rank = len(x.shape)
        given = literal(operands(operation)[1]) if len(operands(operation)) > 1 else attrs.get("axis")
        axes = tuple(axis % rank for axis in given) if given else tuple(range(rank))
        keep = bool(attrs.get("keepdim", attrs.get("keep_dim", False)))
        d.gives(out, d.emit(op, {"self": d.read(x), "dim": axes, "keepdim": keep}, shape_of(out)))

    return describe


def _softmax(op: str) -> Describe:
    def describe(d: Description, operation: Any) -> None:
        out = operation.results()[0]
        arguments = {"self": d.read(operands(operation)[0]), "dim": operation.attrs()["axis"]}
        d.gives(out, d.emit(op, arguments, shape_of(out)))

    return describe


def _dropout(d: Description, operation: Any) -> None:
    x, out, attrs = operands(operation)[0], operation.results()[0], operation.attrs()
    p = literal(operand(operation, "p"))
    arguments = {"input": d.read(x), "p": _short(p or 0.0), "train": not attrs["is_test"]}
    d.gives(out, d.emit("dropout", arguments, shape_of(out)))


def _embedding(d: Description, operation: Any) -> None:
    x, weight = operands(operation)
    out = operation.results()[0]
    arguments = {"weight": d.read(weight), "indices": d.read(x), "padding_idx": operation.attrs()["padding_idx"]}
    d.gives(out, d.emit("embedding", arguments, shape_of(out)))


def _pool(d: Description, operation: Any) -> None:
    """Of two or three axes of positions; of one, Paddle has another axis of length 1."""
    x, out, attrs = operands(operation)[0], operation.results()[0], operation.attrs()
    spatial = len(out.shape) - 2
    first = attrs.get("data_format", "NCHW").startswith("NC")
    kernel = literal(operand(operation, "kernel_size")) or list(attrs.get("kernel_size", ()))
    shape, before = shape_of(out), shape_of(x)
    ref = d.read(x)
    if not first:
        before, shape = (channels_first(one) for one in (before, shape))
        ref = d.emit("permute", {"self": ref, "dims": (0, spatial + 1, *range(1, spatial + 1))}, before)
    kind = str(attrs.get("pooling_type", "max"))
    if attrs.get("global_pooling") or attrs.get("adaptive"):
        arguments = {"self": ref, "output_size": shape[2:]}
        made = d.emit(f"adaptive_{kind}_pool{spatial}d", arguments, shape)
    else:
        stride, padding = list(attrs["strides"]), list(attrs["paddings"])
        if attrs.get("padding_algorithm") == "SAME":
            padding = same_padding(before[2:], tuple(kernel), tuple(stride))
        elif len(padding) == 2 * spatial:
            padding = padding[::2]
        arguments = {"self": ref, "kernel_size": tuple(kernel), "stride": tuple(stride), "padding": tuple(padding)}
        arguments |= {"ceil_mode": bool(attrs.get("ceil_mode"))}
        if kind == "avg":
            arguments |= {"count_include_pad": not attrs.get("exclusive", True), "divisor_override": None}
        made = d.emit(f"{kind}_pool{spatial}d", arguments, shape)
    if not first:
        made = d.emit("permute", {"self": made, "dims": (0, *range(2, spatial + 2), 1)}, shape_of(out))
    d.gives(out, made)


def channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(batch, *positions, channels) → (batch, channels, *positions)."""
    return (shape[0], shape[-1], *shape[1:-1])


def same_padding(
    sizes: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...] = ()
) -> list[int]:
    """What "SAME" adds on each side: half of what is added, where the halves differ the smaller."""
    dilation = dilation or (1,) * len(kernel)
    return [
        max((math.ceil(n / s) - 1) * s + (k - 1) * by + 1 - n, 0) // 2
        for n, k, s, by in zip(sizes, kernel, stride, dilation, strict=True)
    ]


def _prelu(d: Description, operation: Any) -> None:
    x, weight = operands(operation)[:2]
    out = operation.results()[0]
    d.gives(out, d.emit("prelu", {"self": d.read(x), "weight": d.read(weight)}, shape_of(out)))


def _gather(d: Description, operation: Any) -> None:
    x, index = operands(operation)[:2]
    out = operation.results()[0]
    given = literal(operands(operation)[2]) if len(operands(operation)) > 2 else operation.attrs().get("dim", 0)
    arguments = {"self": d.read(x), "dim": int(given or 0), "index": d.read(index)}
    d.gives(out, d.emit("index_select", arguments, shape_of(out)))


def _where(d: Description, operation: Any) -> None:
    condition, a, b = (d.read(value) for value in operands(operation))
    out = operation.results()[0]
    d.gives(out, d.emit("where", {"condition": condition, "self": a, "other": b}, shape_of(out)))


def generic(d: Description, operation: Any) -> None:
    """An operation that is in no table: it reads what it reads; no rule predicts it."""
    arguments: dict[str, Any] = {}
    for i, value in enumerate(operands(operation)):
        listed = [d.read(one) for one in members(value)]
        arguments[f"argument_{i}" if i else "self"] = listed[0] if len(listed) == 1 else tuple(listed)
    outs = results(operation)
    if not outs:
        outs = [value for one in operation.results() for user in _users(one) for value in user.results()]
    shapes = tuple(map(shape_of, outs))
    if not outs:
        return
    made = d.emit(operation.name().partition(".")[2].rstrip("_"), arguments, shapes[0], shapes=shapes)
    for i, (value, shape) in enumerate(zip(outs, shapes, strict=True)):
        d.gives(value, Ref(made.name, i, shape))


OPERATIONS: Final[Mapping[str, Describe]] = {
    **{"add": _binary("add"), "subtract": _binary("sub"), "multiply": _binary("mul"), "divide": _binary("div")},
    **{"maximum": _binary("maximum"), "minimum": _binary("minimum"), "scale": _scale},
    **dict.fromkeys(("pow", "elementwise_pow"), _power),
    **dict.fromkeys(("cast", "assign", "share_data", "assign_out", "memcpy_h2d", "memcpy_d2h"), _same),
    **dict.fromkeys(("reshape", "flatten", "squeeze", "unsqueeze"), _view),
    **{"transpose": _transpose, "matmul": _matmul, "bmm": _matmul, "einsum": _einsum},
    **{"concat": _concat, "stack": _stack, "split": _split, "split_with_num": _split, "slice": _slice},
    **dict.fromkeys(("expand", "expand_as"), _expand),
    **{"mean": _reduction("mean"), "sum": _reduction("sum")},
    **{"max": _reduction("amax"), "min": _reduction("amin"), "amax": _reduction("amax"), "amin": _reduction("amin")},
    **{"softmax": _softmax("softmax"), "log_softmax": _softmax("log_softmax"), "dropout": _dropout},
    **dict.fromkeys(("pool2d", "pool3d", "max_pool2d_with_index", "max_pool3d_with_index"), _pool),
    **{"embedding": _embedding, "prelu": _prelu, "where": _where},
    **dict.fromkeys(("gather", "index_select"), _gather),
}
