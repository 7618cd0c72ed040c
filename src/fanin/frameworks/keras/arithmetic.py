"""Operations of `keras.ops` that compute: sums and products of signals, reductions, softmax, attention."""

from __future__ import annotations

from typing import Any

from fanin.frameworks.keras.describe import Describe, Description, channels_first, generic
from fanin.frameworks.keras.record import Recorded
from fanin.frameworks.keras.views import moved
from fanin.graph import Held, Ref


def binary(op: str) -> Describe:
    """A sum, a product and the like of two signals, or of one and a number or a parameter."""

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


def reduction(op: str) -> Describe:
    """A mean, a sum and the like over some axes."""

    def describe(d: Description, call: Recorded) -> None:
        x, out = call.args[0], call.outputs[0]
        rank = len(x.shape)
        axes = call.what.axis
        axes = tuple(range(rank)) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
        axes = tuple(axis % rank for axis in axes)
        keep = bool(call.what.keepdims)
        over_positions = d.has_first(x) and set(axes) <= set(range(1, rank - 1))
        if over_positions:
            axes = tuple(moved(axis, rank) for axis in axes)
        arguments = {"self": d.first(x) if over_positions else d.last(x), "dim": axes, "keepdim": keep}
        first = over_positions and keep
        shape = tuple(out.shape)
        made = d.emit(op, arguments, channels_first(shape) if first else shape)
        d.gives(out, made, first=first)

    return describe


def softmax(op: str) -> Describe:
    """Over one axis."""

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


def matmul(d: Description, call: Recorded) -> None:
    """Of two signals; with a matrix of the user's own it is a linear layer."""
    a, b = call.args[:2]
    out = call.outputs[0]
    right = d.other(b) if not d.is_signal(b) else None
    if d.is_signal(a) and isinstance(right, Held) and len(right.shape) == 2:  # x @ W, of a layer of the user's
        d.gives(out, d.emit("linear", {"input": d.last(a), "weight": right}, tuple(out.shape)))
    else:
        d.gives(out, d.emit("matmul", {"self": d.last(a), "other": d.last(b)}, tuple(out.shape)))


def einsum(d: Description, call: Recorded) -> None:
    """Of signals; with a parameter it is read as an unknown operation."""
    out = call.outputs[0]
    if any(isinstance(d.last(x), Held) for x in call.args):
        return generic(d, call)
    tensors = tuple(d.last(x) for x in call.args)
    arguments = {"equation": call.what.subscripts, "tensors": tensors}
    d.gives(out, d.emit("einsum", arguments, tuple(out.shape)))
    return None


def attention(d: Description, call: Recorded) -> None:
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


def power(d: Description, call: Recorded) -> None:
    """X to a power."""
    a, b = call.args[:2]
    out = call.outputs[0]
    d.gives(out, d.emit("pow", {"self": d.last(a), "exponent": d.last(b)}, tuple(out.shape)))
