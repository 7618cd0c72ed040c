"""Moving, repeating, padding and interpolating along axes: what is copied is alike, what is padded is 0."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fanin.signals.axes import Axes, Kind, axis, kinds_of, size_of
from fanin.signals.distribution import Root
from fanin.signals.flow import Gradient
from fanin.signals.gradient import total
from fanin.signals.latent import Array
from fanin.signals.rules import embedding
from fanin.signals.rules.convolution import as_image
from fanin.signals.rules.maps import Map
from fanin.signals.state import State
from fanin.signals.values import Call, Constant, NoRule, Outcome, Weight

Indices: TypeAlias = NDArray[Any]  # which entry each one is; below 0: none


def _outcome(call: Call, found: Map) -> Outcome:
    return Outcome((found.state,), lambda g: iter([(call.first, found.back(g[0]))]))


def _by_axis(call: Call, x: State, read: dict[int, Indices]) -> Outcome:
    """Entry o of an axis is entry `read[axis][o]`, or 0 where that is negative; axis after axis where kinds differ."""
    matrices = {at: _selection(which, size_of(x.axes[at])) for at, which in read.items()}
    groups: dict[Any, dict[int, Array]] = {}
    for at, matrix in matrices.items():
        groups.setdefault(tuple(kinds_of(x.axes[at])) or (Kind.POSITION,), {})[at] = matrix
    maps: list[Map] = []
    for group in groups.values():
        maps.append(Map(maps[-1].state if maps else x, group))

    def back(gradient: Gradient) -> Gradient:
        for one in reversed(maps):
            gradient = one.back(gradient)
        return gradient

    return Outcome((maps[-1].state if maps else x,), lambda g: iter([(call.first, back(g[0]))]))


def _selection(read: Indices, size: int) -> Array:
    matrix = np.zeros((len(read), size))
    rows = np.flatnonzero(read >= 0)
    matrix[rows, read[rows].astype(int)] = 1.0
    return matrix


def reordered(call: Call) -> Outcome:
    """`flip`, `roll`, `rot90`: the same entries in another order, of another latent at each place."""
    x = call.state(call.first)
    moved = replace(x.pooled() if len(x.sizes) > 1 else x, root=Root(), profile=None)
    rows = len(x.sizes)

    def back(gradient: Gradient) -> Gradient:
        seen = total(gradient, moved)
        parts = (seen.second, seen.across_positions, seen.across_samples)
        return seen.become(*(m if len(m) == rows else np.full(rows, moved.average(m)) for m in parts)).flow()

    return Outcome((moved,), lambda g: iter([(call.first, back(g[0]))]))


_PADS: Final = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(call: Call) -> Outcome:
    """`pad` and its kin: of zeros q shrinks by the share that is new; of copies it does not."""
    x = call.state(call.first)
    mode = call.get("mode", next((m for m in ("reflect", "replicate") if m in call.node.op), "constant"))
    value = call.get("value", 0.0) or 0.0
    widths = call["pad"] if call["pad"] is not None else call["padding"]
    if mode == "constant" and value:
        raise NoRule("it pads with numbers other than 0")
    if len(x.axes) >= 3 and mode != "constant" and len(x.axes) == len(widths) // 2 + 2:
        x = as_image(x)
    read = {}
    for at, (low, high) in enumerate(zip(widths[::2], widths[1::2], strict=True), start=1):
        if low or high:
            size = size_of(x.axes[-at])
            read[len(x.axes) - at] = _padded(size, low, high, mode)
    return _by_axis(call, x, read)


def _padded(size: int, low: int, high: int, mode: str) -> Indices:
    inner = np.arange(size)
    cut = inner[max(-low, 0) : size - max(-high, 0)]  # negative widths cut
    wide = (max(low, 0), max(high, 0))
    if mode == "constant":
        return np.pad(cut, wide, constant_values=-1)
    return np.pad(cut, wide, mode=_PADS[mode])  # type: ignore[call-overload,no-any-return]


def upsample_nearest(call: Call) -> Outcome:
    """`upsample_nearest1d` … `3d`: entry o is a copy of ⌊o · in/out⌋; back the sum over the copies."""
    x = as_image(call.state(call.first))
    exact = 0.5 if "exact" in call.node.op else 0.0
    read = {}
    for at in range(2, len(x.axes)):
        size, n = size_of(x.axes[at]), call.node.shape[at]
        read[at] = np.minimum(np.floor((np.arange(n) + exact) * size / n), size - 1)
    return _by_axis(call, x, read)


def upsample_linear(call: Call) -> Outcome:
    """`upsample_linear1d`, `upsample_bilinear2d`, `upsample_trilinear3d`: two neighbours, weighed by their distance."""
    x = as_image(call.state(call.first))
    corners = bool(call.get("align_corners", False))
    factors = call.get("scale_factors", ())
    matrices = {}
    for at in range(2, len(x.axes)):
        size, n = size_of(x.axes[at]), call.node.shape[at]
        scale = 1 / factors[at - 2] if len(factors) > at - 2 else size / n
        matrices[at] = _linear(size, n, scale, corners)
    return _outcome(call, Map(x, matrices))


def _linear(size: int, n: int, scale: float, corners: bool) -> Array:
    o = np.arange(n)
    at = o * (size - 1) / max(n - 1, 1) if corners else np.maximum((o + 0.5) * scale - 0.5, 0.0)
    low = np.minimum(np.floor(at), size - 1).astype(int)
    high = np.minimum(low + 1, size - 1)
    matrix = np.zeros((n, size))
    np.add.at(matrix, (o, low), 1 - (at - low))
    np.add.at(matrix, (o, high), at - low)
    return matrix


def pixel_shuffle(call: Call) -> Outcome:
    """`pixel_shuffle`: r² features of one position become one feature of r² positions, and these are not alike."""
    x = as_image(call.state(call.first))
    return _between(call, x, call["upscale_factor"] ** 2)


def pixel_unshuffle(call: Call) -> Outcome:
    """`pixel_unshuffle`: the r² positions of a square become features."""
    x = as_image(call.state(call.first))
    return _between(call, x, 1 / call["downscale_factor"] ** 2)


def _between(call: Call, x: State, by: float) -> Outcome:
    """`by` times as many positions. Two positions are of one former feature, or of two that share only their mean."""
    shape = call.node.shape
    axes: Axes = (x.axes[0], axis(Kind.FEATURE, shape[1]), *(axis(Kind.POSITION, n) for n in shape[2:]))
    out = replace(x.pooled([shape[1]]), axes=axes, root=Root(), profile=None)
    base = out.mean**2
    n, n_in = out.positions, x.positions
    if by > 1:  # of all pairs, those that were of one feature; the others have the mean in common
        own = by * n_in * (n_in - 1) / (n * (n - 1))
        share = 1 / by
        out = replace(
            out,
            across_positions=base + own * (out.across_positions - base),
            across_samples=base + share * (out.across_samples - base),
            latents=None,
        )

    def back(gradient: Gradient) -> Gradient:
        seen = total(gradient, out)
        parts = [seen.second, seen.across_positions, seen.across_samples]
        if by < 1:  # features that were positions: their gradients are independent
            inverse = 1 / by
            own_ = inverse * n * (n - 1) / (n_in * (n_in - 1))
            parts = [parts[0], parts[1] * own_, parts[2] * by]
        return seen.become(*(np.full(len(x.sizes), out.average(m)) for m in parts)).flow()

    return Outcome((out,), lambda g: iter([(call.first, back(g[0]))]))


def repeat(call: Call) -> Outcome:
    """`repeat` and `tile`: axis after axis, r copies one after the other."""
    x = call.state(call.first)
    times = list(call["repeats"] if call["repeats"] is not None else call["dims"])
    if len(times) < len(x.axes):
        times = [1] * (len(x.axes) - len(times)) + times
    new = len(times) - len(x.axes)
    x_wide = replace(x, axes=((),) * new + x.axes)
    read = {at: np.tile(np.arange(size_of(x_wide.axes[at])), r) for at, r in enumerate(times) if r > 1}
    return _by_axis(call, x_wide, read)


def repeat_interleave(call: Call) -> Outcome:
    """`repeat_interleave(x, r, dim)`: every entry r times."""
    x = call.state(call.first)
    times, dim = call["repeats"], call["dim"]
    if not isinstance(times, int) or dim is None:
        raise NoRule("each entry is repeated as often as a tensor says")
    at = dim % len(x.axes)
    return _by_axis(call, x, {at: np.repeat(np.arange(size_of(x.axes[at])), times)})


def index_select(call: Call) -> Outcome:
    """`index_select(x, dim, index)` with a known index."""
    x, index = call.state(call.first), call["index"]
    if not isinstance(index, Constant):
        raise NoRule("the index is not known")
    at = call["dim"] % len(x.axes)
    return _by_axis(call, x, {at: _positive(index.array.ravel(), size_of(x.axes[at]))})


def index(call: Call) -> Outcome:
    """`x[:, ids]`: one axis by known ids, which may have a shape of their own; of a parameter, a look-up of rows."""
    if isinstance(call["self"], Weight):
        return embedding.index(call)
    x = call.state(call.first)
    ids = {at: call[f"indices.{at}"] for at in range(len(x.axes)) if call[f"indices.{at}"] is not None}
    if len(ids) != 1:
        raise NoRule("several axes are indexed at once")
    ((at, known),) = ids.items()
    if not isinstance(known, Constant):
        raise NoRule("the index is not known")
    array = known.array
    flat = np.flatnonzero(array) if array.dtype == bool else array.ravel()
    if array.dtype == bool and array.ndim > 1:
        raise NoRule("a mask of several axes")
    read = {at: _positive(flat, size_of(x.axes[at]))}
    if array.ndim == 1:
        return _by_axis(call, x, read)
    outcome = _by_axis(call, x, read)
    (out,) = outcome.values
    assert isinstance(out, State)
    (kind,) = kinds_of(x.axes[at]) or {Kind.POSITION}
    axes = (*out.axes[:at], *(axis(kind, n) for n in array.shape), *out.axes[at + 1 :])
    return Outcome((replace(out, axes=axes),), outcome.pull)


def _positive(ids: Indices, size: int) -> Indices:
    return np.where(ids < 0, ids + size, ids)


def stack(call: Call) -> Outcome:
    """`stack`: `cat` along a new axis, of positions where the parts have none, such as steps of a loop over time."""
    from fanin.signals.rules.concatenation import concatenate, one_population

    named = call.listed("tensors")
    dim = call.get("dim", 0) % (len(call.node.shape))
    values = {}
    for name, value in named:
        if not isinstance(value, State):
            raise NoRule("a part is no signal with known moments")
        axes = (*value.axes[:dim], (), *value.axes[dim:])
        values[name] = replace(value, axes=axes)
    parts = list(values.items())
    first = parts[0][1]
    if first.positions == 1 and first.features > 1:
        axes = (*first.axes[:dim], axis(Kind.POSITION, len(parts)), *first.axes[dim + 1 :])
        return one_population(parts, axes, dim, Kind.POSITION)
    return concatenate(Call(call.node, values, {**call.plain, "dim": dim}))
