"""Laws whose elements depend on each other: orthogonal and sparse matrices."""

from __future__ import annotations

from torch import Generator, Tensor

from fanin.compat.torch.call import draw_, overridable
from fanin.errors import BadInput
from fanin.initializers import Orthogonal, Sparse, Zeros


@overridable
def orthogonal_(
    tensor: Tensor,
    gain: float = 1,
    generator: Generator | None = None,
    *,
    seed: int | None = None,
    name: str = "",
) -> Tensor:
    """Q times gain, Q Haar-distributed, with orthonormal rows, or columns if there are more rows than columns.

    Of every dtype of the stream, 16-bit ones included: computed in float64, rounded once.

    Args:
        tensor: with two axes or more; those after the first are flattened into columns.
        gain: of either sign: −Q has the law of Q.
        generator, seed, name: as for `uniform_`.

    Raises:
        BadInput: fewer than two axes; and as for `uniform_`.
        CannotWrite: not a floating dtype of the stream.

    Example:
        >>> import torch
        >>> w = orthogonal_(torch.empty(3, 3, dtype=torch.float64), seed=0, name="weight")
        >>> torch.allclose(w @ w.T, torch.eye(3, dtype=torch.float64))
        True

    Reference: Saxe et al. 2014.
    """
    if tensor.dim() < 2:
        raise BadInput(f"Only tensors with 2 or more dimensions are supported; got shape {tuple(tensor.shape)}.")
    return draw_(tensor, Orthogonal(abs(float(gain))), generator, seed, name)


@overridable
def sparse_(
    tensor: Tensor,
    sparsity: float,
    std: float = 0.01,
    generator: Generator | None = None,
    *,
    seed: int | None = None,
    name: str = "",
) -> Tensor:
    """N(0, std²), of which exactly ⌈sparsity · rows⌉ elements of each column are zero, at random places.

    The places come from the seed, too; torch's ignore its generator.

    Args:
        tensor: a matrix, filled in place.
        sparsity: the fraction of zeros, in [0, 1].
        std: of the others.
        generator, seed, name: as for `uniform_`.

    Raises:
        BadInput: not a matrix, sparsity out of its range; and as for `uniform_`.
        CannotWrite: not a floating dtype of the stream.

    Example:
        >>> import torch
        >>> (sparse_(torch.empty(4, 3), sparsity=0.6, seed=0, name="weight") == 0).sum(0)
        tensor([3, 3, 3])

    Reference: Martens 2010.
    """
    if tensor.dim() != 2:
        raise BadInput(f"Only tensors with 2 dimensions are supported; got shape {tuple(tensor.shape)}.")
    what = Zeros() if sparsity == 1 else Sparse(float(sparsity), float(std), axis=0)
    return draw_(tensor, what, generator, seed, name)
