"""Bits: every random value is a pure function of (seed, parameter name, element index).

A `Key` names one stream; a distribution maps (key, element indices) to numbers. No state is carried, so any region of
a tensor may be drawn alone, in any order, on any machine. This is the NumPy reference of the stream, version 1.
A new law is one function of `words` or `q32` in `distributions.py`; a recipe that draws twice uses `draw=1`.
"""

from fanin.stream.distributions import normal, truncated_normal, uniform
from fanin.stream.keys import Domain, Key, key
from fanin.stream.orthogonal import orthogonal
from fanin.stream.philox import Elements, words
from fanin.stream.quantile import q32
from fanin.stream.rounding import to_bfloat16_bits, to_float16

__all__ = [
    "Domain",
    "Elements",
    "Key",
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
