"""What flows through a net that has no memory yet, for several starts; and how deep such a stack can be."""

import torch
from torch import nn

import fanin
from fanin.signals import stacks


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.inner, self.outer = (
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.outer(nn.functional.gelu(self.inner(self.norm(x))))


with torch.device("meta"):  # 1.6 billion parameters, and no memory for any of them
    plain = nn.Sequential(*[layer for _ in range(50) for layer in (nn.Linear(4096, 4096), nn.Tanh())])
    residual = nn.Sequential(*[Block(4096) for _ in range(6)])
    x = torch.empty(32, 4096)

for net in (plain, residual):
    for recipe in ("torch_default", "auto"):
        predicted = fanin.predict(net, x, plan=fanin.plan(net, x, recipe=recipe))
        print(f"{recipe}: {stacks(predicted)[0].summary}")
