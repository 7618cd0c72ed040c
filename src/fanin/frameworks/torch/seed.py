"""The seed that the user's own generator gives."""

from __future__ import annotations

import torch


def draw_seed() -> int:
    """63 bits from PyTorch's global generator, so that `torch.manual_seed` keeps its meaning; advances it once."""
    return int(torch.randint(2**63 - 1, ()).item())
