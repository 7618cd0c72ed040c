"""Fill one tensor: of any strides, on any device, sharded or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.graph import increment_version

from fanin.errors import CannotWrite
from fanin.frameworks.torch.model.shards import is_sharded, local_of, parts_of
from fanin.frameworks.torch.writing import fill
from fanin.frameworks.torch.writing.fill import DTYPES
from fanin.initializers import Initializer, Target


def dtype_of(tensor: torch.Tensor) -> str:
    """The stream's name for its dtype.

    Raises:
        CannotWrite: the stream has no numbers of that dtype.
    """
    if tensor.dtype not in DTYPES:
        raise CannotWrite(
            f"Nothing was written: a tensor of {tensor.dtype} cannot be drawn; expected one of "
            f"{', '.join(map(str, DTYPES))}. Draw into one of those and convert it."
        )
    return DTYPES[tensor.dtype]


def permuted(tensor: torch.Tensor, order: Sequence[int]) -> torch.Tensor:
    """The same memory with its axes in another order."""
    return tensor if list(order) == sorted(order) else tensor.detach().permute(*order)


def fill_(tensor: torch.Tensor, target: Target, what: Initializer, seed: int) -> None:
    """Write the elements of the target, whose shape is the tensor's, each at its logical index.

    Raises:
        CannotWrite: the tensor has no memory.
        BadInput: the law cannot serve the target.
    """
    if tensor.is_meta:
        raise CannotWrite("Nothing was written: the tensor is on the meta device. Give it memory first: torch.empty.")
    with torch.no_grad():
        fill.fill_(parts_of(tensor, local_of(tensor)), target, what, seed)
        if not tensor.is_inference():
            increment_version(tensor)  # what was drawn into memory, autograd did not see


def values(drawn: npt.NDArray[Any], like: torch.Tensor) -> torch.Tensor:
    """Values of the stream as a tensor on the CPU, of the dtype and shape of another."""
    return torch.from_numpy(np.ascontiguousarray(drawn)).view(like.dtype).view(like.shape)


def copy_(tensor: torch.Tensor, whole: torch.Tensor) -> None:
    """Copy a whole tensor into another; of a DTensor, every process copies its own part, and nothing is sent."""
    if is_sharded(tensor):
        from torch.distributed.tensor import distribute_tensor

        sharded: Any = tensor
        whole = distribute_tensor(whole.to(tensor.device), sharded.device_mesh, sharded.placements, src_data_rank=None)
    tensor.copy_(whole)


@contextmanager
def memory_of(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensor itself to write into; of a DTensor, a whole one beside it, copied into it afterwards."""
    if not is_sharded(tensor):
        yield tensor
        return
    whole = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
    yield whole
    copy_(tensor, whole)
