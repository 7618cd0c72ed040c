"""Bits: every random value is a pure function of (seed, parameter name, element index).

A `Key` names one stream; a distribution maps (key, element indices) to numbers. No state is carried, so any region of
a tensor may be drawn alone, in any order, on any machine. NumPy is the reference; compiled kernels give its bits.
A new law is a kind in `laws.py` and its integers in `reference.py` and `kernels.py`.
"""

from fanin.stream.distributions import (
    normal,
    normal_law,
    sample,
    truncated_law,
    truncated_normal,
    uniform,
    uniform_law,
    words,
)
from fanin.stream.elements import Elements, Runs
from fanin.stream.keys import Domain, Key, key
from fanin.stream.laws import Distribution
from fanin.stream.masks import exact_mask
from fanin.stream.orthogonal import orthogonal
from fanin.stream.quantile import q32
from fanin.stream.rounding import to_bfloat16_bits, to_float8_e4m3fn_bits, to_float8_e5m2_bits, to_float16

__all__ = [
    "Distribution",
    "Domain",
    "Elements",
    "Key",
    "Runs",
    "exact_mask",
    "key",
    "normal",
    "normal_law",
    "orthogonal",
    "q32",
    "sample",
    "to_bfloat16_bits",
    "to_float8_e4m3fn_bits",
    "to_float8_e5m2_bits",
    "to_float16",
    "truncated_law",
    "truncated_normal",
    "uniform",
    "uniform_law",
    "words",
]
