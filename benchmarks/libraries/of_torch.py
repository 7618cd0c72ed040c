"""torch.nn.init, with a `generator`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from libraries.base import Library, Offer
from torch import nn
from torch.nn import init

from fanin.initializers import (
    Initializer,
    Normal,
    Orthogonal,
    Sparse,
    Target,
    Uniform,
    glorot_uniform,
    he_normal,
    torch_truncated_normal,
)
from fanin.testing import Foreign


def offer(name: str, law: Initializer, **arguments: Any) -> Offer:
    """`name` of torch.nn.init, called with these arguments."""

    def call(target: Target, seed: int) -> Any:
        tensor = torch.empty(target.shape, dtype=getattr(torch, target.dtype))
        getattr(init, name)(tensor, **arguments, generator=torch.Generator().manual_seed(seed))
        return tensor.double().numpy()

    return Offer(f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})", Foreign(call, law))


OFFERS = {
    "normal": offer("normal_", Normal(0.02), std=0.02),
    "uniform": offer("uniform_", Uniform(-0.05, 0.05), a=-0.05, b=0.05),
    "truncated normal": offer("trunc_normal_", torch_truncated_normal(0.02), std=0.02),
    "He normal": offer("kaiming_normal_", he_normal(), nonlinearity="relu"),
    "Glorot uniform": offer("xavier_uniform_", glorot_uniform()),
    "orthogonal": offer("orthogonal_", Orthogonal()),
    "sparse": offer("sparse_", Sparse(0.25, 0.01), sparsity=0.25, std=0.01),
}


class Attention(nn.Module):
    """Self-attention of 64 channels, its three projections packed in one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.MultiheadAttention(64, 4, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.a(x, x, x, need_weights=False)[0]


class Experts(nn.Module):
    """A stack of matrices, each for inputs of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(8, 64, 32))

    def forward(self, x: Any) -> Any:
        return torch.bmm(x, self.w)


def image() -> torch.Tensor:
    return torch.zeros(1, 64, 8, 8)


LAYERS: dict[str, Callable[[], tuple[nn.Module, Any, str]]] = {
    "Linear 64 → 32": lambda: (nn.Linear(64, 32), torch.zeros(2, 64), "weight"),
    "Conv 3×3, 64 → 32": lambda: (nn.Conv2d(64, 32, 3), image(), "weight"),
    "Conv 3×3, stride 2": lambda: (nn.Conv2d(64, 32, 3, stride=2), image(), "weight"),
    "Conv 3×3, 4 groups": lambda: (nn.Conv2d(64, 32, 3, groups=4), image(), "weight"),
    "Conv 3×3, depthwise": lambda: (nn.Conv2d(64, 64, 3, groups=64), image(), "weight"),
    "ConvTranspose 4×4, stride 2": lambda: (nn.ConvTranspose2d(64, 32, 4, stride=2), image(), "weight"),
    "attention: q, k, v": lambda: (Attention(), torch.zeros(2, 5, 64), "a.in_proj_weight"),
    "8 experts 64 → 32": lambda: (Experts(), torch.zeros(8, 2, 64), "w"),
}


def weight(layer: str, mode: str, seed: int) -> Any:
    """`kaiming_uniform_` on the layer's own weight."""
    model, _, path = LAYERS[layer]()
    tensor = model.get_parameter(path).detach()
    init.kaiming_uniform_(tensor, mode=mode, nonlinearity="relu", generator=torch.Generator().manual_seed(seed))
    return tensor.numpy()


def library() -> Library:
    """The column."""
    layers = {name: lambda mode, seed, name=name: weight(name, mode, seed) for name in LAYERS}
    return Library("torch", torch.__version__, OFFERS, layers)
