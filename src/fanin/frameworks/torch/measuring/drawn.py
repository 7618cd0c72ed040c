"""A module with other weights for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from fanin.frameworks.torch.model.names import named_parameters
from fanin.frameworks.torch.model.parametrized import singular_vectors
from fanin.frameworks.torch.writing.write import write_
from fanin.plans import Plan
from fanin.plans.model import writes

Copies = Sequence[tuple[torch.Tensor, torch.Tensor]]


@contextmanager
def drawn(model: torch.nn.Module, plan: Plan, seed: int) -> Iterator[None]:
    """Within the block the parameters are as the plan draws them; afterwards they are as they were, bit for bit.

    With them the singular vectors of what has a spectral norm. Takes as much memory again as the parameters that the
    plan writes.

    Raises:
        CannotWrite, BadInput: as `write_`.
    """
    tensors = {path: tensor for path, (tensor, _) in named_parameters(model).items()}
    written = {e.parameter.path for e in plan if writes(e)} & tensors.keys()
    held: list[torch.Tensor] = [tensors[path] for path in written if not tensors[path].is_meta]
    for vectors in singular_vectors(model, {id(tensors[path]): path for path in written}):
        held += [vectors.u, vectors.v]
    before = [(tensor, tensor.detach().clone()) for tensor in held]
    try:
        write_(model, plan, seed, keep_copies=False)
        yield
    finally:
        _put_back(before)


def _put_back(before: Copies) -> None:
    """All of them, even if Ctrl-C comes in the middle."""
    with torch.no_grad():
        try:
            for tensor, values in before:
                tensor.copy_(values)
        except BaseException:
            for tensor, values in before:
                tensor.copy_(values)
            raise
