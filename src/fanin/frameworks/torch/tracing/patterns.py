"""What a parameter is where norms and biases are written out by hand: w · x/rms(x), and x @ W + b."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch.fx.node import Node as FxNode

from fanin.frameworks.torch.tracing.operations import op_of
from fanin.graph import Role
from fanin.graph.operations import UNKNOWN, Slot

# Operations that leave the elements as they are: a parameter is still itself behind them.
VIEWS: Final = frozenset(
    {
        *("alias", "detach", "clone", "contiguous", "to", "_to_copy"),
        *("t", "numpy_T", "mT", "transpose", "permute", "movedim"),
        *("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "expand"),
        *("slice", "select", "narrow", "split", "split_with_sizes", "chunk", "unbind", "getitem"),
    }
)
PRODUCTS: Final = frozenset({"matmul", "mm", "bmm", "mv", "einsum", "linear"})
_NORM_SCALE, _NORM_SHIFT, _BIAS = Slot(Role.NORM_SCALE), Slot(Role.NORM_SHIFT), Slot(Role.BIAS)


def handwritten(fx: FxNode, is_parameter: Callable[[FxNode], bool]) -> Slot:
    """The slot of a parameter that `fx` multiplies with, or adds to, something else."""
    others = [_behind(i) for i in fx.all_input_nodes if not is_parameter(i)]
    if len(others) != 1 or len(fx.all_input_nodes) != 2:
        return UNKNOWN
    (other,) = others
    if op_of(fx) == "mul" and _is_normalised(other):
        return _NORM_SCALE
    if op_of(fx) == "add" and any(is_parameter(i) and _is_vector(i) for i in fx.all_input_nodes):
        if op_of(other) == "mul" and any(_is_normalised(_behind(i)) for i in other.all_input_nodes):
            return _NORM_SHIFT
        if op_of(other) in PRODUCTS:
            return _BIAS
    return UNKNOWN


def _behind(fx: FxNode) -> FxNode:
    """The operation whose result is seen through views and casts."""
    while op_of(fx) in VIEWS and fx.all_input_nodes:
        fx = fx.all_input_nodes[0]
    return fx


def _is_normalised(fx: FxNode) -> bool:
    """X · rsqrt(…), or x / √…, or x / (std + ε)."""
    inputs = [_behind(i) for i in fx.all_input_nodes]
    if op_of(fx) == "mul":
        return any(op_of(i) == "rsqrt" for i in inputs)
    if op_of(fx) == "div" and len(inputs) == 2:
        size = inputs[1]
        while op_of(size) in {"add", "clamp_min", "maximum"} and size.all_input_nodes:
            size = _behind(size.all_input_nodes[0])
        return op_of(size) in {"sqrt", "std", "linalg_vector_norm"}
    return False


def _is_vector(fx: FxNode) -> bool:
    """One number for each element of the last axis."""
    shape = tuple(fx.meta["val"].shape)
    return bool(shape) and fx.meta["val"].numel() == shape[-1]
