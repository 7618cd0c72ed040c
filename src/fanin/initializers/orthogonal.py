"""Orthogonal weights."""

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
    Structure,
    Target,
    all_elements,
    require_non_negative,
    rounded,
)
from fanin.stream import Elements, Runs, orthogonal


@dataclass(frozen=True)
class Orthogonal(Initializer):
    """gain · Q with Q Haar-distributed: orthonormal columns if there are at least as many rows, else orthonormal rows.

    Axes after the first are flattened into columns, as every framework does. Each element has variance
    gain² / max(rows, columns); a square Q keeps every norm exactly, forward and backward.

    Reference: Saxe et al. 2014; Haar measure from Householder reflections, Stewart 1980.
    Not for: vectors, or convolutions that should be isometries as a whole.

    Example:
        >>> w = Orthogonal().draw(Target("weight", (3, 3), "float64"), seed=0).reshape(3, 3)
        >>> bool(np.allclose(w @ w.T, np.eye(3)))
        True
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        require_non_negative(self, ["gain"])

    def law(self, target: Target) -> Law:
        """Elements are not independent: the law is that of one."""
        rows, columns = self._matrix(target)
        return Law(
            0.0, self.gain / math.sqrt(max(rows, columns, 1)), -self.gain, self.gain, 3.0, True, Structure.ORTHOGONAL
        )

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """In float64, rounded once to the target's dtype."""
        rows, columns = self._matrix(target)
        asked = all_elements(target, elements)
        chosen = np.asarray(asked.indices() if isinstance(asked, Runs) else asked, dtype=np.intp)
        if not len(chosen):
            return rounded(np.empty(0), target.dtype)
        return rounded(self.gain * orthogonal(seed, target.name, rows, columns).reshape(-1)[chosen], target.dtype)

    def _matrix(self, target: Target) -> tuple[int, int]:
        if len(target.shape) < 2:
            raise BadInput(
                f"{self} needs a matrix; {target.name!r} has shape {target.shape}. Use Normal or Uniform for vectors."
            )
        return target.shape[0], math.prod(target.shape[1:])
