"""One watched step where weights pass through NumPy: what the watchers of Keras, Paddle and JAX do alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from fanin.frameworks.arriving import Arriving
from fanin.frameworks.held import Array
from fanin.graph import Graph
from fanin.graph.layers import layers
from fanin.signals import Histogram, Moments, Signals
from fanin.signals.axes import Axes, usual
from fanin.signals.detail import BINS
from fanin.signals.step import Activated, LayerStep, ParameterStep, StepSignals

SAMPLE: Final = 1 << 16  # elements, evenly strided, that stand for a larger tensor


@dataclass(frozen=True)
class Sampled:
    """One tensor at one time.

    Attributes:
        norm: L2, of all elements.
        elements: an even sample of them, on the host.
        size: how many there are.
    """

    norm: float
    elements: Array
    size: int

    @property
    def finite(self) -> bool:
        """A norm beyond float32 counts as not."""
        return math.isfinite(self.norm)


class Watcher:
    """Looks at one step from `arm` to `collect`; between steps it holds nothing.

    A framework says what its weights, gradients and layers are: `_weights` and whichever of the others it can.
    """

    sharded: ClassVar[bool] = False
    rank: ClassVar[int] = 0
    ended: ClassVar[bool] = False
    sees_gradients = True

    def __init__(self, name: str, *, histograms: bool = False) -> None:
        self.name, self._histograms = name, histograms
        self._before: dict[str, Sampled] = {}

    def arriving(self) -> Arriving:
        """Where losses wait."""
        return Arriving()

    def notes(self) -> list[str]:
        """What cannot be seen of this model, or in this framework."""
        return []

    def arm(self) -> None:
        """From here on, the step is watched."""
        self._before = self._weights()

    def disarm(self) -> None:
        """Nothing is held."""
        self._before = {}

    def collect(self) -> StepSignals:
        """What was seen since `arm`; disarmed."""
        try:
            seen, gradients = self._layers(), self._gradients()
            after = self._weights() if self._before else {}
            found = [
                self._parameter(path, before, after[path], gradients.get(path)) for path, before in self._before.items()
            ]
            return StepSignals(seen, tuple(found), self._rates(), self.sees_gradients)
        finally:
            self.disarm()

    def abstain(self) -> None:
        """There are no other processes."""

    def not_finite(self) -> tuple[str, ...]:
        """Paths of parameters whose gradient, else whose value, holds infinities or NaN now."""
        for of in (self._gradients, self._weights):
            if broken := tuple(path for path, seen in of().items() if not seen.finite):
                return broken
        return ()

    def _weights(self) -> dict[str, Sampled]:
        """What is trained, by path."""
        raise NotImplementedError

    def _gradients(self) -> dict[str, Sampled]:
        """As the optimizer gets them, by path."""
        return {}

    def _layers(self) -> tuple[LayerStep, ...]:
        """Outputs and gradients of layers, in the order of execution."""
        return ()

    def _rates(self) -> tuple[float, ...]:
        """Learning rates."""
        return ()

    def _shape(self, path: str) -> tuple[int, ...]:
        """Of the logical weight."""
        raise NotImplementedError

    def _parameter(self, path: str, before: Sampled, after: Sampled, gradient: Sampled | None) -> ParameterStep:
        shown = (after, gradient) if self._histograms else (None, None)
        return ParameterStep(
            path,
            self._shape(path),
            before.norm,
            None if gradient is None else gradient.norm,
            distance(before, after),
            *(None if one is None else histogram_of(one.elements) for one in shown),
        )


def distance(before: Sampled, after: Sampled) -> float:
    """‖Δw‖, from the samples; of the tensor that a share of it was sampled from, over the root of that share."""
    if not before.size:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        norm = float(np.linalg.norm(after.elements.astype(np.float64) - before.elements))
    return norm * math.sqrt(before.size / before.elements.size)


def stride(size: int) -> int:
    """Of an even sample; odd, so that it does not fall on the same units of every row where rows have 2ⁿ elements.

    Example:
        >>> stride(1000), stride(1 << 20)
        (1, 17)
    """
    return math.ceil(size / SAMPLE) | 1 if size > SAMPLE else 1


def histogram_of(elements: Array) -> Histogram | None:
    """From the least to the largest finite one."""
    finite = elements[np.isfinite(elements)].astype(np.float64)
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, _ = np.histogram(finite, BINS, (low, high))
    return Histogram(low, high, tuple(counts.tolist()))


def axes_in(graph: Graph, known: Mapping[str, Axes]) -> dict[str, Axes]:
    """What the axes of each node count: as a prediction knows it, else as usual for its rank."""
    return {node.name: known.get(node.name) or usual(node.shape) for node in graph.nodes}


def layer_steps(signals: Signals) -> tuple[LayerStep, ...]:
    """A measured pass as what is seen of a step: each weight's operation, and the activation behind it."""
    graph = signals.graph
    found: dict[str, LayerStep] = {}
    for path, step in _layer_steps(signals) if graph is not None else ():
        found.setdefault(path, step)  # a layer that is called several times stands for itself by its first call
    return tuple(found.values())


def _layer_steps(signals: Signals) -> Iterator[tuple[str, LayerStep]]:
    assert signals.graph is not None
    for layer in layers(signals.graph):
        value, slope = signals.values.get(layer.node.name), signals.gradients.get(layer.node.name)
        if value is None:
            continue
        squared = None if slope is None else squared_norm(slope, layer.node.shape)
        yield layer.module, LayerStep(layer.module, value, _activated(signals, layer), squared)


def squared_norm(seen: Moments, shape: tuple[int, ...]) -> float:
    """‖x‖², of the elements' second moment."""
    return seen.second_moment * math.prod(shape)


def _activated(signals: Signals, layer: Any) -> Activated | None:
    value, detail = signals.values.get(layer.output.name), signals.details.get(layer.output.name)
    if layer.activation is None or value is None or detail is None or detail.dead is None or not detail.units:
        return None
    samples = math.prod(layer.output.shape) // detail.units
    return Activated(layer.activation.name, value, detail.dead, samples)
