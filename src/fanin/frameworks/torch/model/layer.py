"""A layer in words: what it is, what it takes, and what it was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import torch
from torch.utils._pytree import tree_leaves

_AXES: Final = {1: "length", 2: "height, width", 3: "depth, height, width"}
_TAKES: Final[Mapping[type[torch.nn.Module], Callable[[Any], str]]] = {
    torch.nn.Linear: lambda m: f"a last axis of {m.in_features}",
    torch.nn.Embedding: lambda m: f"integer indices from 0 to {m.num_embeddings - 1}",
    torch.nn.EmbeddingBag: lambda m: f"integer indices from 0 to {m.num_embeddings - 1}",
    torch.nn.LayerNorm: lambda m: f"last axes of {tuple(m.normalized_shape)}",
    torch.nn.RMSNorm: lambda m: f"last axes of {tuple(m.normalized_shape)}",
    torch.nn.GroupNorm: lambda m: f"shape (batch, {m.num_channels}, …)",
    torch.nn.BatchNorm1d: lambda m: f"shape (batch, {m.num_features}) or (batch, {m.num_features}, length)",
    torch.nn.MultiheadAttention: lambda m: f"a last axis of {m.embed_dim}",
    torch.nn.RNNBase: lambda m: f"a last axis of {m.input_size}",
    torch.nn.RNNCellBase: lambda m: f"a last axis of {m.input_size}",
}


def describe(path: str, module: torch.nn.Module) -> str:
    """`layer 'body.2', Linear(in_features=5, …)`, without the lines of the layers inside it."""
    own = f"{type(module).__name__}({module.extra_repr()})" if module.extra_repr() else type(module).__name__
    return f"layer {path!r}, {own}" if path else f"the model {own}"


def takes(module: torch.nn.Module) -> str:
    """The input that a layer of PyTorch's own expects; "" where fanin does not know."""
    m: Any = module
    for kind, phrase in _TAKES.items():
        if isinstance(module, kind):
            return phrase(m)
    channels = getattr(m, "in_channels", getattr(m, "num_features", None))
    axes = next((n for n in _AXES if type(module).__name__.endswith(f"{n}d")), 0)
    return f"shape (batch, {channels}, {_AXES[axes]})" if channels and axes else ""


def batch_is_missing(module: torch.nn.Module, x: torch.Tensor) -> bool:
    """Whether x has all the axes that a layer over positions takes, but for the first."""
    expected = takes(module)
    return (
        expected.startswith("shape (batch") and "…" not in expected and x.dim() == expected.split(" or ")[0].count(",")
    )


def given(values: Iterable[Any]) -> str:
    """The shapes of the tensors among the values, each with its dtype unless that is float32."""
    leaves = tree_leaves(list(values))
    shapes = [_shape(x) for x in leaves if isinstance(x, torch.Tensor)]
    return ", ".join(shapes or dict.fromkeys(type(x).__name__ for x in leaves)) or "nothing"


def _shape(x: torch.Tensor) -> str:
    dtype = "" if x.dtype is torch.float32 else f" of {str(x.dtype).removeprefix('torch.')}"
    return f"shape {tuple(x.shape)}{dtype}"
