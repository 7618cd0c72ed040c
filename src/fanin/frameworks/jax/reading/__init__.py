"""READING: from a jaxpr to calls of layers in the words of PyTorch's operations.

`program.flat` makes a flat list of steps; `read.Reading` walks it, and asks `READERS` what each primitive is;
`finish.finished` gives what `graph_of` takes. A `View` follows each axis through transposes and reshapes. To teach a
primitive: a line in `operations.READERS`; a layer that is known by its class: a line in `marks.LAYERS`.
"""

from fanin.frameworks.jax.reading.drafts import NOWHERE, Signal, Stored, Tensor
from fanin.frameworks.jax.reading.finish import finished
from fanin.frameworks.jax.reading.marks import CELLS, LAYERS, Marking, patched
from fanin.frameworks.jax.reading.opaque import unknown
from fanin.frameworks.jax.reading.operations import READERS
from fanin.frameworks.jax.reading.program import Fixed, Program, Type, flat
from fanin.frameworks.jax.reading.read import Reading
from fanin.frameworks.jax.reading.views import whole

__all__ = [
    "CELLS",
    "LAYERS",
    "NOWHERE",
    "READERS",
    "Fixed",
    "Marking",
    "Program",
    "Reading",
    "Signal",
    "Stored",
    "Tensor",
    "Type",
    "finished",
    "flat",
    "patched",
    "unknown",
    "whole",
]
