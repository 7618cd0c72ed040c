"""Keras 3, on any of its back ends: describe a model, write a plan into it, verify it, measure what flows.

`trace` runs the model on symbolic tensors, inside subclassed layers too, and describes what it meets in the words of
PyTorch's operations (`layers.py`, `operations.py`). `observe` runs the recorded calls once, forward and back, by the
back end's own means; `predict` sends moments through the graph instead; `write_` assigns the variables, `verify`
compares them. To teach a layer: a line in `LAYERS`, and one in `LAYOUTS` for its weights.
"""

from fanin.frameworks.keras.circumstances import batches_of, inputs_seen, seen
from fanin.frameworks.keras.loss import stake
from fanin.frameworks.keras.model import (
    constrained,
    draw_seed_for,
    example_input,
    load,
    predict,
    save,
    seed_everything,
    sweep,
    verify,
    write_,
)
from fanin.frameworks.keras.observe import drawn, has_values, observe
from fanin.frameworks.keras.trace import Traced, knows_inputs, read_modules, trace
from fanin.frameworks.keras.watch import Watcher
from fanin.frameworks.not_looked_at import training
from fanin.frameworks.stakes import chance

LOSSES = "keras.losses"  # where their functions are

__all__ = [
    "LOSSES",
    "Traced",
    "Watcher",
    "batches_of",
    "chance",
    "constrained",
    "draw_seed_for",
    "drawn",
    "example_input",
    "has_values",
    "inputs_seen",
    "knows_inputs",
    "load",
    "observe",
    "predict",
    "read_modules",
    "save",
    "seed_everything",
    "seen",
    "stake",
    "sweep",
    "trace",
    "training",
    "verify",
    "write_",
]
