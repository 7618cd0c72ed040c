"""Pools, and the padding that Keras calls "same"."""

from __future__ import annotations

import math
from typing import Any

from fanin.frameworks.keras.describe import Describe, Description, channels_first
from fanin.frameworks.keras.record import Recorded


def pool(kind: str) -> Describe:
    """Over windows of positions."""

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
