"""A residual net of convolutions, with and without batch norm.

Each block adds to the stream, x → x + f(x). With a norm in f the start hardly matters. Without one, each block of unit
gain doubles the second moment: after n blocks it is 2ⁿ, and so is that of the gradient. Branches must start small, or
at zero: Fixup scales all layers of a branch but the last down with the number of branches, starts the last at zero, and
gives each branch scalar biases and a multiplier; SkipInit gives it a scalar that is zero.

References: He et al. 2016; Zhang et al. 2019 (Fixup), §3 and figure 1; De & Smith 2020 (SkipInit).
"""

from __future__ import annotations

import torch
from torch import nn

from fanin.experiments.data import Data
from fanin.experiments.nets.activations import activation as activation_named
from fanin.experiments.nets.activations import norm as norm_named


class Block(nn.Module):
    """x + scale · f(x), with f two convolutions, each after a norm and an activation."""

    def __init__(self, width: int, activation: str, norm: str, *, scalars: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = (norm_named(norm, width, pictures=True) for _ in range(2))
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1, bias=not scalars) for _ in range(2))
        self.activation = activation_named(activation)
        if scalars:
            self.bias1a, self.bias1b, self.bias2a, self.bias2b = (nn.Parameter(torch.zeros(1)) for _ in range(4))
            self.scale = nn.Parameter(torch.ones(1))
        self.scalars = scalars

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) → the same."""
        return x + self.branch(x)

    def branch(self, x: torch.Tensor) -> torch.Tensor:
        """What is added to the stream."""
        if self.scalars:
            y = self.conv1(self.activation(x) + self.bias1a)
            out: torch.Tensor = self.conv2(self.activation(y + self.bias1b) + self.bias2a) * self.scale + self.bias2b
        else:
            y = self.conv1(self.activation(self.norm1(x)))
            out = self.conv2(self.activation(self.norm2(y)))
        return out


class ResidualCNN(nn.Module):
    """A convolution, `blocks` residual blocks, an activation, the average over places, a readout.

    Args:
        norm: within each branch: "none", "batch", or "layer" over all channels and places.
        stride: of the first convolution.
        scalars: Fixup's biases and multipliers, one number each, in the place of norms and biases.
    """

    def __init__(
        self,
        blocks: int,
        width: int,
        channels: int,
        outputs: int,
        activation: str = "relu",
        norm: str = "none",
        *,
        scalars: bool = False,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, stride, padding=1)
        self.blocks = nn.ModuleList(Block(width, activation, norm, scalars=scalars) for _ in range(blocks))
        self.activation = activation_named(activation)
        self.readout = nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) → (batch, outputs)."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        out: torch.Tensor = self.readout(self.activation(x).mean((2, 3)))
        return out


def residual_cnn(
    data: Data,
    *,
    blocks: int = 24,
    width: int = 16,
    activation: str = "relu",
    norm: str = "none",
    scalars: bool = False,
    stride: int = 2,
) -> ResidualCNN:
    """Residual blocks without norm: each doubles the signal (Zhang et al. 2019)."""
    channels = data.inputs.shape[1]
    return ResidualCNN(blocks, width, channels, data.outputs, activation, norm, scalars=scalars, stride=stride)
