"""Which features of a loop are left out when it is run.

Features that no step sums over are many alike: a few of them, drawn often, tell as much as all, drawn once. What sums
over them on the way to the loop's arguments still sees many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from fanin.graph import Node, Ref
from fanin.signals.axes import Axes, Kind, axis, count, shape_of, size_of
from fanin.signals.frozen import replace
from fanin.signals.loop_sources import WEIGHED
from fanin.signals.loops import SUMS, Loop, label, tensors_of
from fanin.signals.state import State
from fanin.signals.values import Constant, Value, Weight

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Cut:
    """Axes of one size, shortened.

    Attributes:
        size: of the axes that are cut; 0 if none is.
        left: what is left of it.
        many: what is left of it where the sources of a loop sum over it.
        whole: nodes, and labels of arguments, of which those sums need many.
    """

    size: int = 0
    left: int = 0
    many: int = 0
    whole: frozenset[str] = frozenset()

    def shape(self, shape: Shape, name: str) -> Shape:
        """What is left of a node's or an argument's shape."""
        left = self.many if name in self.whole else self.left
        return tuple(left if n == self.size else n for n in shape)

    def axes(self, axes: Axes, left: int) -> Axes:
        """Likewise of what axes count."""
        return tuple(axis(Kind.FEATURE, left) if self.size and size_of(a) == self.size else a for a in axes)

    def smaller(self, value: Value, name: str) -> Value:
        """A value of the shape that is left; a layer that sums over fewer has weights that are as much larger."""
        shape = shape_of_value(value)
        if not self.size or self.size not in shape:
            return value
        left = self.many if name in self.whole else self.left
        if isinstance(value, State):
            axes = self.axes(value.axes, left)
            return replace(value.pooled([max(count(axes, Kind.FEATURE), 1)]), axes=axes).beside(value)
        if isinstance(value, Weight):
            small = value.seen(self.shape(shape, name), None)
            return _summing_to_as_much(small, self.size / left) if name in self.whole else small
        if isinstance(value, Constant):
            array = value.array[tuple(slice(left) if n == self.size else slice(None) for n in shape)]
            return Constant(array, value.own)
        return value

    def entering(
        self, tensor: torch.Tensor, ref: Ref, source: str, node: Node, weights: torch.Tensor | None
    ) -> torch.Tensor:
        """A tensor as a node takes it.

        Few features send back what all do: their independent gradients are as many times larger in the square.

        Args:
            weights: how much each of the few features counts.
        """
        if not self.size:
            return tensor
        if self.sums(node):
            if self.size not in ref.shape or ref.rows is not None:
                return tensor
            return sent_back(self.counted(tensor, ref.shape, weights), math.sqrt(self.many / self.size))
        if node.name in self.whole:
            return tensor
        if self.size not in ref.shape:
            return sent_back(tensor, math.sqrt(self.size / self.left)) if self.size in node.shape else tensor
        return self.few(tensor, ref.shape) if source in self.whole else tensor

    def counted(self, tensor: torch.Tensor, shape: Shape, weights: torch.Tensor | None) -> torch.Tensor:
        """With each of the few features times the root of its weight, (few) or (draws, few): squares have the weight.

        Shape is that of one draw, before it is cut; of a tensor without such features nothing changes.
        """
        if weights is None or self.size not in shape:
            return tensor
        at = shape.index(self.size) - len(shape)
        more = tensor.shape[at] - weights.shape[-1]
        of_all = torch.nn.functional.pad(weights.sqrt(), (0, more), value=1.0)
        before = [1] * (len(shape) + at) if weights.dim() == 2 else []
        return tensor * of_all.reshape(*of_all.shape[:-1], *before, of_all.shape[-1], *[1] * (-at - 1))

    def alike(self, draws: torch.Tensor, shape: Shape, weights: torch.Tensor) -> torch.Tensor:
        """As many draws of features that all count alike: each is taken as often as it counts."""
        if self.size not in shape:
            return draws
        features = draws.movedim(1 + shape.index(self.size), 1)
        ends = weights.flatten().double().cumsum(0)
        even = (torch.arange(len(ends)) + 0.5) / len(ends) * ends[-1]
        chosen = features.flatten(0, 1)[torch.searchsorted(ends, even).clamp(max=len(ends) - 1)]
        return chosen.reshape(features.shape).movedim(1, 1 + shape.index(self.size))

    def sums(self, node: Node) -> bool:
        """Whether a node sums over many of the features."""
        return node.op in WEIGHED | SUMS and self.size in summed(node)

    @property
    def drawn(self) -> float:
        """The part of such a sum's variance that is of the features that are left.

        Of n of N it is √(n/N): Σ x² of those and the mean of the rest then vary as Σ x² of all.
        """
        return math.sqrt(self.many / self.size) if self.size else 1.0

    def whole_sum(self, sum_: torch.Tensor, rest: torch.Tensor, mean: float) -> torch.Tensor:
        """With the rest of the features, of which no more is known than what they add up to; all gradients go on."""
        of_drawn, of_rest = math.sqrt(self.drawn), math.sqrt(1 - self.drawn)
        return sum_ + ((of_drawn - 1) * (sum_ - mean) + of_rest * (rest - mean)).detach()

    def few(self, tensor: torch.Tensor, shape: Shape) -> torch.Tensor:
        """Those that are run, of a tensor that has many; shape is that of one of several draws, before it is cut."""
        for at in range(1, len(shape) + 1):
            if shape[-at] == self.size:
                tensor = tensor.narrow(-at, 0, self.left)
        return tensor


def cut_to(loop: Loop, size: int, left: int, many: int) -> Cut:
    """With all that sums over these features, and what those sums are made of."""
    plain = Cut(size, left, min(many, size))
    whole: set[str] = set()
    wanted = [node for node in loop.nodes if node.name in loop.sources and plain.sums(node)]
    by_name = {node.name: node for node in loop.nodes}
    while wanted:
        for _, ref in tensors_of(wanted.pop()):
            name = ref.name if ref.name in by_name else label(ref)
            if size in ref.shape and name not in whole:
                whole.add(name)
                if name in by_name:
                    wanted.append(by_name[name])
    return replace(plain, whole=frozenset(whole))


def summed(node: Node) -> set[int]:
    """Sizes of axes over which an operation sums."""
    shapes = {name: ref.shape for name, ref in tensors_of(node)}
    if node.op in WEIGHED:
        first = shapes.get("input", next(iter(shapes.values())))
        return {shapes["mat1"][-1] if "mat1" in shapes else first[-1]}
    if node.op == "bmm":
        return {next(iter(shapes.values()))[-1]}
    if node.op in SUMS:
        (shape,) = shapes.values()
        dims = node.arguments.get("dim")
        chosen = range(len(shape)) if dims is None else [dims] if isinstance(dims, int) else dims
        return {shape[d] for d in chosen}
    return set()


def summed_in_steps(loop: Loop) -> set[int]:
    """Sizes that the loop itself sums over: nothing can be left out of those."""
    return {size for node in loop.nodes if node.name not in loop.sources for size in summed(node)}


def shape_of_value(value: Value) -> Shape:
    """Of a signal, a weight or a constant."""
    if isinstance(value, State):
        return shape_of(value.axes)
    return tuple(value.array.shape) if isinstance(value, Constant) else tuple(value.shape)


def sent_back(x: torch.Tensor, by: float) -> torch.Tensor:
    """The same tensor; its gradient comes back times a number."""
    return x if by == 1 else by * x + ((1 - by) * x).detach()


def _summing_to_as_much(weight: Weight, ratio: float) -> Weight:
    """Its sum over n of N = ratio · n inputs is spread as that over all."""
    spread = weight.times(math.sqrt(ratio))
    return replace(spread, mean=weight.mean * ratio)
