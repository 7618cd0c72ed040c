"""What the benchmark knows of an architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

Example: TypeAlias = tuple[Any, ...]
OWN = "its own"
FOR_SCANS = 512  # seeds: one scan's y² = (Σ Δ u B·C)² is as uncertain as a single draw of B·C


@dataclass(frozen=True)
class Architecture:
    """A model that can be built, started and fed anew for every seed.

    Attributes:
        make: the model, initialized by its own constructor.
        example: one batch, drawn with a generator.
        init: "its own" where the constructor does what the original's does, else a recipe of fanin.
        normalised: whether norms hold the signal, or the weights alone.
        dtype: in double precision an exact zero is told from a small number; some kernels have none.
        most_seeds: with which it is measured, if it takes as many until the means are known.
    """

    name: str
    group: str
    make: Callable[[], nn.Module]
    example: Callable[[torch.Generator], Example]
    init: str = OWN
    normalised: bool = True
    dtype: torch.dtype = torch.float64
    most_seeds: int = 64


def noise(*shape: int) -> Callable[[torch.Generator], Example]:
    """Standard normal inputs."""

    def draw(generator: torch.Generator) -> Example:
        return (torch.randn(shape, generator=generator),)

    return draw


def tokens(batch: int, length: int, vocabulary: int, inputs: int = 1) -> Callable[[torch.Generator], Example]:
    """Uniformly random token ids."""

    def draw(generator: torch.Generator) -> Example:
        return tuple(torch.randint(vocabulary, (batch, length), generator=generator) for _ in range(inputs))

    return draw


@torch.no_grad()
def normal_everywhere(model: nn.Module, std: float = 0.02) -> None:
    """GPT's and BERT's start: N(0, std²) for matrices and embeddings, no biases; norms stay 1 and 0."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            module.weight.normal_(0.0, std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.zero_()


@torch.no_grad()
def truncated_everywhere(model: nn.Module, std: float = 0.02) -> None:
    """ViT's and ConvNeXt's start: truncated N(0, std²) for linear layers and convolutions, no biases."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.trunc_normal_(module.weight, std=std)
            if module.bias is not None:
                module.bias.zero_()


@torch.no_grad()
def he_fan_out(model: nn.Module) -> None:
    """torchvision's start of convolutional nets: He with fan_out for convolutions; norms 1 and 0; linear as torch's."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                module.bias.zero_()


def pooled(x: Tensor) -> Tensor:
    """The mean over the map."""
    return x.mean((2, 3))
