"""dot_general, conv_general_dilated and gather: where JAX says only axes, what kind of layer it is, and how it is stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any, Final

import numpy as np

from fanin.frameworks.jax.program import Step
from fanin.frameworks.jax.read import NOWHERE, Known, Reading, Signal, Stored, Use, Value
from fanin.frameworks.jax.views import Atom, Axis, Shape, View, whole
from fanin.graph import Fans, Layout, Ref, Role
from fanin.graph.einsum import einsum_fans
from fanin.graph.layout import conv_fans
from fanin.graph.operations import Slot

_EINSUM: Final = "einsum"


def dot_general(reading: Reading, step: Step) -> None:
    """A weight that is contracted over all that it shares with the signal is a linear layer; else a product."""
    (contract, batch), values = step.params["dimension_numbers"], _forced(reading, step)
    if any(isinstance(v, Known) and v.value is not None and not np.any(v.value) for v in values):
        made = reading.program.types[step.outs[0]]
        reading.env[step.outs[0]] = Known(np.zeros(made.shape, made.dtype), made.shape)
        return  # of a state that begins with zeros, nothing comes
    sides = [isinstance(v, Stored) and reading.tensors[v.path].trained for v in values]
    if sides.count(True) == 1 and not batch[0]:
        own = sides.index(True)
        weight, signal = values[own], values[1 - own]
        if isinstance(weight, Stored) and _linear(reading, step, weight, signal, contract[own], contract[1 - own], own):
            return
    if all(isinstance(v, Signal) for v in values):
        _product(reading, step, values, contract, batch)
        return
    _by_equation(reading, step, values, contract, batch)


def _forced(reading: Reading, step: Step) -> list[Value]:
    return [reading.signal(reading.value(o), step.outs[0]) for o in step.ins]


def _linear(
    reading: Reading, step: Step, weight: Stored, signal: Value, ins: Sequence[int], summed: Sequence[int], own: int
) -> bool:
    """y = x Wᵀ over the last axis of x, whatever the order of axes was; False where an axis of the weight is cut."""
    tensor = reading.tensors[weight.path]
    if weight.view is None or not isinstance(signal, Signal):
        return False
    pairs = sorted(zip(summed, ins, strict=True))
    outs = [i for i in range(len(weight.view.shape)) if i not in ins]
    stored_outs = weight.view.order(tensor.shape, outs)
    stored_ins = weight.view.order(tensor.shape, [i for _, i in pairs])
    if stored_outs is None or stored_ins is None:
        return False
    n_out, n_in = (math.prod(tensor.shape[a] for a in axes) for axes in (stored_outs, stored_ins))
    stack = () if weight.row is None else (0,)
    free = [i for i in range(len(signal.view.shape)) if i not in summed]
    ones = tuple(a for a in range(len(tensor.shape)) if a not in {*stack, *stored_outs, *stored_ins})  # of size 1
    logical = (*(tensor.shape[a] for a in stack), n_out, n_in)
    reading.layouts.setdefault(weight.path, (Layout((*stack, *ones, *stored_outs, *stored_ins), logical), None))
    x = signal.view.transposed([*free, *(i for i, _ in pairs)])
    rows = tuple(x.shape[: len(free)])
    out, shape = step.outs[0], (*rows, n_out)
    x = x.reshaped((*rows, n_in)) or x
    name = reading.node(
        "linear",
        {"input": _ref(reading, x), "weight": Use(weight.path, weight.row), "bias": None},
        shape,
        out,
        bias_axis=len(rows),
        source=step.source,
    )
    sizes = [weight.view.shape[i] for i in outs]
    split = _digits(len(rows), sizes)
    axes = [((Atom(i, n, 1),)) for i, n in enumerate(rows)]
    ordered = [*split, *axes] if own == 0 else [*axes, *split]
    reading.env[out] = Signal(View(name, reading.program.types[out].shape, tuple(ordered)))
    return True


def _digits(axis: int, sizes: Sequence[int]) -> list[Axis]:
    """One axis as several, the slowest first."""
    return [(Atom(axis, n, math.prod(sizes[i + 1 :])),) if n > 1 else () for i, n in enumerate(sizes)]


def _ref(reading: Reading, view: View) -> Ref:
    name = reading.seen(view)
    return Ref(name, 0, reading.shape_of(name))


def _product(
    reading: Reading, step: Step, values: Sequence[Value], contract: Sequence[Any], batch: Sequence[Any]
) -> None:
    """Of two signals: (batch, m, k) @ (batch, k, n), as attention is written out."""
    a, b = (v.view for v in values if isinstance(v, Signal))
    if turned := _weighs(reading, b) and not _weighs(reading, a):  # PyTorch has the weights of an attention first
        a, b, contract, batch = b, a, contract[::-1], batch[::-1]
    free = [
        [i for i in range(len(v.shape)) if i not in {*batch[side], *contract[side]}] for side, v in enumerate((a, b))
    ]
    rows = tuple(a.shape[i] for i in batch[0])
    m, n, k = (math.prod(v.shape[i] for i in axes) for v, axes in ((a, free[0]), (b, free[1]), (a, contract[0])))
    left = a.transposed([*batch[0], *free[0], *contract[0]]).reshaped((*rows, m, k))
    right = b.transposed([*batch[1], *contract[1], *free[1]]).reshaped((*rows, k, n))
    if left is None or right is None:
        _by_equation(reading, step, values, contract, batch)
        return
    out, source = step.outs[0], step.source
    arguments = {"self": _ref(reading, left), "other": _ref(reading, right)}
    name = reading.node("matmul", arguments, (*rows, m, n), out, source=source)
    own = [_digits(len(rows) + side, [v.shape[i] for i in free[side]]) for side, v in enumerate((a, b))]
    first, second = reversed(own) if turned else own
    axes = [*((Atom(i, size, 1),) for i, size in enumerate(rows)), *first, *second]
    reading.env[out] = Signal(View(name, reading.program.types[out].shape, tuple(axes)))


def _weighs(reading: Reading, view: View) -> bool:
    """Whether it is what a softmax made, after dropout too."""
    draft = reading.drafts.get(view.source)
    if draft is not None and draft.op == "dropout":
        draft = reading.drafts.get(draft.arguments["input"].name)
    return draft is not None and draft.op == "softmax"


def _by_equation(
    reading: Reading, step: Step, values: Sequence[Value], contract: Sequence[Any], batch: Sequence[Any]
) -> None:
    """Anything else, as an einsum: experts side by side, a weight with a mask, a constant matrix."""
    shapes = [reading.program.type_of(o).shape for o in step.ins]
    letters = iter(ascii_lowercase)
    names: list[dict[int, str]] = [{}, {}]
    for pairs in (batch, contract):
        for i, j in zip(*pairs, strict=True):
            names[0][i] = names[1][j] = next(letters)
    for side, shape in enumerate(shapes):
        for i in range(len(shape)):
            names[side].setdefault(i, next(letters))
    terms = ["".join(own[i] for i in range(len(own))) for own in names]
    result = [names[0][i] for i in batch[0]]
    for side in (0, 1):
        result += [names[side][i] for i in range(len(shapes[side])) if i not in {*batch[side], *contract[side]}]
    equation = f"{terms[0]},{terms[1]}->{''.join(result)}"
    for side, value in enumerate(values):
        if isinstance(value, Stored) and value.view == whole(value.path, reading.tensors[value.path].shape):
            slot = Slot(Role.WEIGHT, _einsum_fans(equation, side, shapes[side]))
            shape = reading.tensors[value.path].shape
            reading.layouts.setdefault(value.path, (Layout(tuple(range(len(shape))), shape), slot))
    tensors = tuple(reading.ref(v, step.outs[0]) for v in values)
    reading.made(_EINSUM, {"equation": equation, "tensors": tensors}, step)


def _einsum_fans(equation: str, position: int, shape: Shape) -> Any:
    return lambda _, __: einsum_fans(equation, position, shape)


def conv(reading: Reading, step: Step) -> None:
    """conv_general_dilated by the axes that it names; one whose input is dilated is PyTorch's transposed convolution."""
    p, (x, kernel) = step.params, _forced(reading, step)
    dims = p["dimension_numbers"]
    spatial = len(dims.lhs_spec) - 2
    weight = kernel if isinstance(kernel, Stored) and kernel.view is not None else None
    order = weight and weight.view and weight.view.order(weight.view.shape, ()) is not None and _kernel(reading, weight, dims)
    if not order or weight is None or not isinstance(x, Signal) or p["batch_group_count"] != 1 or spatial > 3:
        arguments = {"input": reading.ref(x, step.outs[0]), "weight": reading.ref(kernel, step.outs[0])}
        reading.made("convolution", arguments, step)
        return
    transposed = any(d > 1 for d in p["lhs_dilation"])
    out = step.outs[0]
    _laid_out(reading, weight, order, p, transposed=transposed)
    source = _padded(reading, x.view.transposed(dims.lhs_spec), p, transposed=transposed)
    made = reading.program.types[out].shape
    shape = tuple(made[i] for i in dims.out_spec)
    arguments: dict[str, Any] = {"input": source[0], "weight": Use(weight.path), "bias": None}
    arguments |= {"stride": list(p["lhs_dilation"] if transposed else p["window_strides"]), "padding": source[1]}
    arguments |= {"dilation": list(p["rhs_dilation"]), "groups": p["feature_group_count"]}
    op = f"conv_transpose{spatial}d" if transposed else f"conv{spatial}d"
    place = step.source
    name = reading.node(op, arguments, shape, out, bias_axis=1, source=place)
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
    stored = reading.tensors[weight.path].shape
    groups = p["feature_group_count"]
    if not transposed:
        layout = Layout(order, tuple(stored[a] for a in order))
        reading.layouts.setdefault(weight.path, (layout, None))
        return
    swapped = (order[1], order[0], *order[2:])  # PyTorch has (in, out, *kernel)
    shape = tuple(stored[a] for a in swapped)
    fans: Fans | None = None
    if groups > 1:  # lax has (in/g, out), PyTorch (in, out/g): no transpose makes one of the other
        fans = conv_fans((shape[0] * groups, shape[1] // groups, *shape[2:]), groups=groups, stride=tuple(p["lhs_dilation"]), transposed=True)
    slot = Slot(Role.WEIGHT, lambda _, __: fans) if fans else None
    reading.layouts.setdefault(weight.path, (Layout(swapped, shape), slot))


def _padded(reading: Reading, x: View, p: Any, *, transposed: bool) -> tuple[Ref, list[int]]:
    """The input, padded by a step of its own where both ends differ, and the padding of the convolution."""
    source, pads = _ref(reading, x), list(p["padding"])
    if transposed:
        return source, [0] * len(pads)
    if all(low == high for low, high in pads):
        return source, [low for low, _ in pads]
    flat = [n for low_high in reversed(pads) for n in low_high]
    shape = (*x.shape[:2], *(n + low + high for n, (low, high) in zip(x.shape[2:], pads, strict=True)))
    name = reading.node("constant_pad_nd", {"self": source, "pad": flat, "value": 0}, shape, NOWHERE, dtype=reading.dtype_of(source.name))
    return Ref(name, 0, shape), [0] * len(pads)


def gather(reading: Reading, step: Step) -> None:
    """Rows of a table by their numbers are an embedding."""
    table, indices = _forced(reading, step)
    rows = _rows(reading, step, table, indices)
    out = step.outs[0]
    if rows is None or not isinstance(table, Stored):
        arguments = {"self": reading.ref(table, out), "index": reading.ref(indices, out)}
        reading.made("gather", arguments, step)
        return
    tensor = reading.tensors[table.path]
    reading.layouts.setdefault(table.path, (Layout((0, 1), tensor.shape), None))
    made = reading.program.types[out].shape
    shape = (*made[: len(made) - len(step.params["dimension_numbers"].offset_dims)], tensor.shape[1])
    which: Any = reading.ref(rows, out)
    if isinstance(rows, Signal):
        which = _ref(reading, rows.view.reshaped(shape[:-1]) or rows.view)
    arguments = {"weight": Use(table.path), "indices": which, "padding_idx": -1}
    name = reading.node("embedding", arguments, shape, out, source=step.source)
    reading.env[out] = Signal(whole(name, shape).reshaped(made) or whole(name, shape))


def _rows(reading: Reading, step: Step, table: Value, indices: Value) -> Value | None:
    """The numbers of the rows that are taken whole from a matrix of the model's; None for any other gather."""
    p, dims = step.params, step.params["dimension_numbers"]
    if not isinstance(table, Stored) or not reading.tensors[table.path].trained or table.view is None:
        return None
    stored, result = reading.tensors[table.path].shape, len(reading.program.types[step.outs[0]].shape)
    last = tuple(range(result - len(dims.offset_dims), result))
    plain = table.view == whole(table.path, stored) and len(stored) == 2 and not dims.operand_batching_dims
    if not plain or tuple(p["slice_sizes"]) != (1, stored[1]) or tuple(dims.offset_dims) != last:
        return None
    if tuple(dims.start_index_map) == (0,):
        return indices
    joined = reading.joined.get(step.ins[1]) if isinstance(step.ins[1], int) else None  # (row, 0), as x[i] is indexed
    return joined[dims.start_index_map.index(0)] if joined and 0 in dims.start_index_map else None
