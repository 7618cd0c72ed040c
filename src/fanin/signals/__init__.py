"""SIGNALS: the moments of every value and every gradient that flows through a model.

`Signals` is the type; a framework adapter fills it from one real forward and backward pass.
`by_depth` lines the layers up for tables and plots.
"""

from fanin.signals.model import LayerSignal, Moments, ParameterSignal, Signals, by_depth

__all__ = ["LayerSignal", "Moments", "ParameterSignal", "Signals", "by_depth"]
