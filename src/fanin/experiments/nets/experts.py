"""A transformer whose feed-forward nets are several experts, of which a router picks some for each token.

The router is a softmax over experts. Where its start is large, it decides hard before it knows anything, and experts
that are not picked get no gradient; where all experts start alike, or the router at zero with ties, they stay alike.
The sum over picked experts is weighted by their probabilities, which shrinks the branch.

References: Shazeer et al. 2017; Fedus et al. 2021 (Switch: starts of a tenth of the usual variance), §2.4.
"""

from __future__ import annotations

import torch
from torch import nn

from fanin.experiments.data import Data
from fanin.experiments.nets.transformer import Attention, FeedForward


class Experts(nn.Module):
    """Σ over the `picked` most probable experts of probability · expert(x).

    All experts are computed and those not picked multiplied by 0: the same function as sending each token to its
    experts only, in a form that can be followed, batched and traced.
    """

    def __init__(self, width: int, experts: int, picked: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList(FeedForward(width) for _ in range(experts))
        self.picked = picked

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, width) → the same."""
        probabilities = self.router(x).softmax(-1)
        smallest = probabilities.topk(self.picked, -1).values[..., -1:]
        weights = torch.where(probabilities >= smallest, probabilities, 0.0)
        answers = torch.stack([expert(x) for expert in self.experts], -1)
        return (answers * weights.unsqueeze(-2)).sum(-1)


class Block(nn.Module):
    """Attention and experts, each after a norm and added to the stream."""

    def __init__(self, width: int, heads: int, experts: int, picked: int) -> None:
        super().__init__()
        self.attention, self.experts = Attention(width, heads, packed=False), Experts(width, experts, picked)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, width) → the same."""
        x = x + self.attention(self.norm1(x))
        out: torch.Tensor = x + self.experts(self.norm2(x))
        return out


class MixtureOfExperts(nn.Module):
    """Embeddings, blocks, a norm, a readout at every position."""

    def __init__(
        self, blocks: int, width: int, heads: int, tokens: int, length: int, experts: int = 4, picked: int = 2
    ) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(tokens, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads, experts, picked) for _ in range(blocks))
        self.norm, self.readout = nn.LayerNorm(width), nn.Linear(width, tokens)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(batch, length) → (batch, length, tokens)."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        out: torch.Tensor = self.readout(self.norm(x))
        return out


def mixture_of_experts(
    data: Data, *, blocks: int = 4, width: int = 32, heads: int = 2, experts: int = 4, picked: int = 2
) -> MixtureOfExperts:
    """Experts that a router picks from: its start must neither decide too early nor leave them alike (Fedus 2021)."""
    return MixtureOfExperts(blocks, width, heads, data.tokens, data.inputs.shape[1], experts, picked)
