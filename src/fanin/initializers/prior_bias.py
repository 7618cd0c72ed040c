"""The bias with which a classifier starts at a given probability."""

from __future__ import annotations

import math

from fanin.errors import BadInput
from fanin.initializers.base import is_finite_number
from fanin.initializers.constant import Constant


def prior_bias(probability: float = 0.01) -> Constant:
    """The constant −log((1 − p)/p), at which a sigmoid output starts at probability p (Lin et al. 2017, §4.1).

    For rare classes: the loss of the many negatives does not drown the first steps.

    Example:
        >>> round(prior_bias(0.01).value, 4)
        -4.5951
    """
    if not (is_finite_number(probability) and 0 < probability < 1):
        raise BadInput(f"prior_bias: expected a probability between 0 and 1; got {probability!r}.")
    return Constant(math.log(probability) - math.log1p(-probability))
