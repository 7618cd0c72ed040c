"""READERS: what each primitive of JAX is, in PyTorch's words. To teach one: a function, and a line here.

What is not here stands in the graph under its own name, as a step that fanin has no rule for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from fanin.frameworks.jax.contract import conv, dot_general, gather
from fanin.frameworks.jax.marks import marked
from fanin.frameworks.jax.program import ELEMENTWISE, Step
from fanin.frameworks.jax.read import NOWHERE, Draft, Known, Reader, Reading, Signal, Stored, Use, Value, spelled
from fanin.frameworks.jax.views import Shape, View, whole
from fanin.graph import Layout, Ref


def unknown(reading: Reading, step: Step) -> None:
    """A step without a rule of its own: its arguments in order."""
    values = [reading.value(o) for o in step.ins]
    arguments = {f"arg{i}": reading.ref(v, step.outs[0]) for i, v in enumerate(values)}
    shapes = tuple(reading.program.types[o].shape for o in step.outs)
    name = reading.node(step.primitive, arguments, shapes[0], step.outs[0], source=step.source)
    for i, (out, shape) in enumerate(zip(step.outs, shapes, strict=True)):
        made = name if i == 0 else reading.node("getitem", {"self": Ref(name, i, shape), "index": i}, shape, out)
        reading.env[out] = Signal(whole(made, shape))
    reading.opaque[name] = step.primitive


# ---- the same elements in another order


def _viewed(reading: Reading, step: Step, see: Any) -> None:
    """A view of a signal or a parameter; a step of its own where axes are cut."""
    value, out = reading.signal(reading.value(step.ins[0]), step.outs[0]), step.outs[0]
    shape = reading.program.types[out].shape
    if isinstance(value, Signal):
        view = see(value.view)
        if view is not None:
            reading.env[out] = Signal(view)
            return
        source = reading.seen(value.view)
        reading.made("view", {"self": Ref(source, 0, reading.shape_of(source)), "size": shape}, step)
    elif isinstance(value, Stored):
        view = see(value.view) if value.view is not None else None
        reading.env[out] = replace_view(value, view)
        if view is None:
            reading.made("view", {"self": reading.ref(value, out), "size": shape}, step)
    else:
        unknown(reading, step)


def replace_view(value: Stored, view: View | None) -> Stored:
    """The same parameter, seen otherwise."""
    return Stored(value.path, view, value.turned, value.row)


def transpose(reading: Reading, step: Step) -> None:
    """`permute`."""
    _viewed(reading, step, lambda view: view.transposed(step.params["permutation"]))


def reshape(reading: Reading, step: Step) -> None:
    """`view`; squeeze and expand_dims likewise."""
    shape = reading.program.types[step.outs[0]].shape
    _viewed(reading, step, lambda view: view.reshaped(shape))


def broadcast(reading: Reading, step: Step) -> None:
    """`expand`."""
    shape, at = step.params["shape"], [int(i) for i in step.params["broadcast_dimensions"]]
    _viewed(reading, step, lambda view: view.broadcast(shape, at))


def turned(reading: Reading, step: Step) -> None:
    """rev: of a kernel it is how a transposed convolution is written."""
    value, out = reading.signal(reading.value(step.ins[0]), step.outs[0]), step.outs[0]
    if isinstance(value, Stored) and value.view is not None:
        reading.env[out] = Stored(value.path, value.view, tuple(step.params["dimensions"]))
    else:
        reading.made("flip", {"self": reading.ref(value, out), "dims": list(step.params["dimensions"])}, step)


def same(reading: Reading, step: Step) -> None:
    """What changes no number that counts here: another dtype, a name, a placement."""
    for source, out in zip(step.ins, step.outs, strict=False):
        reading.env[out] = reading.value(source)


# ---- elementwise


def elementwise(reading: Reading, step: Step) -> None:
    """Of several signals, or with parameters."""
    out = step.outs[0]
    values = [reading.signal(reading.value(o), out) for o in step.ins]
    if step.primitive in {"convert_element_type", "reduce_precision", "copy"}:
        reading.env[out] = values[0]
    elif step.primitive == "add" and _biased(reading, step, values):
        return
    elif step.primitive == "div" and _softmax(reading, step, values):
        return
    elif step.primitive == "sub" and _log_softmax(reading, step, values):
        return
    elif (views := _in_step(reading, values)) is not None:
        _in_own_order(reading, step, values, views)
    else:
        op, arguments = spelled(step, [_aligned(reading, v, out) for v in values])
        reading.made(op, arguments, step)


def _in_step(reading: Reading, values: Sequence[Value]) -> View | None:
    """The view that all signals share, so that the operation can be said of what they are views of."""
    views = [v.view for v in values if isinstance(v, Signal)]
    plain = all(isinstance(v, Signal) or (isinstance(v, Known) and np.size(v.value) == 1) for v in values)
    if not plain or not views or views[0].repeats:
        return None
    alike = all(
        v.axes == views[0].axes and reading.shape_of(v.source) == reading.shape_of(views[0].source) for v in views
    )
    return views[0] if alike else None


def _in_own_order(reading: Reading, step: Step, values: Sequence[Value], view: View) -> None:
    shape, out = reading.shape_of(view.source), step.outs[0]
    args = [Ref(v.view.source, 0, shape) if isinstance(v, Signal) else reading.ref(v, out) for v in values]
    op, arguments = spelled(step, args)
    name = reading.node(op, arguments, shape, out, source=step.source)
    reading.env[out] = Signal(view.of(name))


def _aligned(reading: Reading, value: Value, number: int) -> Any:
    """A parameter as the operation broadcasts it: a step of its own where its axes are not the last."""
    if not isinstance(value, Stored) or value.view is None:
        return reading.ref(value, number)
    stored, shape = reading.tensors[value.path].shape, value.view.shape
    seen = tuple(1 if not axis else n for axis, n in zip(value.view.axes, shape, strict=True))
    if seen[len(seen) - len(stored) :] == stored and set(seen[: len(seen) - len(stored)]) <= {1}:
        return reading.ref(value, number)
    name = reading.node("view", {"self": reading.ref(value, number), "size": seen}, seen, NOWHERE)
    return Ref(name, 0, seen)


def _biased(reading: Reading, step: Step, values: Sequence[Value]) -> bool:
    """A vector that is added along the outputs of the layer before it is its bias."""
    for x, b in (values, values[::-1]):
        if not (isinstance(x, Signal) and isinstance(b, Stored) and b.view and reading.tensors[b.path].trained):
            continue
        draft = reading.drafts.get(x.view.source)
        source = step.ins[0 if x is values[0] else 1]
        if draft is None or draft.bias_axis is None or not isinstance(source, int) or reading.uses[source] > 1:
            continue
        order = _bias_order(reading, x.view, b, draft)
        if order is not None:
            size = draft.shape[draft.bias_axis]
            stack = () if b.row is None else (reading.tensors[b.path].shape[0],)
            reading.layouts.setdefault(b.path, (Layout(order, (*stack, size)), None))
            draft.arguments["bias"], draft.bias_axis, draft.value = Use(b.path, b.row), None, step.outs[0]
            reading.env[step.outs[0]] = x
            return True
    return False


def _bias_order(reading: Reading, x: View, b: Stored, draft: Draft) -> Shape | None:
    """The stored axes of the bias in the order of the layer's outputs; None if it does not lie along them."""
    assert b.view is not None
    stored = reading.tensors[b.path].shape
    found: list[tuple[int, int]] = []
    for own, other, size in zip(x.axes, b.view.axes, x.shape, strict=True):
        of_outputs = [a for a in own if a.axis == draft.bias_axis and a.size > 1]
        if len(of_outputs) != len([a for a in own if a.size > 1]) and of_outputs:
            return None
        others = [a for a in other if a.size > 1]
        if not of_outputs and not others:
            continue
        if len(of_outputs) != 1 or len(others) != 1 or others[0].size != size or others[0].size != stored[others[0].axis]:
            return None
        found.append((-of_outputs[0].inner, others[0].axis))
    axes = tuple(axis for _, axis in sorted(found))
    stack = () if b.row is None else (0,)
    ones = tuple(a for a in range(len(stored)) if a not in {*stack, *axes})
    complete = math.prod(stored[len(stack) :]) == draft.shape[draft.bias_axis or 0] if draft.bias_axis is not None else False
    return (*stack, *ones, *axes) if complete else None


# ---- softmax


def _softmax(reading: Reading, step: Step, values: Sequence[Value]) -> bool:
    """exp over its own sum is a softmax, which JAX writes out."""
    a, b = values
    draft = reading.drafts.get(a.view.source) if isinstance(a, Signal) else None
    if draft is None or not isinstance(a, Signal):
        return False
    total = reading.drafts.get(b.view.source) if isinstance(b, Signal) else None
    if draft.op == "exp" and total and total.op == "sum" and total.arguments["self"].name == draft.name:
        scores = _less_the_largest(reading, draft)
        (dim,) = total.arguments["dim"] if len(total.arguments["dim"]) == 1 else (None,)
        if scores is not None and dim is not None:
            name = reading.node("softmax", {"self": scores, "dim": dim}, draft.shape, step.outs[0], source=draft.source)
            reading.env[step.outs[0]] = Signal(a.view.of(name))
            return True
    return False


def _log_softmax(reading: Reading, step: Step, values: Sequence[Value]) -> bool:
    """x − log Σ eˣ."""
    a, b = values
    if not (isinstance(a, Signal) and isinstance(b, Signal)):
        return False
    log = reading.drafts.get(b.view.source)
    total = reading.drafts.get(log.arguments["self"].name) if log and log.op == "log" else None
    exp = reading.drafts.get(total.arguments["self"].name) if total and total.op == "sum" else None
    if exp is None or total is None or exp.op != "exp" or exp.arguments["self"].name != a.view.source:
        return False
    scores = _less_the_largest(reading, exp)
    if scores is None or len(total.arguments["dim"]) != 1:
        return False
    arguments = {"self": scores, "dim": total.arguments["dim"][0]}
    name = reading.node("log_softmax", arguments, exp.shape, step.outs[0], source=exp.source)
    reading.env[step.outs[0]] = Signal(a.view.of(name))
    return True


def _less_the_largest(reading: Reading, exp: Draft) -> Ref | None:
    """What the softmax is of: its largest is subtracted first, which changes nothing."""
    inner = reading.drafts.get(exp.arguments["self"].name)
    if inner is None:
        return exp.arguments["self"]
    if inner.op == "sub" and isinstance(inner.arguments["other"], Ref):
        pending, seen = [inner.arguments["other"].name], 0
        while pending and seen < 8:
            seen += 1
            draft = reading.drafts.get(pending.pop())
            if draft is None:
                return None
            if draft.op == "amax":
                return inner.arguments["self"]
            pending.extend(a.name for a in draft.arguments.values() if isinstance(a, Ref))
        return None
    return exp.arguments["self"]


# ---- reductions, joins and cuts


def reduced(op: str) -> Reader:
    """Over axes, which it drops."""

    def read(reading: Reading, step: Step) -> None:
        axes = [int(i) for i in step.params["axes"]]
        value = reading.signal(reading.value(step.ins[0]), step.outs[0])
        if isinstance(value, Signal) and (own := _own_axes(reading, value.view, axes)) is not None:
            shape = reading.shape_of(value.view.source)
            left = [i for i in range(len(shape)) if i not in own]
            name = reading.node(
                op,
                {"self": Ref(value.view.source, 0, shape), "dim": sorted(own), "keepdim": False},
                tuple(shape[i] for i in left),
                step.outs[0],
                source=step.source,
            )
            order = [value.view.axes[i][0].axis for i in range(len(value.view.shape)) if i not in axes]
            result = whole(name, tuple(shape[i] for i in left)).transposed([left.index(i) for i in order])
            reading.env[step.outs[0]] = Signal(result)
            return
        arguments = {"self": reading.ref(value, step.outs[0]), "dim": axes, "keepdim": False}
        reading.made(op, arguments, step)

    return read


def _own_axes(reading: Reading, view: View, axes: Sequence[int]) -> list[int] | None:
    """The axes of the source that these axes of a plain transpose are; None for any other view."""
    shape = reading.shape_of(view.source)
    if len(view.axes) != len(shape) or any(len(a) != 1 or a[0].size != shape[a[0].axis] for a in view.axes):
        return None
    if len({a[0].axis for a in view.axes}) != len(shape):
        return None
    return [view.axes[i][0].axis for i in axes]


def concatenate(reading: Reading, step: Step) -> None:
    """`cat`."""
    reading.joined[step.outs[0]] = [reading.signal(reading.value(o), step.outs[0]) for o in step.ins]
    tensors = tuple(reading.ref(v, step.outs[0]) for v in reading.joined[step.outs[0]])
    reading.made("cat", {"tensors": tensors, "dim": step.params["dimension"]}, step)


def stack(reading: Reading, step: Step) -> None:
    """The results of an unrolled loop."""
    tensors = tuple(reading.ref(reading.value(o), step.outs[0]) for o in step.ins)
    reading.made("stack", {"tensors": tensors, "dim": 0}, step)


def row(reading: Reading, step: Step) -> None:
    """One iteration's part of what a loop runs over."""
    value, index = reading.signal(reading.value(step.ins[0]), step.outs[0]), step.params["index"]
    if isinstance(value, Stored) and value.view == whole(value.path, reading.tensors[value.path].shape):
        reading.env[step.outs[0]] = Stored(value.path, View(value.path, value.view.shape[1:], value.view.axes[1:]), row=index)
        return
    reading.made("select", {"self": reading.ref(value, step.outs[0]), "dim": 0, "index": index}, step)


def sliced(reading: Reading, step: Step) -> None:
    """Axis by axis, as PyTorch cuts."""
    p, out = step.params, step.outs[0]
    before = reading.program.type_of(step.ins[0]).shape
    strides = p["strides"] or (1,) * len(before)
    cut = [i for i, n in enumerate(before) if (p["start_indices"][i], p["limit_indices"][i], strides[i]) != (0, n, 1)]
    value = reading.value(step.ins[0])
    if not cut:
        reading.env[out] = value
        return
    source, shape = reading.ref(value, out), list(before)
    for i in cut:
        start, end, stride = p["start_indices"][i], p["limit_indices"][i], strides[i]
        shape[i] = -(-(end - start) // stride)
        arguments = {"self": source, "dim": i, "start": start, "end": end, "step": stride}
        at = out if i == cut[-1] else NOWHERE
        name = reading.node("slice", arguments, tuple(shape), at, source=step.source)
        source = Ref(name, 0, tuple(shape))
    reading.env[out] = Signal(whole(source.name, tuple(shape)))


def split(reading: Reading, step: Step) -> None:
    """Into parts side by side."""
    p, value = step.params, reading.value(step.ins[0])
    shapes = tuple(reading.program.types[o].shape for o in step.outs)
    arguments = {"self": reading.ref(value, step.outs[0]), "split_sizes": list(p["sizes"]), "dim": p["axis"]}
    name = reading.node("split_with_sizes", arguments, shapes[0], step.outs[0], source=step.source)
    for i, (out, shape) in enumerate(zip(step.outs, shapes, strict=True)):
        part = reading.node("getitem", {"self": Ref(name, i, shape), "index": i}, shape, out)
        reading.env[out] = Signal(whole(part, shape))


def pad(reading: Reading, step: Step) -> None:
    """With a number, outside only."""
    config, out = step.params["padding_config"], step.outs[0]
    if any(inner for _, _, inner in config):
        unknown(reading, step)
        return
    flat = [int(n) for low, high, _ in reversed(config) for n in (low, high)]
    number = reading.ref(reading.value(step.ins[1]), out)
    reading.made("constant_pad_nd", {"self": reading.ref(reading.value(step.ins[0]), out), "pad": flat, "value": number}, step)


def pooled(op: str) -> Reader:
    """A window that moves over the axes behind the channels, as PyTorch has them."""

    def read(reading: Reading, step: Step) -> None:
        p, out = step.params, step.outs[0]
        value = reading.signal(reading.value(step.ins[0]), out)
        window, strides, pads = p["window_dimensions"], p["window_strides"], p["padding"]
        moving = [i for i, (n, s) in enumerate(zip(window, strides, strict=True)) if n > 1 or s > 1]
        even = all(low == high for low, high in pads) and all(d == 1 for d in (*p["base_dilation"], *p["window_dilation"]))
        if not isinstance(value, Signal) or not 1 <= len(moving) <= 3 or not even or len(window) <= len(moving):
            unknown(reading, step)
            return
        still = [i for i in range(len(window)) if i not in moving]
        sizes = [value.view.shape[i] for i in still]
        view = value.view.transposed([*still, *moving])
        lead = (math.prod(sizes[:-1]), sizes[-1])  # batch and channels, of which vmap makes several axes
        name = reading.seen(view.reshaped((*lead, *view.shape[len(still) :])) or view)
        made = reading.program.types[out].shape
        shape = (*lead, *(made[i] for i in moving))
        arguments = {"self": Ref(name, 0, reading.shape_of(name)), "kernel_size": [int(window[i]) for i in moving]}
        arguments |= {"stride": [int(strides[i]) for i in moving], "padding": [int(pads[i][0]) for i in moving]}
        if op.startswith("avg"):  # JAX sums; what divides by the number of elements comes after
            arguments["divisor_override"] = 1
        node = reading.node(op.format(len(moving)), arguments, shape, out, source=step.source)
        split = whole(node, shape).reshaped(tuple(made[i] for i in (*still, *moving)))
        back = sorted(range(len(made)), key=[*still, *moving].__getitem__)
        assert split is not None  # the first axis is cut along the lines along which it was joined
        reading.env[out] = Signal(split.transposed(back))

    return read


def chosen(op: str) -> Reader:
    """argmax, cumsum and the like: along one axis."""

    def read(reading: Reading, step: Step) -> None:
        axes = step.params.get("axes", (step.params.get("axis", 0),))
        reading.made(op, {"self": reading.ref(reading.value(step.ins[0]), step.outs[0]), "dim": int(axes[0])}, step)

    return read


READERS: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(("custom_jvp_call", "custom_vjp_call"), unknown),
    "transpose": transpose,
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), reshape),
    "broadcast_in_dim": broadcast,
    "rev": turned,
    **dict.fromkeys(("name", "sharding_constraint", "optimization_barrier", "device_put", "pvary", "copy_p"), same),
    "dot_general": dot_general,
    "conv_general_dilated": conv,
    "gather": gather,
    "reduce_sum": reduced("sum"),
    "reduce_max": reduced("amax"),
    "reduce_min": reduced("amin"),
    "reduce_window_max": pooled("max_pool{}d"),
    "reduce_window_sum": pooled("avg_pool{}d"),
    "concatenate": concatenate,
    "stack": stack,
    "row": row,
    "slice": sliced,
    "split": split,
    "pad": pad,
    **{name: chosen(name) for name in ("argmax", "argmin", "cumsum", "cumprod", "cummax", "cumlogsumexp")},
    "mark": marked,
}
