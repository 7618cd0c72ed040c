"""Plain fully connected nets, without norms: what the classic recipes were derived for."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from .architecture import Architecture, noise

WIDTH = 256


def mlp(activation: Callable[[], nn.Module], depth: int) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        hidden = [layer for _ in range(depth) for layer in (nn.Linear(WIDTH, WIDTH), activation())]
        return nn.Sequential(*hidden, nn.Linear(WIDTH, 10))

    return make


def _plain(name: str, activation: Callable[[], nn.Module], depth: int, init: str) -> Architecture:
    return Architecture(name, "MLP", mlp(activation, depth), noise(32, WIDTH), init, normalised=False)


ENTRIES = (
    _plain("mlp-relu-10", nn.ReLU, 10, "he"),
    _plain("mlp-relu-50", nn.ReLU, 50, "he"),
    _plain("mlp-tanh-50", nn.Tanh, 50, "lecun"),
    _plain("mlp-gelu-30", nn.GELU, 30, "he"),
    _plain("mlp-selu-20", nn.SELU, 20, "lecun"),
)
