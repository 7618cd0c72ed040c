"""Inverted residuals: MobileNetV2 (Sandler et al. 2018) and, with gates and SiLU, EfficientNet-B0 (Tan & Le 2019).

Widths are half the original's, images 64 × 64; stochastic depth is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architecture import Architecture, he_fan_out, noise, pooled

MOBILE = ((1, 8, 1, 1, 3), (6, 12, 2, 2, 3), (6, 16, 3, 2, 3), (6, 32, 4, 2, 3), (6, 48, 3, 1, 3), (6, 80, 3, 2, 3))
EFFICIENT = (
    *((1, 8, 1, 1, 3), (6, 12, 2, 2, 3), (6, 20, 2, 2, 5), (6, 40, 3, 2, 3)),
    *((6, 56, 3, 1, 5), (6, 96, 4, 2, 5), (6, 160, 1, 1, 3)),
)
"""Stages: expansion, width, repeats, stride, kernel."""


def convolution(width_in: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(width_in, width, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width))


class Gate(nn.Module):
    """Squeeze and excitation with SiLU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.expand(F.silu(self.reduce(squeezed))))


class InvertedResidual(nn.Module):
    def __init__(
        self, width_in: int, width: int, expansion: int, stride: int, kernel: int, phi: type[nn.Module], *, gate: bool
    ) -> None:
        super().__init__()
        inner = width_in * expansion
        layers: list[nn.Module] = [convolution(width_in, inner, 1), phi()] if expansion != 1 else []
        layers += [convolution(inner, inner, kernel, stride, groups=inner), phi()]
        layers += [Gate(inner, max(1, width_in // 4))] if gate else []
        layers.append(convolution(inner, width, 1))
        self.branch = nn.Sequential(*layers)
        self.residual = stride == 1 and width_in == width

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        return x + y if self.residual else y


class MobileNet(nn.Module):
    def __init__(self, stages: Sequence[Sequence[int]], last: int, phi: type[nn.Module], *, gate: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 16, 3, 2), phi())
        blocks, width = [], 16
        for expansion, wider, repeats, stride, kernel in stages:
            for at in range(repeats):
                blocks.append(InvertedResidual(width, wider, expansion, 1 if at else stride, kernel, phi, gate=gate))
                width = wider
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(convolution(width, last, 1), phi())
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, 10))
        he_fan_out(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(pooled(self.last(self.blocks(self.stem(x)))))


def _mobile(name: str, make: Callable[[], nn.Module]) -> Architecture:
    return Architecture(name, "mobile CNN", make, noise(8, 3, 64, 64))


ENTRIES = (
    _mobile("mobilenet-v2", lambda: MobileNet(MOBILE, 320, nn.ReLU6, gate=False)),
    _mobile("efficientnet-b0", lambda: MobileNet(EFFICIENT, 320, nn.SiLU, gate=True)),
)
