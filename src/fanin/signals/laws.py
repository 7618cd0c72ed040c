"""From an initializer to the law of a weight as the rules see it."""

from __future__ import annotations

import math

import numpy as np

from fanin.initializers import Initializer, Target
from fanin.signals.values import Weight


def weight_of(initializer: Initializer, target: Target) -> Weight:
    """Mean and variance of one element, and the structure; parts along the first axis by rows."""
    law = initializer.law(target)
    rows = target.shape[0] if target.shape else 1
    return Weight(
        target.name,
        target.shape,
        np.array([law.mean]),
        np.array([law.std**2]),
        np.array([rows]),
        law.structure,
    )


del math
