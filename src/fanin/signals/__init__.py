"""SIGNALS: the moments of every value and every gradient that flows through a model.

`Signals` is the type, whether predicted from the graph or measured in one real pass; `compare` sets the two side by
side, `averaged` makes one of several. The prediction: `propagate` sweeps over the nodes, forward and back, with a rule
an operation (`rules/`); `State` is what it knows of a tensor. `stacks` finds blocks that repeat and says where a deep
stack of them leads. To add a rule: a function and a line in `RULES`.
"""

from fanin.signals.average import averaged
from fanin.signals.clipped import Clipped
from fanin.signals.compare import Comparison, Pair, Row, Summary, compare
from fanin.signals.detail import AttentionDetail, Detail, Histogram, Stored
from fanin.signals.model import LayerSignal, Moments, ParameterSignal, Signals, by_depth
from fanin.signals.origin import Operand, Origin
from fanin.signals.stack import Block, Stack, stacks

__all__ = [
    "AttentionDetail",
    "Block",
    "Clipped",
    "Comparison",
    "Detail",
    "Histogram",
    "LayerSignal",
    "Moments",
    "Operand",
    "Origin",
    "Pair",
    "ParameterSignal",
    "Row",
    "Signals",
    "Stack",
    "Stored",
    "Summary",
    "averaged",
    "by_depth",
    "compare",
    "stacks",
]
