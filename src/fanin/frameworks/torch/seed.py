"""The seed that the user's own generator gives."""

from __future__ import annotations

import torch

from fanin.errors import BadInput
from fanin.frameworks.torch.whole import any_sharded, unwrapped


def draw_seed(model: torch.nn.Module) -> int:
    """63 bits from PyTorch's global generator, so that `torch.manual_seed` keeps its meaning; advances it once.

    Raises:
        BadInput: the model is distributed. Each process has a generator of its own, and their parts of a tensor would
            come of different seeds, or their replicas differ; to agree on one, they would have to communicate.
    """
    if any_sharded(model) or unwrapped(model) is not model:
        raise BadInput(
            "The model is distributed, and each process would draw a seed of its own. Give the same one in all: seed=0."
        )
    return int(torch.randint(2**63 - 1, ()).item())
