"""Sums and largest values over axes, windows that move, and what runs along one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fanin.frameworks.jax.reading.drafts import Signal
from fanin.frameworks.jax.reading.opaque import unknown
from fanin.frameworks.jax.reading.program import Step
from fanin.frameworks.jax.reading.read import Reader, Reading
from fanin.frameworks.jax.reading.views import View, whole
from fanin.graph import Ref


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


def pooled(op: str) -> Reader:
    """A window that moves over the axes behind the channels, as PyTorch has them."""

    def read(reading: Reading, step: Step) -> None:
        p, out = step.params, step.outs[0]
        value = reading.signal(reading.value(step.ins[0]), out)
        window, strides, pads = p["window_dimensions"], p["window_strides"], p["padding"]
        moving = [i for i, (n, s) in enumerate(zip(window, strides, strict=True)) if n > 1 or s > 1]
        even = all(low == high for low, high in pads) and all(
            d == 1 for d in (*p["base_dilation"], *p["window_dilation"])
        )
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
        arguments: dict[str, object] = {
            "self": Ref(name, 0, reading.shape_of(name)),
            "kernel_size": [int(window[i]) for i in moving],
        }
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
