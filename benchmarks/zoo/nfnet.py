"""NF-ResNet (Brock et al. 2021): no norm; weights are standardised, and branches are scaled to a known variance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architecture import Architecture, noise, pooled

RELU_GAIN = 1.7139588594436646  # 1/√Var relu(z), as the original has it
ALPHA = 0.2  # of a branch


class StandardisedConv2d(nn.Conv2d):
    """Scaled weight standardisation: every filter has mean 0 and variance gain²/fan_in."""

    def __init__(self, *args: int, **keywords: int) -> None:
        super().__init__(*args, **keywords)
        self.gain = nn.Parameter(torch.ones(self.out_channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        fan_in = self.weight[0].numel()
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        variance = self.weight.var((1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) * torch.rsqrt(torch.clamp(variance * fan_in, min=1e-4)) * self.gain
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class Block(nn.Module):
    """h + α f(h/β), where β² is the variance of h as it is expected."""

    def __init__(self, width_in: int, width: int, stride: int, variance: float) -> None:
        super().__init__()
        self.beta = 1 / variance**0.5
        self.conv1 = StandardisedConv2d(width_in, width, 3, stride, 1)
        self.conv2 = StandardisedConv2d(width, width, 3, 1, 1)
        changed = stride != 1 or width_in != width
        self.shortcut = StandardisedConv2d(width_in, width, 1, stride) if changed else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(x) * (RELU_GAIN * self.beta)
        kept = x if self.shortcut is None else self.shortcut(y)
        return self.conv2(F.relu(self.conv1(y)) * RELU_GAIN) * ALPHA + kept


class NFNet(nn.Module):
    def __init__(self, repeats: Sequence[int] = (2, 2, 2, 2), width: int = 32) -> None:
        super().__init__()
        self.stem = StandardisedConv2d(3, width, 3, 2, 1)
        blocks, width_in, variance = [], width, 1.0
        for stage, count in enumerate(repeats):
            for at in range(count):
                blocks.append(Block(width_in, width * 2**stage, 2 if stage and not at else 1, variance))
                if at == 0:
                    variance = 1.0  # the shortcut begins anew
                variance += ALPHA**2
                width_in = width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width_in, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="linear")
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(pooled(F.relu(self.blocks(self.stem(x))) * RELU_GAIN))


ENTRIES = (Architecture("nf-resnet-18", "residual CNN", NFNet, noise(8, 3, 32, 32), normalised=False),)
