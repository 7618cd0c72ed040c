"""What flows through a net, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Numbers = tuple[float | None, ...]


@dataclass(frozen=True)
class Flow:
    """One number a layer, in the order they run.

    Attributes:
        modules: their paths.
        values: E[x²] of what the layer puts out, after its activation.
        gradients: ‖δ‖² of the loss's gradient at its pre-activation; None where none arrives.
        alike: n ‖w̄‖²/‖W‖², w̄ the mean of the layer's n rows: 1 where all its units have the same weights, about 1/n
            where they are independent.
    """

    modules: tuple[str, ...]
    values: Numbers
    gradients: Numbers
    alike: Numbers

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Flow:
        """From what is stored."""
        return cls(**{name: tuple(numbers) for name, numbers in stored.items()})
