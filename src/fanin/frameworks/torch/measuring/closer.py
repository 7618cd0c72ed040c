"""A closer look at one pass, for a diagnosis: spread, dead units, alikeness across samples, what attention attends to.

What it costs is kept small: sums run over each tensor once, histograms over a strided sample, and of an attention's
scores only some rows are made again. What is on a device stays there until the pass is over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from fanin.frameworks.torch.measuring.alikeness import Alikeness, alike_together, alikeness, counted
from fanin.frameworks.torch.measuring.attention_seen import AttentionSums, fused_scores, some_rows
from fanin.frameworks.torch.measuring.later import Later
from fanin.frameworks.torch.measuring.moments import Sums
from fanin.frameworks.torch.measuring.sampled import Sample, Samples
from fanin.graph import Graph
from fanin.signals import AttentionDetail, Detail, Moments
from fanin.signals.axes import Axes


class Closer:
    """What is looked at in one graph.

    Args:
        axes: what the axes of a node's value count, as a prediction knows them.
        classes: which axis of a node's value counts classes, where it is logits.
    """

    def __init__(self, graph: Graph, axes: Mapping[str, Axes], classes: Mapping[str, int]) -> None:
        self.axes = axes
        self._classes = classes
        self._values: dict[str, _Look] = {}
        self._gradients: dict[str, _Look] = {}
        self._parameters: dict[str, _Look] = {}
        self._attention: dict[str, AttentionSums] = {}
        self._over_classes: dict[str, Later] = {}  # the variance over classes, averaged over all else
        self._samples, self._alikenesses = Samples(), alike_together()
        self._attentions = {found.softmax: found.output for found in graph.structure.attentions}
        self._ops = {node.name: node.op for node in graph.nodes}

    def value(self, name: str, x: torch.Tensor, seen: Sums) -> None:
        """Of a node's value; alike and dead units only where its axes are known."""
        if x.is_complex() or x.numel() == 0:
            return
        axes = self._axes(name, x)
        self._values[name] = self._look(x, seen, axes)
        self._classify(name, x)

    def gradient(self, name: str, x: torch.Tensor, seen: Sums) -> None:
        """The spread of ∂loss/∂value."""
        if not x.is_complex() and x.numel():
            self._gradients[name] = self._look(x, seen)

    def value_again(self, name: str, source: str, x: torch.Tensor) -> None:
        """Of the same elements in another order."""
        if source in self._values:
            self._values[name] = self._values[source]
            self._classify(name, x)

    def gradient_again(self, name: str, source: str) -> None:
        """Likewise, of the same gradient."""
        if source in self._gradients:
            self._gradients[name] = self._gradients[source]

    def parameters(self, values: Mapping[str, torch.Tensor], seen: Mapping[str, Sums]) -> None:
        """The spread of each parameter."""
        plain = {path: x for path, x in values.items() if x.is_floating_point() and x.numel()}
        self._parameters = {path: self._look(x, seen[path]) for path, x in plain.items()}

    def attends(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Called with what an operation is called with, before its result is thrown away."""
        if name in self._attentions:
            scores = fused_scores(*args, **kwargs) if "scaled_dot" in self._ops[name] else some_rows(args[0])
            if scores is not None:
                self._attention[self._attentions[name]] = AttentionSums.of(scores)

    def waiting(self) -> list[Later]:
        """What `read` must have read, after the pass and before anything is asked for."""
        looks = [*self._values.values(), *self._gradients.values(), *self._parameters.values()]
        kept = [later for look in looks for later in look.waiting()]
        return [*kept, *self._over_classes.values(), *self._attention.values()]

    def settle(self) -> None:
        """Look at what still waits for more of its kind."""
        self._samples.settle()
        self._alikenesses.settle()

    def with_alikeness(self, name: str, seen: Moments) -> Moments:
        """The moments of a value, and how alike its positions and samples are."""
        return self._values[name].with_alikeness(seen) if name in self._values else seen

    @property
    def details(self) -> dict[str, Detail]:
        """By node name."""
        found = {name: look.detail() for name, look in self._values.items()}
        for name, later in self._over_classes.items():
            found[name] = replace(found[name], spread=float(later.numbers[0]))
        return found

    @property
    def gradient_details(self) -> dict[str, Detail]:
        """Likewise, of ∂loss/∂value."""
        return {name: look.detail() for name, look in self._gradients.items()}

    @property
    def parameter_details(self) -> dict[str, Detail]:
        """Of the parameters, by path."""
        return {path: look.detail() for path, look in self._parameters.items()}

    @property
    def attention(self) -> dict[str, AttentionDetail]:
        """By the name of the node that makes an attention's output."""
        return {name: sums.detail() for name, sums in self._attention.items()}

    def _look(self, x: torch.Tensor, seen: Sums, axes: Axes | None = None) -> _Look:
        return _Look(seen, self._samples.of(x), alikeness(x, axes, self._alikenesses) if axes is not None else None)

    def _classify(self, name: str, x: torch.Tensor) -> None:
        """The variance over classes, where these are logits."""
        if name in self._classes:
            variance = x.detach().double().var(self._classes[name], correction=0).mean()
            self._over_classes[name] = Later(variance.reshape(1))

    def _axes(self, name: str, x: torch.Tensor) -> Axes | None:
        axes = self.axes.get(name)
        return axes if axes is not None and counted(axes).shape == x.shape else None


class _Look:
    """What is kept of one tensor, from which the rest can be said without it."""

    def __init__(self, seen: Sums, sample: Sample, alikeness: Alikeness | None) -> None:
        self._seen, self._sample, self._alikeness = seen, sample, alikeness

    def waiting(self) -> list[Later]:
        return [self._seen] if self._alikeness is None else [self._seen, self._alikeness]

    def detail(self) -> Detail:
        (largest, _), sample = self._seen.sizes, self._sample.spread
        assert sample is not None  # of a closer look that is finished
        units = counted(self._alikeness.axes).units if self._alikeness else 0
        return Detail(
            largest if math.isfinite(largest) else sample.largest,
            sample.smallest,
            sample.magnitudes,
            sample.histogram,
            units or None,
            self._alikeness.dead if self._alikeness and units else None,
        )

    def with_alikeness(self, seen: Moments) -> Moments:
        return self._alikeness.beside(seen) if self._alikeness else seen
