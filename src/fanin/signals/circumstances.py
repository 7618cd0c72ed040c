"""What surrounds a pass, beside what flows in it: the data, what the loss is worth by chance, the first update."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fanin.signals.model import Moments


@dataclass(frozen=True)
class InputSeen:
    """One floating-point tensor that the model is called with.

    Attributes:
        name: the argument's.
        moments: of all its values.
        means, stds: of each feature over samples and positions; empty where it is not known which axis counts features.
        integral: all values are whole numbers, such as pixels 0 … 255.
        low, high: the smallest and the largest value.
    """

    name: str
    shape: tuple[int, ...]
    moments: Moments
    means: tuple[float, ...] = ()
    stds: tuple[float, ...] = ()
    integral: bool = False
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Chance:
    """What the loss is where the model says nothing.

    Attributes:
        loss: of outputs that are all 0, ln V for a cross-entropy over V classes.
        how: where it comes from, in words.
        classes: V, where the loss is a cross-entropy; None where it is not known.
        logits: what the loss sees in the place of those zeros; None where it is not known.
        name: the node that makes them.
        first: the same loss of what the model says now; NaN where it was not measured.
        spread: the variance of the logits over the classes, averaged over samples and positions; of a binary one, z, it
            is that of (z/2, −z/2). None where they are no logits.
    """

    loss: float
    how: str
    classes: int | None = None
    logits: Moments | None = None
    name: str = ""
    first: float = math.nan
    spread: float | None = None


@dataclass(frozen=True)
class Training:
    """The optimizer with which the model is to be trained.

    Attributes:
        optimizer: its name, such as "AdamW".
        rates: learning rate by parameter's path; a parameter without one is not trained.
        signed: the first step goes by the sign of the gradient, each element by the learning rate, as Adam's does.
        first: how many learning rates the first step is, times the gradient or its sign: 10 for RMSprop.
        fitted: to each weight's own size or shape, as the steps of LAMB and of Muon are.
        rising: a schedule has begun below the learning rate that is to come.
    """

    optimizer: str
    rates: Mapping[str, float]
    signed: bool
    first: float = 1.0
    fitted: bool = False
    rising: bool = False
