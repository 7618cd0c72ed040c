"""DenseNet-121 (Huang et al. 2017): every layer sees all layers before it. Growth 12 for 32, images 64 × 64."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architecture import Architecture, noise, pooled

GROWTH = 12


class Dense(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 4 * GROWTH
        self.norm1, self.conv1 = nn.BatchNorm2d(width), nn.Conv2d(width, inner, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(inner), nn.Conv2d(inner, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], 1)


class Transition(nn.Module):
    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(width_in), nn.Conv2d(width_in, width, 1, bias=False)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.conv(F.relu(self.norm(x))))


class DenseNet(nn.Module):
    def __init__(self, blocks: Sequence[int] = (6, 12, 24, 16)) -> None:
        super().__init__()
        width = 2 * GROWTH
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
        )
        layers: list[nn.Module] = []
        for stage, count in enumerate(blocks):
            layers += [Dense(width + at * GROWTH) for at in range(count)]
            width += count * GROWTH
            if stage < len(blocks) - 1:
                layers.append(Transition(width, width // 2))
                width //= 2
        self.layers = nn.Sequential(*layers)
        self.norm, self.head = nn.BatchNorm2d(width), nn.Linear(width, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(pooled(F.relu(self.norm(self.layers(self.stem(x))))))


ENTRIES = (Architecture("densenet-121", "densely connected CNN", DenseNet, noise(8, 3, 64, 64)),)
