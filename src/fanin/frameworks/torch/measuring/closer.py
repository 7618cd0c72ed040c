"""A closer look at one pass, for a diagnosis: spread, dead units, alikeness across samples, what attention attends to.

What it costs is kept small: sums run over each tensor once, histograms over a strided sample, and of an attention's
scores only some rows are made again. What is on a device stays there until the pass is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from fanin.frameworks.torch.measuring.alikeness import counted
from fanin.frameworks.torch.measuring.attention_seen import AttentionSums, attentions_together, fused_scores, some_rows
from fanin.frameworks.torch.measuring.later import Later
from fanin.frameworks.torch.measuring.looks import Look, said
from fanin.graph import Graph
from fanin.signals import AttentionDetail, Detail
from fanin.signals.axes import Axes


class Closer:
    """What is looked at in one graph beside each of its tensors, and what is known of its axes.

    Args:
        axes: what the axes of a node's value count, as a prediction knows them.
        classes: which axis of a node's value counts classes, where it is logits.
    """

    def __init__(self, graph: Graph, axes: Mapping[str, Axes], classes: Mapping[str, int]) -> None:
        self._axes, self._classes = axes, classes
        self._attention: dict[str, AttentionSums] = {}
        self._over_classes: dict[str, Later] = {}  # the variance over classes, averaged over all else
        self._scores = attentions_together()
        self.attentions = {found.softmax: found.output for found in graph.structure.attentions}
        self._ops = {node.name: node.op for node in graph.nodes}

    def axes_of(self, name: str, x: torch.Tensor) -> Axes | None:
        """What the axes of a node's value count; None where they are not known."""
        axes = self._axes.get(name)
        return axes if axes is not None and counted(axes).shape == x.shape else None

    def classify(self, name: str, x: torch.Tensor) -> None:
        """The variance over classes, where these are logits."""
        if name in self._classes and x.numel():
            variance = x.detach().double().var(self._classes[name], correction=0).mean()
            self._over_classes[name] = Later(variance.reshape(1))

    def attends(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Of one of `attentions`: with what it is called, before its result is thrown away."""
        scores = fused_scores(*args, **kwargs) if "scaled_dot" in self._ops[name] else some_rows(args[0])
        if scores is not None:
            self._attention[self.attentions[name]] = self._scores.add(scores, AttentionSums(()))

    def settle(self) -> None:
        """Look at what still waits for more of its kind."""
        self._scores.settle()

    def waiting(self) -> list[Later]:
        """What `read` must have read before anything is asked for."""
        return [*self._over_classes.values(), *self._attention.values()]

    def details(self, values: Mapping[str, Look]) -> dict[str, Detail]:
        """By node name."""
        found = details(values)
        for name, later in self._over_classes.items():
            found[name] = replace(found[name], spread=float(later.numbers[0]))
        return found

    @property
    def attention(self) -> dict[str, AttentionDetail]:
        """By the name of the node that makes an attention's output."""
        return {name: sums.detail() for name, sums in self._attention.items()}


def details(looks: Mapping[str, Look]) -> dict[str, Detail]:
    """Of what was looked at closely."""
    return {name: detail for name, detail in said(looks, Look.detail).items() if detail}
