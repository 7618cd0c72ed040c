"""NumPy: fill one array in place. There is no model to trace."""

from fanin.frameworks.numpy.array import draw_seed, dtype_of, fill_, permuted

__all__ = ["draw_seed", "dtype_of", "fill_", "permuted"]
