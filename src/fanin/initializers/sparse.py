"""Sparse weights: most of them exactly zero, as many in every group."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers.base import (
    Initializer,
    Law,
    Target,
    all_elements,
    is_finite_number,
    require_non_negative,
)
from fanin.initializers.normal import Normal
from fanin.stream import Domain, Elements, exact_mask, key


@dataclass(frozen=True)
class Sparse(Initializer):
    """N(0, std²), but ⌈sparsity · length⌉ elements of each line along `axis` are zero, at random places.

    An element that is not zero has the value that `Normal(std)` gives it. With f the fraction of zeros, an element has
    standard deviation std √(1 − f) and kurtosis 3/(1 − f).

    Args:
        sparsity: fraction of zeros, in [0, 1), rounded up in each line.
        std: of the elements that are not zero.
        axis: 0 leaves each input equally many connections, as `torch.nn.init.sparse_` does on a matrix; 1 each output
            unit, as Martens does (15 connections a unit). None: counts over the whole tensor.

    Raises:
        BadInput: sparsity or std is out of its range; later, the target has no such axis.

    Reference: Martens 2010, "Deep learning via Hessian-free optimization", section 5.
    Not for: lines so short that rounding up makes all of them zero: ⌈0.9 · 3⌉ = 3.

    Example:
        >>> w = Sparse(sparsity=0.75).draw(Target("weight", (4, 4)), seed=0).reshape(4, 4)
        >>> (w == 0).sum(axis=0)
        array([3, 3, 3, 3])
    """

    sparsity: float = 0.9
    std: float = 0.01
    axis: int | None = 0

    def __post_init__(self) -> None:
        require_non_negative(self, ["std"])
        if not (is_finite_number(self.sparsity) and 0 <= self.sparsity < 1):
            raise BadInput(f"Sparse: sparsity must be in [0, 1), a fraction of zeros; got {self.sparsity!r}.")
        if self.axis is not None and type(self.axis) is not int:
            raise BadInput(f"Sparse: axis must be an integer, or None for the whole tensor; got {self.axis!r}.")

    def law(self, target: Target) -> Law:
        """That of one element; elements of a line are not quite independent."""
        length, kept = self._counts(target)
        if kept == 0:
            return Law(0.0, 0.0)
        return Law(0.0, self.std * math.sqrt(kept / length), kurtosis=3 * length / kept)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """The values of a normal law and a mask of their own words."""
        _, kept = self._counts(target)
        chosen = all_elements(target, elements)
        values = Normal(self.std).draw(target, seed, chosen)
        masks = key(seed, target.name, domain=Domain.MASK)
        return np.where(exact_mask(masks, chosen, target.shape, kept, axis=self.axis), values, values.dtype.type(0))

    def _counts(self, target: Target) -> tuple[int, int]:
        """Elements of a line, and how many are not zero."""
        if self.axis is not None and not -len(target.shape) <= self.axis < len(target.shape):
            raise BadInput(f"{self} needs an axis {self.axis}; {target.name!r} has shape {target.shape}.")
        length = target.size if self.axis is None else target.shape[self.axis]
        return length, length - math.ceil(self.sparsity * length)
