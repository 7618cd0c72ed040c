"""Activations by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import nn

from fanin.call import bind
from fanin.errors import UnknownName


def leaky_relu(negative_slope: float = 0.01) -> nn.Module:
    """Z above 0, a share of it below."""
    return nn.LeakyReLU(negative_slope)


ACTIVATIONS: Final[dict[str, Callable[..., nn.Module]]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": leaky_relu,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "selu": nn.SELU,
    "identity": nn.Identity,
}


def activation(name: str) -> nn.Module:
    """A new one, by its name, or as "leaky_relu(negative_slope=0.2)".

    Raises:
        UnknownName: the message names the nearest.
        BadInput: arguments that it does not take.
    """
    return bind("activation", name, ACTIVATIONS)()


def norm(name: str, width: int, *, pictures: bool = False) -> nn.Module:
    """One of `NORMS` over `width` features, or over the channels of pictures.

    Raises:
        UnknownName: the message names the nearest.
    """
    if name not in NORMS:
        raise UnknownName("norm", name, NORMS)
    batch = nn.BatchNorm2d if pictures else nn.BatchNorm1d
    layer = nn.GroupNorm(1, width) if pictures else nn.LayerNorm(width)
    return {"none": nn.Identity(), "batch": batch(width), "layer": layer}[name]


NORMS: Final = ("none", "batch", "layer")
