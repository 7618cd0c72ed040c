"""NumPy: fill one array in place, or all arrays of a net whose layers are declared (`Net`)."""

from fanin.frameworks.numpy.array import draw_seed, dtype_of, fill_, permuted
from fanin.frameworks.numpy.model import (
    constrained,
    draw_seed_for,
    example_input,
    has_values,
    initialized,
    knows_inputs,
    predict,
    read_modules,
    save,
    sweep,
    trace,
    verify,
    write_,
)
from fanin.frameworks.numpy.net import Declared, Net, layer

__all__ = [
    "Declared",
    "Net",
    "constrained",
    "draw_seed",
    "draw_seed_for",
    "dtype_of",
    "example_input",
    "fill_",
    "has_values",
    "initialized",
    "knows_inputs",
    "layer",
    "permuted",
    "predict",
    "read_modules",
    "save",
    "sweep",
    "trace",
    "verify",
    "write_",
]
