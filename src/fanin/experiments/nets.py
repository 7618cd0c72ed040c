"""Built-in nets: small, and written out so that they can be read."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import torch
from torch import nn

from fanin.errors import UnknownName

ACTIVATIONS: Final[dict[str, Callable[[], nn.Module]]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
}


class Perceptron(nn.Module):
    """`depth` hidden layers of `width` units, x → φ(W x + b), and a linear readout.

    Example:
        >>> sum(p.numel() for p in Perceptron(depth=3, width=8, inputs=4, outputs=2).parameters())
        202
    """

    def __init__(self, depth: int, width: int, inputs: int, outputs: int, activation: str = "relu") -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise UnknownName("activation", activation, ACTIVATIONS)
        sizes = [inputs] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
        self.activation = ACTIVATIONS[activation]()
        self.readout = nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, inputs) → (batch, outputs)."""
        for layer in self.hidden:
            x = self.activation(layer(x))
        out: torch.Tensor = self.readout(x)
        return out
