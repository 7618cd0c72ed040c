"""The quantiles of a tensor's values, as the nodes of the latent ask for them."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch

from fanin.signals import latent
from fanin.signals.latent import Array

MANY: Final = 1 << 16  # values that they are read from
_PROBABILITIES: Final = np.cumsum(latent.WEIGHTS) - latent.WEIGHTS / 2


def quantiles(values: torch.Tensor) -> Array:
    """Of the values of a vector, at the nodes of the latent.

    Example:
        >>> quantiles(torch.linspace(0, 1, 1001))[[0, 200, -1]].round(2).tolist()
        [0.0, 0.51, 1.0]
    """
    some = values[:: max(1, math.ceil(len(values) / MANY))].detach().double()
    ordered = np.sort(some.cpu().numpy())
    return np.asarray(ordered[np.minimum((_PROBABILITIES * len(ordered)).astype(int), len(ordered) - 1)])
