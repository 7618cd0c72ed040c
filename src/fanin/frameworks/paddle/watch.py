"""What is done round one symbolic run of a model: layers say when they ran, and are afterwards as they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paddle


@dataclass(frozen=True)
class LayerRun:
    """One call of a layer.

    Attributes:
        inputs, outputs: the values that it was called with and gave.
    """

    path: str
    layer: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


@dataclass
class Watch:
    """The runs of layers, inner ones before those around them.

    Attributes:
        is_leaf: layers that are taken whole: what is inside them says nothing.
        running: the paths of the layers that have begun and not ended, the innermost last.
    """

    is_leaf: Callable[[Any], bool]
    runs: list[LayerRun] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    leaf: str | None = None

    def begins(self, path: str, layer: Any) -> None:
        """Called before a layer runs."""
        self.running.append(path)
        if self.leaf is None and self.is_leaf(layer):
            self.leaf = path

    def ends(self, path: str, layer: Any, given: Any, made: Any) -> None:
        """Called with all that it was called with, and what it gave."""
        self.running.pop()
        if self.leaf not in {None, path}:
            return
        self.leaf = None
        inputs, outputs = (tuple(x for x in paddle.utils.flatten(y) if is_value(x)) for y in (given, [made]))
        self.runs.append(LayerRun(path, layer, inputs, outputs))


@contextmanager
def watched(model: Any, watch: Watch) -> Iterator[None]:
    """Hooks on every layer, for as long as the block lasts."""

    def before(path: str, layer: Any) -> Callable[..., None]:
        return lambda _, __: watch.begins(path, layer)

    def after(path: str, layer: Any) -> Callable[..., None]:
        return lambda _, given, keywords, made: watch.ends(path, layer, [*given, keywords], made)

    hooks = []
    try:
        for path, layer in model.named_sublayers(include_self=True):
            hooks.append(layer.register_forward_pre_hook(before(path, layer)))
            hooks.append(layer.register_forward_post_hook(after(path, layer), with_kwargs=True))
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """What a `forward` hangs on its layers, a buffer or a cache, is gone afterwards: it would be symbolic."""
    layers = list(model.sublayers(include_self=True))
    kept = [(vars(layer), dict(vars(layer)), layer._buffers, dict(layer._buffers)) for layer in layers]
    try:
        yield
    finally:
        for own, before, buffers, values in kept:
            own.clear()
            own.update(before)
            buffers.clear()
            buffers.update(values)


@contextmanager
def names_of_their_own(model: Any) -> Iterator[None]:
    """A program knows tensors by name: those that have one name in two places have others for a while."""
    layers = model.sublayers(include_self=True)
    tensors = {id(t): t for layer in layers for t in layer._parameters.values() if t is not None}
    count = Counter(t.name for t in tensors.values())
    twice = [(t, t.name) for t in tensors.values() if count[t.name] > 1]
    try:
        for i, (tensor, name) in enumerate(twice):
            tensor.name = f"{name}.{i}"
        yield
    finally:
        for tensor, name in twice:
            tensor.name = name


def is_value(x: Any) -> bool:
    """Whether it is a symbolic value of a program."""
    return isinstance(x, paddle.pir.Value)
