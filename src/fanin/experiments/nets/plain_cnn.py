"""Convolutions one after the other, without a norm or a way around them.

As hard as a deep perceptron, and with one more dimension: each spatial frequency of the picture is a signal of its own,
and random kernels keep the lowest best, so that all places of a picture become alike. Kernels that are orthogonal at
their centre and zero elsewhere keep all of them, which trained 10,000 layers.

Reference: Xiao et al. 2018.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from fanin.experiments.data import Data
from fanin.experiments.nets.activations import activation as activation_named
from fanin.experiments.nets.activations import norm as norm_named


class PlainCNN(nn.Module):
    """`depth` convolutions of 3 × 3 with `width` channels, x → φ(norm(W ∗ x + b)); the average over places; a readout.

    Args:
        stride: of the first convolution.
    """

    def __init__(
        self,
        depth: int,
        width: int,
        channels: int,
        outputs: int,
        activation: str = "tanh",
        norm: str = "none",
        stride: int = 1,
    ) -> None:
        super().__init__()
        sizes = [channels] + [width] * depth
        strides = [stride] + [1] * (depth - 1)
        layers = zip(pairwise(sizes), strides, strict=True)
        self.hidden = nn.ModuleList(nn.Conv2d(n, m, 3, step, padding=1) for (n, m), step in layers)
        self.norms = nn.ModuleList(norm_named(norm, width, pictures=True) for _ in range(depth))
        self.activation = activation_named(activation)
        self.readout = nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) → (batch, outputs)."""
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            x = self.activation(norm(layer(x)))
        out: torch.Tensor = self.readout(x.mean((2, 3)))
        return out


def plain_cnn(
    data: Data,
    *,
    depth: int = 50,
    width: int = 16,
    activation: str = "tanh",
    norm: str = "none",
    stride: int = 2,
) -> PlainCNN:
    """Convolutions without norm or skip: all places of a picture become alike (Xiao et al. 2018)."""
    return PlainCNN(depth, width, data.inputs.shape[1], data.outputs, activation, norm, stride)
