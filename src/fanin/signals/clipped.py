"""What clipping did to the gradients of one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Clipped:
    """Numbers of the framework, still on their device, so that clipping waits for nothing.

    Attributes:
        norm: L2, of all gradients together, before they were clipped.
        clipped: 1 if any of them was made smaller, else 0.
    """

    norm: Any
    clipped: Any

    def __float__(self) -> float:
        return float(self.norm)
