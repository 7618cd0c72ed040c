"""Activations by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import nn

from fanin.errors import UnknownName

ACTIVATIONS: Final[dict[str, Callable[[], nn.Module]]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "selu": nn.SELU,
}


def activation(name: str) -> nn.Module:
    """A new one.

    Raises:
        UnknownName: the message names the nearest.
    """
    if name not in ACTIVATIONS:
        raise UnknownName("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


def norm(name: str, width: int, batch: type[nn.Module] = nn.BatchNorm1d) -> nn.Module:
    """One of `NORMS`, over `width` features."""
    if name not in NORMS:
        raise UnknownName("norm", name, NORMS)
    return {"none": nn.Identity(), "batch": batch(width), "layer": nn.LayerNorm(width)}[name]


NORMS: Final = ("none", "batch", "layer")
