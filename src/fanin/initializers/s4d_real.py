"""S4D-Real: the decays of a diagonal state-space model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers.base import Law, Target
from fanin.initializers.by_index import ByIndex, Indices, fixed_law
from fanin.initializers.chrono import natural_log


@dataclass(frozen=True)
class S4DReal(ByIndex):
    """log 1, log 2, …, log N along the last axis, the same in every channel: decays A = −exp(a) = −1, −2, …, −N.

    Of a vector, one decay a head, as Hugging Face's Mamba-2 does.

    Raises:
        BadInput: later, the target is a scalar.

    Reference: Gu & Dao 2023, "Mamba", §3.6, which names it after the S4D of Gu et al. 2022.
    Not for: decays in another form than −exp(a), such as those of S4D-Lin, or of RWKV.

    Example:
        >>> S4DReal().draw(Target("A_log", (2, 3)), seed=0).reshape(2, 3).round(4)
        array([[0.    , 0.6931, 1.0986],
               [0.    , 0.6931, 1.0986]], dtype=float32)
    """

    def __str__(self) -> str:
        """The name as it is spelled."""
        return "s4d_real"

    def law(self, target: Target) -> Law:
        """Of all elements together."""
        if not target.shape:
            raise BadInput(f"{self} needs an axis of states; {target.name!r} is a scalar. Use Zeros, that is log 1.")
        states = target.shape[-1]
        logs = natural_log(np.arange(1, states + 1).astype(np.float64))
        channels = target.size // max(states, 1)
        total, squares = channels * float(logs.sum()), channels * float((logs**2).sum())
        return fixed_law(total, squares, target.size, 0.0, float(logs[-1]) if states else 0.0)

    def at(self, shape: tuple[int, ...], place: tuple[Indices, ...]) -> npt.NDArray[np.float64]:
        """From the index of the state."""
        return natural_log(place[-1].astype(np.float64) + 1)
