"""The two quantities that are followed over the depth of a net: what its layers put out, and what comes back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fanin.signals.model import LayerSignal


@dataclass(frozen=True)
class Quantity:
    """One number of each layer.

    Attributes:
        of: None where nothing is known.
        band: of a prediction, where 8 of 10 draws of the weights lie.
        backward: it is a gradient's.
    """

    title: str
    label: str
    of: Callable[[LayerSignal], float | None]
    band: Callable[[LayerSignal], tuple[float, float] | None]
    backward: bool = False


def _gradient_band(seen: LayerSignal) -> tuple[float, float] | None:
    """That of δ², times how many there are."""
    if seen.gradient is None or seen.gradient.band is None:
        return None
    many = math.prod(seen.layer.node.shape)
    low, high = seen.gradient.band
    return low * many, high * many


ACTIVATIONS: Final = Quantity(
    "Activations over depth",
    "E[x²] of the layer's output",
    lambda seen: seen.value.second_moment,
    lambda seen: seen.value.band,
)
GRADIENTS: Final = Quantity(
    "Gradients over depth", "‖δ‖², δ = ∂loss/∂z", lambda seen: seen.gradient_norm, _gradient_band, backward=True
)
