"""A deep autoencoder: down to a few numbers, and back to the picture.

The problem on which deep nets could not be trained before layers were pretrained (Hinton & Salakhutdinov 2006), until
scaled starts and momentum did it (Martens 2010; Sutskever et al. 2013). It is easy to say the mean picture and stay
there: whatever does not pass through the few numbers of the code, or shrinks on the way, has no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from fanin.experiments.data import Data
from fanin.experiments.nets.activations import activation as activation_named


class Autoencoder(nn.Module):
    """Layers of the given sizes and back again, x → φ(W x + b); the code and the picture are linear."""

    def __init__(self, sizes: Sequence[int], activation: str = "sigmoid") -> None:
        super().__init__()
        self.encoder = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
        self.decoder = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(reversed(sizes)))
        self.activation = activation_named(activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, inputs) → (batch, inputs)."""
        for half in (self.encoder, self.decoder):
            for layer in half[:-1]:
                x = self.activation(layer(x))
            x = half[-1](x)
        return x


def autoencoder(
    data: Data, *, depth: int = 5, width: int = 64, code: int = 8, activation: str = "sigmoid"
) -> Autoencoder:
    """Pictures through a narrow code, `depth` layers down and `depth` up (Hinton & Salakhutdinov 2006)."""
    return Autoencoder([data.inputs.shape[1], *[width] * (depth - 1), code], activation)
