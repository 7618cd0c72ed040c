"""The seed that the user's own generator gives."""

from __future__ import annotations

import torch


def draw_seed(generator: torch.Generator | None = None) -> int:
    """63 bits from a generator, on its own device, and advances it once.

    None is PyTorch's global one, so that `torch.manual_seed` keeps its meaning, wherever new tensors are made.
    """
    device = torch.device("cpu") if generator is None else generator.device
    return int(torch.randint(2**63 - 1, (), generator=generator, device=device).item())
