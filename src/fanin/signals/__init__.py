"""SIGNALS: the moments of every value and every gradient that flows through a model.

`Signals` is the type; a framework adapter fills it from one real forward and backward pass.
`by_depth` lines the layers up for tables and plots; `averaged` makes one of several passes, `compare` sets a
prediction beside a measurement.
"""

from fanin.signals.average import averaged
from fanin.signals.compare import Comparison, Pair, Row, Summary, compare
from fanin.signals.model import LayerSignal, Moments, ParameterSignal, Signals, by_depth

__all__ = [
    "Comparison",
    "LayerSignal",
    "Moments",
    "Pair",
    "ParameterSignal",
    "Row",
    "Signals",
    "Summary",
    "averaged",
    "by_depth",
    "compare",
]
