"""An example input of a given shape, when the user has no batch at hand."""

from __future__ import annotations

import torch

from fanin.stream import key, normal


def example_input(shape: tuple[int, ...]) -> torch.Tensor:
    """White Gaussian noise of second moment 1, always the same for one shape."""
    size = torch.Size(shape).numel()
    return torch.from_numpy(normal(key(0, "fanin/example"), range(size), 1.0)).reshape(shape)
