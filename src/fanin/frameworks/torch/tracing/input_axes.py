"""Which axis of a floating-point input counts samples, positions and features, by what the model does along it.

The input's axes are followed, each under its own number, through views, transposes and pointwise operations. An axis
along which attention or a recurrent layer acts, or a convolution slides, counts positions. One that a weight reads
counts features: if there are two, as in a mixer, the one that usually does, and the other counts positions. Of the axes
that are left, the first counts samples. Where nothing is found, the usual order of the rank decides.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.fx.node import Node as FxNode

from fanin.frameworks.torch.tracing.operations import arguments_of, op_of
from fanin.graph.operations import GATES
from fanin.signals.axes import Axes, Kind, axes_of, reshaped, usual

_CHANNELS: Final = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_NORMS: Final = ("batch_norm", "_native_batch_norm_legit_functional", "_native_batch_norm_legit_no_training")
_ATTENTION: Final = ("scaled_dot_product_attention",)
_PRODUCTS: Final = ("matmul", "bmm", "baddbmm", "mm")
_ORDERS: Final = ("permute", "transpose", "t", "movedim")
_VIEWS: Final = ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze")

_PIECES: Final = ("select", "slice", "split", "split_with_sizes", "chunk", "unbind")
_NEW: Final = -1  # what stands in place of an axis of the input that a weight has taken up

Own = tuple[tuple[int, int], ...]  # factors of one axis: (axis of the input, size)


class _Roles:
    """What was learnt of the input's axes."""

    def __init__(self) -> None:
        self.mixed: set[int] = set()
        self.read: list[int] = []

    def reads(self, axis: Own) -> None:
        """A weight has an entry for each index along it."""
        self.read += [i for i, _ in axis if i != _NEW]

    def mixes(self, axis: Own) -> None:
        """Positions are compared or summed along it."""
        self.mixed |= {i for i, _ in axis if i != _NEW}


def input_axes(fx: FxNode) -> Axes:
    """The axes of an input of the program."""
    shape = tuple(fx.meta["val"].shape)
    if len(shape) < 2:
        return usual(shape)
    roles = _followed(fx, shape)
    usually = len(shape) - 1 if len(shape) <= 3 else 1
    features = usually if usually in roles.read or not roles.read else roles.read[0]
    positions = roles.mixed | {*roles.read}
    rest = [i for i in range(len(shape)) if i not in positions and i != features]
    samples = rest[:1]  # one axis alone counts samples: the first that nothing acts along
    kinds = [
        Kind.FEATURE if i == features else Kind.SAMPLE if i in samples else Kind.POSITION for i in range(len(shape))
    ]
    return axes_of(shape, kinds)


def _followed(fx: FxNode, shape: tuple[int, ...]) -> _Roles:
    roles = _Roles()
    known: dict[FxNode, tuple[Own, ...]] = {fx: tuple(((i, n),) if n != 1 else () for i, n in enumerate(shape))}
    for node in fx.graph.nodes:
        source = next((i for i in node.all_input_nodes if i in known), None)
        if node.op == "call_function" and source is not None:
            after = _after(node, source, known, roles)
            if after is not None:
                known[node] = after
    return roles


def _after(node: FxNode, source: FxNode, known: dict[FxNode, tuple[Own, ...]], roles: _Roles) -> Any:
    """The axes of the result, as far as they are the input's; learns on the way."""
    op, a, before, shape = op_of(node), arguments_of(node), known[source], _shape(node)
    if shape is None or op in _CHANNELS:
        _learn(op, a, before, roles)
        return None
    if op in _PRODUCTS:
        return _product(op, node, known, roles)
    _learn(op, a, before, roles)
    if op in _ORDERS:
        return _reordered(before, a, op)
    if op in _VIEWS:
        return reshaped(before, shape)  # type: ignore[arg-type]  # factors of any name
    if op in _PIECES:
        return _piece(before, int(a.get("dim", 0)) % len(before), shape)
    reads = op == "linear" or op in GATES or op in _ATTENTION
    return _as_read(before, shape) if reads else before if shape == _shape(source) else None


def _learn(op: str, a: dict[str, Any], before: tuple[Own, ...], roles: _Roles) -> None:
    if op in _CHANNELS:
        spatial = int(op[-2])
        roles.reads(before[-spatial - 1])
        for axis in before[-spatial:]:
            roles.mixes(axis)
    elif op in _NORMS:
        roles.reads(before[1])
    elif op == "linear":
        roles.reads(before[-1])
    elif op in GATES:
        roles.reads(before[-1])
        roles.mixes(before[1 if a.get("batch_first") else 0])
    elif op in _ATTENTION:
        roles.mixes(before[-2])


def _as_read(before: tuple[Own, ...], shape: tuple[int, ...]) -> tuple[Own, ...] | None:
    """With a new last axis."""
    return (*before[:-1], _fresh(shape)) if len(shape) == len(before) else None


def _piece(before: tuple[Own, ...], dim: int, shape: tuple[int, ...]) -> tuple[Own, ...]:
    """A part of an axis stands for no axis of the input, and one index of it for none at all."""
    cut = ((_NEW, shape[dim]),) if len(shape) == len(before) and shape[dim] != 1 else ()
    return (*before[:dim], *([cut] if len(shape) == len(before) else []), *before[dim + 1 :])


def _shape(node: FxNode) -> tuple[int, ...] | None:
    value = node.meta.get("val")
    value = value[0] if isinstance(value, (tuple, list)) and value else value
    return tuple(value.shape) if isinstance(value, torch.Tensor) else None


def _product(op: str, node: FxNode, known: dict[FxNode, tuple[Own, ...]], roles: _Roles) -> Any:
    """Of two tensors: the left one's rows meet the right one's columns, and both are positions."""
    operands = [i for i in node.all_input_nodes if i in known and len(known[i]) >= 2]
    if len(node.all_input_nodes) - (op == "baddbmm") >= 2 and len(operands) >= 2:
        for operand in operands[-2:]:
            named = [a for a in known[operand][-2:] if a]
            for own in named:
                if {i for i, _ in own} != {*roles.read[:1]}:
                    roles.mixes(own)
        return None
    if operands:
        roles.reads(known[operands[0]][-1])
        shape = _shape(node)
        return (*known[operands[0]][:-1], _fresh(shape)) if shape else None
    return None


def _fresh(shape: tuple[int, ...]) -> Own:
    return ((_NEW, shape[-1]),) if shape[-1] != 1 else ()


def _reordered(before: tuple[Own, ...], a: dict[str, Any], op: str) -> tuple[Own, ...] | None:
    order = list(range(len(before)))
    if op == "permute":
        return tuple(before[d] for d in a["dims"])
    if op == "movedim":
        return None
    one, other = (-1, -2) if op == "t" else (a["dim0"], a["dim1"])
    order[one], order[other] = order[other], order[one]
    return tuple(before[i] for i in order)
