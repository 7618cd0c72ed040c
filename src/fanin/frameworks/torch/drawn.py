"""A module with other weights for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fanin.frameworks.torch.names import named_parameters
from fanin.frameworks.torch.write import write_
from fanin.plans import Plan
from fanin.plans.model import writes


@contextmanager
def drawn(model: torch.nn.Module, plan: Plan, seed: int) -> Iterator[None]:
    """Within the block the parameters are as the plan draws them; afterwards they are as they were, bit for bit.

    Takes as much memory again as the parameters that the plan writes.

    Raises:
        CannotWrite, BadInput: as `write_`.
    """
    tensors = {path: tensor for path, (tensor, _) in named_parameters(model).items()}
    written = {e.parameter.path for e in plan if writes(e)}
    before = {path: t.detach().clone() for path, t in tensors.items() if path in written and not t.is_meta}
    try:
        write_(model, plan, seed, keep_copies=False)
        yield
    finally:
        with torch.no_grad():
            for path, values in before.items():
                tensors[path].copy_(values)
