"""The perceptron of any depth: the plainest net, and at a hundred layers one of the hardest to start.

Each layer multiplies the signal by a number, and the gradient by another one on its way back. A hundred layers take
these numbers to the hundredth power, so that both must be 1 within some percent; and whatever the numbers are, inputs
become alike or strangers to each other layer by layer, unless the activation is nearly linear. Sigmoid is the worst:
its mean of ½ adds the same vector to every sample.

References: Glorot & Bengio 2010; Poole et al. 2016; Schoenholz et al. 2017; Pennington et al. 2017. With SELU:
Klambauer et al. 2017.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from fanin.experiments.data import Data
from fanin.experiments.nets.activations import activation as activation_named
from fanin.experiments.nets.activations import norm as norm_named


class Perceptron(nn.Module):
    """`depth` hidden layers of `width` units, x → φ(norm(W x + b)), and a linear readout; at depth 0 that alone.

    Example:
        >>> sum(p.numel() for p in Perceptron(depth=3, width=8, inputs=4, outputs=2).parameters())
        202
    """

    def __init__(
        self, depth: int, width: int, inputs: int, outputs: int, activation: str = "relu", norm: str = "none"
    ) -> None:
        super().__init__()
        sizes = [inputs] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
        self.norms = nn.ModuleList(norm_named(norm, width) for _ in range(depth))
        self.activation = activation_named(activation)
        self.readout = nn.Linear(sizes[-1], outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, inputs) → (batch, outputs)."""
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            x = self.activation(norm(layer(x)))
        out: torch.Tensor = self.readout(x)
        return out


def perceptron(
    data: Data, *, depth: int = 100, width: int = 64, activation: str = "relu", norm: str = "none"
) -> Perceptron:
    """A hundred layers, each of which may lose the signal or the gradient (Schoenholz et al. 2017)."""
    return Perceptron(depth, width, data.inputs.shape[1], data.outputs, activation, norm)
