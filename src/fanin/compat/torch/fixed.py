"""Values that are the same in every draw."""

from __future__ import annotations

import torch
from torch import Tensor

from fanin.compat.torch.call import overridable
from fanin.errors import BadInput
from fanin.frameworks.torch.writing.tensor import memory_of


@overridable
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element is `val`, of any dtype that can hold it."""
    with torch.no_grad():
        return tensor.fill_(val)


@overridable
def ones_(tensor: Tensor) -> Tensor:
    """Every element is 1."""
    with torch.no_grad():
        return tensor.fill_(1.0)


@overridable
def zeros_(tensor: Tensor) -> Tensor:
    """Every element is 0."""
    with torch.no_grad():
        return tensor.zero_()


@overridable
def eye_(tensor: Tensor) -> Tensor:
    """1 on the diagonal of a matrix, 0 elsewhere.

    Raises:
        BadInput: not a matrix.

    Example:
        >>> import torch
        >>> eye_(torch.empty(2, 3))
        tensor([[1., 0., 0.],
                [0., 1., 0.]])
    """
    if tensor.dim() != 2:
        raise BadInput(f"Only tensors with 2 dimensions are supported; got shape {tuple(tensor.shape)}.")
    with torch.no_grad(), memory_of(tensor) as whole:
        whole.zero_().diagonal().fill_(1)
    return tensor


@overridable
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution that hands on as many of its input channels as it can: 1 at k // 2 of every kernel axis.

    Args:
        tensor: (outputs, inputs of a group, *kernel), with one to three kernel axes.
        groups: each hands on its own.

    Raises:
        BadInput: not the weight of a convolution, or outputs that the groups do not divide.

    Example:
        >>> import torch
        >>> dirac_(torch.empty(2, 2, 3))[0]
        tensor([[0., 1., 0.],
                [0., 0., 0.]])

    Reference: Zagoruyko & Komodakis 2017.
    """
    if tensor.dim() not in {3, 4, 5}:
        raise BadInput(f"Only tensors with 3, 4, or 5 dimensions are supported; got shape {tuple(tensor.shape)}.")
    outputs, _, *kernel = tensor.shape
    if groups < 1 or outputs % groups:
        raise BadInput(f"dim 0 must be divisible by groups; got {outputs} outputs and {groups} groups.")
    with torch.no_grad(), memory_of(tensor) as whole:
        whole.zero_()
        if whole.numel():
            center: tuple[slice | int, ...] = (*[slice(None)] * 3, *(size // 2 for size in kernel))
            by_group = whole.view(groups, outputs // groups, *whole.shape[1:])
            by_group[center].diagonal(dim1=1, dim2=2).fill_(1)
    return tensor
