"""READERS: what each primitive of JAX is, in PyTorch's words. To teach one: a function, and a line here.

What is not here stands in the graph under its own name, as a step that fanin does not look into.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fanin.frameworks.jax.reading.contract import dot_general
from fanin.frameworks.jax.reading.convolution import conv
from fanin.frameworks.jax.reading.elementwise import elementwise
from fanin.frameworks.jax.reading.lookup import gather
from fanin.frameworks.jax.reading.marks import marked
from fanin.frameworks.jax.reading.opaque import same, unknown
from fanin.frameworks.jax.reading.program import ELEMENTWISE
from fanin.frameworks.jax.reading.read import Reader
from fanin.frameworks.jax.reading.rearrange import (
    broadcast,
    concatenate,
    pad,
    reshape,
    row,
    sliced,
    split,
    stack,
    transpose,
    turned,
)
from fanin.frameworks.jax.reading.reduce import chosen, pooled, reduced

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
