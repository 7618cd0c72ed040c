"""JAX: the values of `fanin.stream`, drawn by JAX's own operations, under `jit` and `vmap`, on every device its part.

`draw` is elementwise in the index of each element, in 32-bit integers up to one product, so that neither the compiler
nor the partitioner can change a bit. A PRNG key is the stream's seed. Models are not read here: `fanin.compat.jax`
offers the initializers, in the form that JAX's libraries call.
"""

from fanin.frameworks.jax.draw import Sharding, draw, draw_on_host, full
from fanin.frameworks.jax.initializers import DeltaOrthogonal, Fixed, OrthogonalMatrix, Scaled
from fanin.frameworks.jax.layout import Axes, Layout

__all__ = [
    "Axes",
    "DeltaOrthogonal",
    "Fixed",
    "Layout",
    "OrthogonalMatrix",
    "Scaled",
    "Sharding",
    "draw",
    "draw_on_host",
    "full",
]
