"""JAX: the values of `fanin.stream`, drawn by JAX's own operations, under `jit` and `vmap`, on every device its part.

`draw` is elementwise in the index of each element, in 32-bit integers up to one product, so that neither the compiler
nor the partitioner can change a bit. A PRNG key is the stream's seed.

Models of Flax (NNX and Linen) and Equinox, and functions of a pytree, are traced by `jax.make_jaxpr` (`trace.py`) and
read into the words of PyTorch's operations (`read.py`, `operations.py`); `initialized` gives one with new arrays. To
teach a primitive: a line in `READERS`; a layer that is known by its class: a line in `LAYERS`; a library: `LIBRARIES`.
"""

from fanin.frameworks.jax.adapter import (
    bound,
    constrained,
    draw_seed_for,
    example_input,
    initialized,
    read_modules,
    save,
    started,
    trace,
    verify,
    write_,
)
from fanin.frameworks.jax.circumstances import batches_of, inputs_seen, predict, seen, sweep
from fanin.frameworks.jax.draw import Sharding, draw, draw_on_host, full
from fanin.frameworks.jax.initializers import DeltaOrthogonal, Fixed, OrthogonalMatrix, Scaled
from fanin.frameworks.jax.layout import Axes, Layout
from fanin.frameworks.jax.loss import stake
from fanin.frameworks.jax.observe import drawn, has_values, observe
from fanin.frameworks.jax.trace import Traced
from fanin.frameworks.not_looked_at import training
from fanin.frameworks.stakes import chance

__all__ = [
    "Axes",
    "DeltaOrthogonal",
    "Fixed",
    "Layout",
    "OrthogonalMatrix",
    "Scaled",
    "Sharding",
    "Traced",
    "batches_of",
    "bound",
    "chance",
    "constrained",
    "draw",
    "draw_on_host",
    "draw_seed_for",
    "drawn",
    "example_input",
    "full",
    "has_values",
    "initialized",
    "inputs_seen",
    "observe",
    "predict",
    "read_modules",
    "save",
    "seen",
    "stake",
    "started",
    "sweep",
    "trace",
    "training",
    "verify",
    "write_",
]
