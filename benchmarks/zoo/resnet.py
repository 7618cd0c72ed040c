"""Residual nets: basic and bottleneck blocks, without norm, with squeeze-and-excitation, and with pre-activation.

He et al. 2016a and 2016b; Hu et al. 2018. Widths are half the original's, images 64 × 64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architecture import Architecture, he_fan_out, noise, pooled

WIDTH = 32
Block = Callable[[int, int, int, bool], nn.Module]


def _norm(width: int, norm: bool) -> nn.Module:
    return nn.BatchNorm2d(width) if norm else nn.Identity()


class Shortcut(nn.Sequential):
    """The identity, or a projection where the shape changes."""

    def __init__(self, width_in: int, width: int, stride: int, norm: bool) -> None:
        changed = stride != 1 or width_in != width
        super().__init__(*([nn.Conv2d(width_in, width, 1, stride, bias=False), _norm(width, norm)] if changed else []))


class SqueezeExcite(nn.Module):
    """A gate for each channel, from the means of all."""

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Linear(width, width // reduction), nn.Linear(width // reduction, width)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.expand(torch.relu(self.reduce(pooled(x)))))
        return x * gate[:, :, None, None]


class Basic(nn.Module):
    def __init__(self, width_in: int, width: int, stride: int, norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.norm1 = _norm(width, norm)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = _norm(width, norm)
        self.shortcut = Shortcut(width_in, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, width_in: int, width: int, stride: int, norm: bool, *, excite: bool = False) -> None:
        super().__init__()
        inner = width // self.expansion
        self.conv1, self.norm1 = nn.Conv2d(width_in, inner, 1, bias=False), _norm(inner, norm)
        self.conv2, self.norm2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False), _norm(inner, norm)
        self.conv3, self.norm3 = nn.Conv2d(inner, width, 1, bias=False), _norm(width, norm)
        self.gate = SqueezeExcite(width) if excite else nn.Identity()
        self.shortcut = Shortcut(width_in, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.gate(self.norm3(self.conv3(y))) + self.shortcut(x))


class PreActivation(nn.Module):
    def __init__(self, width_in: int, width: int, stride: int, norm: bool) -> None:
        super().__init__()
        self.norm1, self.conv1 = (
            _norm(width_in, norm),
            nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False),
        )
        self.norm2, self.conv2 = _norm(width, norm), nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.shortcut = Shortcut(width_in, width, stride, norm=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return self.conv2(F.relu(self.norm2(y))) + self.shortcut(x)


class ResNet(nn.Module):
    def __init__(self, block: Block, repeats: Sequence[int], *, norm: bool = True, expansion: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 7, 2, padding=3, bias=False)
        self.norm = _norm(WIDTH, norm)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        blocks: list[nn.Module] = []
        width = WIDTH
        for stage, count in enumerate(repeats):
            for at in range(count):
                wider = WIDTH * expansion * 2**stage
                blocks.append(block(width, wider, 2 if stage and not at else 1, norm))
                width = wider
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, 10)
        he_fan_out(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.norm(self.stem(x))))
        return self.head(pooled(self.blocks(x)))


def _excited(width_in: int, width: int, stride: int, norm: bool) -> nn.Module:
    return Bottleneck(width_in, width, stride, norm, excite=True)


def _residual(name: str, make: Callable[[], nn.Module], *, normalised: bool = True) -> Architecture:
    return Architecture(name, "residual CNN", make, noise(8, 3, 64, 64), normalised=normalised)


ENTRIES = (
    _residual("resnet-18", lambda: ResNet(Basic, (2, 2, 2, 2))),
    _residual("resnet-50", lambda: ResNet(Bottleneck, (3, 4, 6, 3), expansion=4)),
    _residual("resnet-18-no-norm", lambda: ResNet(Basic, (2, 2, 2, 2), norm=False), normalised=False),
    _residual("resnet-18-preact", lambda: ResNet(PreActivation, (2, 2, 2, 2))),
    _residual("se-resnet-50", lambda: ResNet(_excited, (3, 4, 6, 3), expansion=4)),
)
