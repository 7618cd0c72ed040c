"""conv_general_dilated by the axes that it names: a convolution, or, where its input is dilated, a transposed one."""

from __future__ import annotations

from typing import Any

from fanin.frameworks.jax.reading.drafts import NOWHERE, Signal, Stored, Use
from fanin.frameworks.jax.reading.program import Step
from fanin.frameworks.jax.reading.read import Reading
from fanin.frameworks.jax.reading.views import Shape, View, whole
from fanin.graph import Fans, Layout, Ref, Role
from fanin.graph.layout import conv_fans
from fanin.graph.operations import Slot


def conv(reading: Reading, step: Step) -> None:
    """A convolution of the axes that it names; a transposed one is known by its dilated input."""
    p, (x, kernel) = step.params, reading.signals(step)
    dims = p["dimension_numbers"]
    spatial = len(dims.lhs_spec) - 2
    weight = kernel if isinstance(kernel, Stored) and kernel.view is not None else None
    order = _kernel(reading, weight, dims) if weight else None
    if not order or weight is None or not isinstance(x, Signal) or p["batch_group_count"] != 1 or spatial > 3:
        plain = {"input": reading.ref(x, step.outs[0]), "weight": reading.ref(kernel, step.outs[0])}
        reading.made("convolution", plain, step)
        return
    transposed = any(d > 1 for d in p["lhs_dilation"])
    out = step.outs[0]
    _laid_out(reading, weight, order, p, transposed=transposed)
    source = _padded(reading, x.view.transposed(dims.lhs_spec), p, transposed=transposed)
    made = reading.program.types[out].shape
    shape = tuple(made[i] for i in dims.out_spec)
    arguments: dict[str, Any] = {"input": source[0], "weight": Use(weight.path, weight.row), "bias": None}
    arguments |= {"stride": list(p["lhs_dilation"] if transposed else p["window_strides"]), "padding": source[1]}
    arguments |= {"dilation": list(p["rhs_dilation"]), "groups": p["feature_group_count"]}
    op = f"conv_transpose{spatial}d" if transposed else f"conv{spatial}d"
    name = reading.node(op, arguments, shape, out, bias_axis=1, source=step.source)
    back = sorted(range(len(made)), key=lambda i: dims.out_spec[i])
    reading.env[out] = Signal(whole(name, shape).transposed(back))


def _kernel(reading: Reading, weight: Stored, dims: Any) -> Shape | None:
    """The stored axes that are (out, in, *kernel)."""
    assert weight.view is not None
    stored = reading.tensors[weight.path].shape
    view = weight.view.transposed(dims.rhs_spec)
    found: list[int] = []
    for axis, size in zip(view.axes, view.shape, strict=True):
        if len(axis) != 1 or axis[0].size != stored[axis[0].axis] or axis[0].size != size:
            return None
        found.append(axis[0].axis)
    return tuple(found)


def _laid_out(reading: Reading, weight: Stored, order: Shape, p: Any, *, transposed: bool) -> None:
    stored, groups = reading.tensors[weight.path].shape, p["feature_group_count"]
    axes = (order[1], order[0], *order[2:]) if transposed else order  # PyTorch transposed: (in, out, *kernel)
    shape = tuple(stored[a] for a in axes)
    slot = None
    if transposed and groups > 1:  # lax has (in/g, out), PyTorch (in, out/g): no transpose makes one of the other
        whole_shape = (shape[0] * groups, shape[1] // groups, *shape[2:])
        slot = _slot(conv_fans(whole_shape, groups=groups, stride=tuple(p["lhs_dilation"]), transposed=True))
    elif weight.row is not None:
        stride = p["lhs_dilation"] if transposed else p["window_strides"]
        slot = _slot(conv_fans(shape, groups=groups, stride=tuple(stride), transposed=transposed), len(shape) + 1)
    stack = () if weight.row is None else (0,)
    layout = Layout((*stack, *axes), (*(stored[a] for a in stack), *shape))
    reading.layouts.setdefault(weight.path, (layout, slot))


def _slot(fans: Fans, stacked: int = 0) -> Slot:
    """A weight of those fans; of so many axes, where the first counts layers."""
    return Slot(Role.WEIGHT, lambda _, __: fans, stacks=bool(stacked), rank=stacked or 3)


def _padded(reading: Reading, x: View, p: Any, *, transposed: bool) -> tuple[Ref, list[int]]:
    """The input, padded by a step of its own where both ends differ, and the padding of the convolution."""
    source, pads = reading.seen_ref(x), list(p["padding"])
    if transposed:
        return source, [0] * len(pads)
    if all(low == high for low, high in pads):
        return source, [low for low, _ in pads]
    flat = [n for low_high in reversed(pads) for n in low_high]
    shape = (*x.shape[:2], *(n + low + high for n, (low, high) in zip(x.shape[2:], pads, strict=True)))
    name = reading.node(
        "constant_pad_nd",
        {"self": source, "pad": flat, "value": 0},
        shape,
        NOWHERE,
        dtype=reading.dtype_of(source.name),
    )
    return Ref(name, 0, shape), [0] * len(pads)
