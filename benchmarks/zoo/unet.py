"""U-Net (Ronneberger et al. 2015) with batch norm: down, up, and the maps of equal size joined."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architecture import Architecture, noise


class Twice(nn.Sequential):
    """Two convolutions with batch norm and ReLU."""

    def __init__(self, width_in: int, width: int) -> None:
        layers: list[nn.Module] = []
        for before in (width_in, width):
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        super().__init__(*layers)


class UNet(nn.Module):
    def __init__(self, widths: Sequence[int] = (32, 64, 128)) -> None:
        super().__init__()
        self.down = nn.ModuleList(Twice(a, b) for a, b in zip((3, *widths[:-1]), widths, strict=True))
        ups = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.widen = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, 2) for deep, shallow in ups)
        self.up = nn.ModuleList(Twice(2 * shallow, shallow) for _, shallow in ups)
        self.head = nn.Conv2d(widths[0], 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for at, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if at else x)
            kept.append(x)
        kept.pop()
        for widen, block in zip(self.widen, self.up, strict=True):
            x = block(torch.cat([kept.pop(), widen(x)], 1))
        return self.head(x)


ENTRIES = (Architecture("unet", "densely connected CNN", UNet, noise(8, 3, 32, 32), "he"),)
