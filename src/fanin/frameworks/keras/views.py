"""Operations of `keras.ops` that move elements: reshapes, transposes, slices, joins and padding."""

from __future__ import annotations

from fanin.frameworks.keras.describe import Description, channels_first, generic
from fanin.frameworks.keras.record import Recorded
from fanin.graph import Ref


def same(d: Description, call: Recorded) -> None:
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


def reshape(d: Description, call: Recorded) -> None:
    """The same elements, in row-major order."""
    shape = tuple(call.outputs[0].shape)
    d.gives(call.outputs[0], d.emit("view", {"self": d.last(call.args[0]), "size": shape}, shape))


def transpose(d: Description, call: Recorded) -> None:
    """All axes in another order."""
    out = call.outputs[0]
    dims = call.what.axes or tuple(range(len(out.shape)))[::-1]
    shape = tuple(out.shape)
    d.gives(out, d.emit("permute", {"self": d.last(call.args[0]), "dims": tuple(dims)}, shape))


def swapaxes(d: Description, call: Recorded) -> None:
    """Two axes change places."""
    out = call.outputs[0]
    arguments = {"self": d.last(call.args[0]), "dim0": call.what.axis1, "dim1": call.what.axis2}
    d.gives(out, d.emit("transpose", arguments, tuple(out.shape)))


def concatenate(d: Description, call: Recorded) -> None:
    """Side by side along one axis."""
    parts, out = tuple(call.args[0]), call.outputs[0]
    rank = len(out.shape)
    axis = call.what.axis % rank
    first = rank > 2 and all(d.has_first(x) for x in parts)
    dim = moved(axis, rank) if first else axis
    refs = tuple(d.first(x) if first else d.last(x) for x in parts)
    shape = tuple(out.shape)
    d.gives(out, d.emit("cat", {"tensors": refs, "dim": dim}, channels_first(shape) if first else shape), first=first)


def moved(axis: int, rank: int) -> int:
    """Where an axis is once the channels are first."""
    return 1 if axis == rank - 1 else axis + 1 if axis else 0


def expand_dims(d: Description, call: Recorded) -> None:
    """A new axis of length 1."""
    if not isinstance(call.what.axis, int):
        return generic(d, call)
    out = call.outputs[0]
    arguments = {"self": d.last(call.args[0]), "dim": call.what.axis}
    d.gives(out, d.emit("unsqueeze", arguments, tuple(out.shape)))
    return None


def squeeze(d: Description, call: Recorded) -> None:
    """Without axes of length 1."""
    out = call.outputs[0]
    d.gives(out, d.emit("squeeze", {"self": d.last(call.args[0])}, tuple(out.shape)))


def get_item(d: Description, call: Recorded) -> None:
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


def split(d: Description, call: Recorded) -> None:
    """In pieces along one axis."""
    x, outs = call.args[0], call.outputs
    axis = call.what.axis % len(x.shape)
    shapes = tuple(tuple(map(int, out.shape)) for out in outs)
    arguments = {"self": d.last(x), "split_size": [shape[axis] for shape in shapes], "dim": axis}
    made = d.emit("split_with_sizes", arguments, shapes[0], shapes=shapes)
    for i, (out, shape) in enumerate(zip(outs, shapes, strict=True)):
        d.gives(out, Ref(made.name, i, shape))


def pad(d: Description, call: Recorded) -> None:
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
