"""The arguments of an FX node as plain data, with a `Ref` for each tensor."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch.fx.node import Node as FxNode

from fanin.frameworks.torch.tracing.operations import arguments_of, op_of
from fanin.graph import Ref

_PIECES: Final = ("split", "split_with_sizes", "chunk", "unbind")
_SAME: Final = ("alias", "detach", "clone", "contiguous", "to", "_to_copy")


def plain_arguments(fx: FxNode, parameters: Mapping[str, str]) -> dict[str, Any]:
    """All arguments by name; `parameters` maps FX nodes that are a parameter or a view of one to its path."""
    if fx.target is operator.getitem:
        return {"self": ref(fx, parameters)}
    return {name: _plain(value, parameters) for name, value in arguments_of(fx).items()}


def _plain(value: Any, parameters: Mapping[str, str]) -> Any:
    if isinstance(value, FxNode):
        return ref(value, parameters) if gives_tensors(value) else value.meta.get("val")  # a size that values decide
    if isinstance(value, (list, tuple)):
        return tuple(_plain(v, parameters) for v in value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value).removeprefix("torch.")  # dtypes, devices, layouts


def ref(fx: FxNode, parameters: Mapping[str, str]) -> Ref:
    """A tensor by the name of the operation that makes it, or of the parameter that it shows."""
    if fx.name in parameters:
        return Ref(parameters[fx.name], 0, _shape(fx), _rows(fx))
    if fx.target is operator.getitem:
        source, index = fx.args[0], fx.args[1]
        assert isinstance(source, FxNode)
        assert isinstance(index, int)
        return Ref(source.name, index, _shape(fx))
    return Ref(fx.name, 0, _shape(fx))


def gives_tensors(fx: FxNode) -> bool:
    """Whether the node gives tensors, rather than a number or nothing."""
    value = fx.meta.get("val")
    return any(isinstance(x, torch.Tensor) for x in (value if isinstance(value, (tuple, list)) else (value,)))


def _shape(fx: FxNode) -> tuple[int, ...]:
    value = fx.meta.get("val")
    first = value[0] if isinstance(value, (tuple, list)) and value else value
    return tuple(int(n) for n in first.shape) if isinstance(first, torch.Tensor) else ()


def _rows(fx: FxNode) -> tuple[int, int] | None:
    """Which rows of a parameter a chain of slices shows; None where they are no range, or seen transposed."""
    if fx.op == "placeholder":
        shape = _shape(fx)
        return (0, shape[0]) if shape else None
    source = fx.args[0]
    if not isinstance(source, FxNode):
        return None
    if fx.target is operator.getitem:
        return _piece(source, int(fx.args[1]))  # type: ignore[arg-type]  # an index is a number
    op, arguments = op_of(fx), arguments_of(fx)
    before = _rows(source)
    if before is None or op in _SAME:
        return before
    if op == "slice" and arguments.get("dim", 0) == 0 and arguments.get("step", 1) == 1:
        size = before[1] - before[0]
        start = arguments.get("start") or 0
        start = before[0] + (start + size if start < 0 else min(start, size))
        return (start, start + _shape(fx)[0])
    return None


def _piece(source: FxNode, index: int) -> tuple[int, int] | None:
    before = _rows(source.args[0]) if isinstance(source.args[0], FxNode) else None
    if op_of(source) not in _PIECES or before is None or arguments_of(source).get("dim", 0) != 0:
        return None
    lengths = [int(piece.shape[0]) if piece.dim() else 1 for piece in source.meta["val"]]
    if op_of(source) == "unbind":
        lengths = [1] * len(lengths)
    start = before[0] + sum(lengths[:index])
    return (start, start + lengths[index])
