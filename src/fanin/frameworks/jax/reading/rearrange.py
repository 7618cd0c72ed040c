"""The same elements in another order, cut, or side by side."""

from __future__ import annotations

from typing import Any

from fanin.frameworks.jax.reading.drafts import NOWHERE, Signal, Stored
from fanin.frameworks.jax.reading.opaque import unknown
from fanin.frameworks.jax.reading.program import Step
from fanin.frameworks.jax.reading.read import Reading
from fanin.frameworks.jax.reading.views import View, whole
from fanin.graph import Ref


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
        reading.env[step.outs[0]] = Stored(
            value.path, View(value.path, value.view.shape[1:], value.view.axes[1:]), row=index
        )
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
    reading.made(
        "constant_pad_nd", {"self": reading.ref(reading.value(step.ins[0]), out), "pad": flat, "value": number}, step
    )
