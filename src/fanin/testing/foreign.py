"""An initializer of another library, put through the suite: how it is called, and what it declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fanin.initializers import Initializer, Law, Target
from fanin.initializers.base import all_elements, rounded
from fanin.stream import Elements
from fanin.stream.elements import index_array


@dataclass(frozen=True)
class Foreign(Initializer):
    """A function that fills a tensor, as an initializer whose law is that of another one.

    Args:
        call: target and seed → the values, of the target's shape; numbers that its dtype holds, as any type of NumPy's.
        declares: an initializer of the law that the function's documentation promises.

    Example:
        >>> from fanin import Normal
        >>> from fanin.testing import assert_law_is_measured
        >>> numpy_normal = Foreign(lambda t, seed: np.random.default_rng(seed).normal(0, 0.02, t.shape), Normal(0.02))
        >>> assert_law_is_measured(numpy_normal, Target("weight", (256, 128)))

    Not for: plans; its draws depend on no name, and a region is cut from the whole.
    """

    call: Callable[[Target, int], npt.NDArray[Any]]
    declares: Initializer

    def law(self, target: Target) -> Law:
        """What is declared."""
        return self.declares.law(target)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """The whole is drawn each time."""
        values = np.asarray(self.call(target, seed))
        if values.shape != target.shape:
            raise AssertionError(f"{self!r}: expected values of shape {target.shape}; got {values.shape}")
        flat = rounded(values.astype(np.float64).ravel(), target.dtype)
        return flat if elements is None else flat[index_array(all_elements(target, elements))]
