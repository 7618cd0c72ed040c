"""Bits: every random value is a pure function of (seed, parameter name, element index).

A `Key` names one stream; a distribution maps (key, element indices) to numbers. No state is carried, so any region of
a tensor may be drawn alone, in any order, on any machine. NumPy is the reference; compiled kernels give its bits.
A new law is a kind in `laws.py` and its integers in `reference.py` and `kernels.py`.
"""

from fanin.stream.distributions import normal, truncated_normal, uniform, words
from fanin.stream.keys import Domain, Key, key
from fanin.stream.masks import exact_mask
from fanin.stream.orthogonal import orthogonal
from fanin.stream.philox import Elements
from fanin.stream.quantile import q32
from fanin.stream.rounding import to_bfloat16_bits, to_float16

__all__ = [
    "Domain",
    "Elements",
    "Key",
    "exact_mask",
    "key",
    "normal",
    "orthogonal",
    "q32",
    "to_bfloat16_bits",
    "to_float16",
    "truncated_normal",
    "uniform",
    "words",
]
