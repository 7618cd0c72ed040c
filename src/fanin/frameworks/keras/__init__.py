"""Keras 3, on any of its back ends: describe a model, write a plan into it, verify it.

`trace` runs the model on symbolic tensors, inside subclassed layers too, and describes what it meets in the words of
PyTorch's operations (`layers.py`, `operations.py`); `read_modules` is what can be said without an example.
"""

from fanin.frameworks.keras.model import constrained, draw_seed_for, predict, sweep, verify, write_
from fanin.frameworks.keras.trace import Traced, knows_inputs, read_modules, trace

__all__ = [
    "Traced",
    "constrained",
    "draw_seed_for",
    "knows_inputs",
    "predict",
    "read_modules",
    "sweep",
    "trace",
    "verify",
    "write_",
]
