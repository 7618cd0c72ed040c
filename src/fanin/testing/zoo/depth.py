"""Deep plain nets whose weights are too small, too large, or all alike."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Final

import torch
from torch import nn

from fanin.testing.zoo.case import Case, Situation

DEPTH: Final = 20
WIDTH: Final = 64
ACTIVATIONS: Final = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU, "sigmoid": nn.Sigmoid}


def plain(activation: str, std: float | None, *, constant: bool = False) -> Situation:
    """A perceptron of equal layers.

    Args:
        std: of every weight, times √fan_in; None leaves PyTorch's own start.
        constant: every weight is `std`/√fan_in instead.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        sizes = [32, *[WIDTH] * DEPTH]
        hidden = [m for n, k in pairwise(sizes) for m in (nn.Linear(n, k), ACTIVATIONS[activation]())]
        net = nn.Sequential(*hidden, nn.Linear(WIDTH, 10))
        for layer in net if std is not None else ():
            if isinstance(layer, nn.Linear) and std is not None:
                scale = std / layer.in_features**0.5
                nn.init.constant_(layer.weight, scale) if constant else nn.init.normal_(layer.weight, std=scale)
                nn.init.zeros_(layer.bias)
        inputs = torch.randn(64, 32)
    return Situation(net, (inputs,), partial(nn.functional.cross_entropy, target=torch.arange(64) % 10))


CASES: Final = (
    Case("tanh, weights 0", partial(plain, "tanh", 0.0), frozenset({"U01"})),
    Case(
        "tanh, one constant", partial(plain, "tanh", 0.5, constant=True), frozenset({"U01"}), frozenset({"U02", "B01"})
    ),
    Case("tanh, too small", partial(plain, "tanh", 0.1), frozenset({"F01", "B01"})),
    Case("gelu, too small", partial(plain, "gelu", 0.1), frozenset({"F01", "B01"})),
    Case("tanh, too large", partial(plain, "tanh", 8.0), frozenset({"U02", "B02"}), frozenset({"L01"})),
    Case("relu, too large", partial(plain, "relu", 8.0), frozenset({"F02", "B02"}), frozenset({"L01"})),
    Case("relu, as PyTorch starts it", partial(plain, "relu", None), frozenset({"B01", "F04"})),
    Case("tanh, as PyTorch starts it", partial(plain, "tanh", None), frozenset({"B01", "F04"})),
    Case("sigmoid, as PyTorch starts it", partial(plain, "sigmoid", None), frozenset({"B01", "F04"})),
    Case("tanh, Glorot", partial(plain, "tanh", 1.0)),
    Case("relu, He", partial(plain, "relu", 2.0**0.5)),
    Case("gelu, He", partial(plain, "gelu", 2.0**0.5)),
)
