"""What a model returns, taken apart into tensors and put together again: a graph can give nothing but tensors."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

import torch
from torch.utils import _pytree as pytree

from fanin.errors import CannotTrace

Build = Callable[[Sequence[Any]], Any]  # from as many tensors to what the model returned, with them in place
_PLAIN: Final = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size, type(None))


def taken_apart(output: Any) -> tuple[tuple[torch.Tensor, ...], Build]:
    """The tensors in it, each once, and how to put others in their places.

    Containers, whatever is registered with PyTorch's pytree, mappings and dataclasses are looked into. Objects of other
    classes, such as a cache of keys and values, are no result to measure: None takes their place. Only where there
    is no tensor elsewhere are their attributes looked at.

    Raises:
        CannotTrace: there is no tensor in it.
    """
    for into_objects in (False, True):
        taken = _Taken(into_objects)
        build = taken.build(output)
        if taken.tensors:
            return tuple(taken.tensors), build
    raise CannotTrace(
        f"What the model returns holds no tensor: it is of type {type(output).__name__}. "
        "Return a tensor, or a tuple, list, dict or dataclass of tensors."
    )


class _Taken:
    """The tensors found so far."""

    def __init__(self, into_objects: bool) -> None:
        self.tensors: list[torch.Tensor] = []
        self._into_objects = into_objects
        self._inside: set[int] = set()  # objects may hold one another

    def build(self, x: Any) -> Build:
        if isinstance(x, torch.Tensor):
            return self._tensor(x)
        leaves, structure = pytree.tree_flatten(x)
        if pytree.treespec_leaf() != structure:
            children = [self.build(leaf) for leaf in leaves]
            return lambda tensors: pytree.tree_unflatten([child(tensors) for child in children], structure)
        if isinstance(x, _PLAIN):
            return lambda _: x
        fields, items = self._fields(x), dict(x) if isinstance(x, Mapping) else {}
        if id(x) in self._inside or not (fields or items):
            return lambda _: None
        self._inside.add(id(x))
        fields = {name: self.build(value) for name, value in fields.items()}
        items = {key: self.build(value) for key, value in items.items()}
        self._inside.remove(id(x))
        return lambda tensors: _filled(x, _built(fields, tensors), _built(items, tensors))

    def _tensor(self, x: torch.Tensor) -> Build:
        index = next((i for i, t in enumerate(self.tensors) if t is x), len(self.tensors))
        if index == len(self.tensors):
            self.tensors.append(x)
        return lambda tensors: tensors[index]

    def _fields(self, x: Any) -> dict[str, Any]:
        if isinstance(x, (type, torch.nn.Module)) or callable(x):
            return {}
        if dataclasses.is_dataclass(x):
            return {f.name: getattr(x, f.name) for f in dataclasses.fields(x) if hasattr(x, f.name)}
        return dict(vars(x)) if self._into_objects and hasattr(x, "__dict__") else {}


def _built(builds: Mapping[Any, Build], tensors: Sequence[Any]) -> dict[Any, Any]:
    return {name: build(tensors) for name, build in builds.items()}


def _filled(x: Any, fields: Mapping[str, Any], items: Mapping[Any, Any]) -> Any:
    """A copy with other fields, of a frozen class too, and other items."""
    if isinstance(x, Mapping) and not isinstance(x, MutableMapping):
        return dict(items)
    new = _blank(x) if isinstance(x, dict) else copy.copy(x)
    for name, value in fields.items():
        object.__setattr__(new, name, value)
    for key, value in items.items():
        new[key] = value
    return new


def _blank(x: dict[Any, Any]) -> Any:
    """Of the same class, with its attributes and no items; its constructor may want arguments that nobody knows."""
    new = type(x).__new__(type(x))
    vars(new).update(vars(x))
    return new
