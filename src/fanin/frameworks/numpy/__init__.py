"""NumPy: fill one array in place, or all arrays of a net whose layers are declared (`Net`)."""

from fanin.frameworks.numpy.array import draw_seed, dtype_of, fill_, permuted
from fanin.frameworks.numpy.model import (
    Traced,
    constrained,
    draw_seed_for,
    initialized,
    read_modules,
    trace,
    verify,
    write_,
)
from fanin.frameworks.numpy.net import Declared, Net, layer

__all__ = [
    "Declared",
    "Net",
    "Traced",
    "constrained",
    "draw_seed",
    "draw_seed_for",
    "dtype_of",
    "fill_",
    "initialized",
    "layer",
    "permuted",
    "read_modules",
    "trace",
    "verify",
    "write_",
]
