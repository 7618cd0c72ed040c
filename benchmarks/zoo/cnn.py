"""Plain convolutional nets."""

from __future__ import annotations

from torch import Tensor, nn

from .architecture import Architecture, noise, pooled

WIDTH = 64
STRIDED = (2, 5)


class PlainCNN(nn.Module):
    def __init__(self, *, norm: bool, depth: int = 8) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for at in range(depth):
            stride = 2 if at in STRIDED else 1
            layers.append(nn.Conv2d(3 if at == 0 else WIDTH, WIDTH, 3, stride, padding=1))
            layers += [nn.BatchNorm2d(WIDTH)] if norm else []
            layers.append(nn.ReLU())
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(pooled(self.features(x)))


ENTRIES = (
    Architecture("cnn", "CNN", lambda: PlainCNN(norm=False), noise(8, 3, 32, 32), "he", normalised=False),
    Architecture("cnn-bn", "CNN", lambda: PlainCNN(norm=True), noise(8, 3, 32, 32), "he"),
)
