"""The seed that the user's own generator gives."""

from __future__ import annotations

import torch

from fanin.errors import BadInput
from fanin.frameworks.torch.model.whole import is_distributed


def draw_seed(generator: torch.Generator | None = None) -> int:
    """63 bits from a generator, on its own device, and advances it once.

    None is PyTorch's global one, so that `torch.manual_seed` keeps its meaning, wherever new tensors are made.
    """
    device = torch.device("cpu") if generator is None else generator.device
    return int(torch.randint(2**63 - 1, (), generator=generator, device=device).item())


def draw_seed_for(model: torch.nn.Module) -> int:
    """That of the global generator, for all of a model.

    Raises:
        BadInput: the model is distributed. Each process has a generator of its own, and their parts of a tensor would
            come of different seeds, or their replicas differ; to agree on one, they would have to communicate.
    """
    if is_distributed(model):
        raise BadInput(
            "The model is distributed, and each process would draw a seed of its own. Give the same one in all: seed=0."
        )
    return draw_seed()
