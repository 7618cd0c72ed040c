"""Laws of a tensor as a whole: constants, identities, orthogonal matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers import Constant, Dirac, Identity, Initializer, Ones, Orthogonal, Target, Zeros
from fanin.plans.measured import Measured

MOST_VECTORS: Final = 256  # of a matrix, whose products with each other are looked at
FIRST_VECTORS: Final = 8  # that are looked at first: nearly all that is not orthogonal shows it in them
LARGE: Final = 4096  # values, of which an identity has most at 0
SHORTEST: Final = 4  # numbers in a vector of which being orthogonal says something
COMPUTED: Final = 1e-5  # what a float32 decomposition leaves of QᵀQ − I, elementwise

Structure = Callable[[npt.NDArray[Any], Target, Measured], Initializer | None]


def constant(values: npt.NDArray[Any], target: Target, seen: Measured) -> Initializer | None:
    """All values are one; of a single value nothing but 0 and 1 is taken for more than chance."""
    if seen.low != seen.high:
        return None
    if seen.low == 0:
        return Zeros()
    if seen.low == 1:
        return Ones()
    return Constant(seen.low) if seen.count > 1 else None


def identity(values: npt.NDArray[Any], target: Target, seen: Measured) -> Initializer | None:
    """One number on the diagonal of a matrix, or at the center of a kernel, and 0 elsewhere."""
    if values.size > LARGE and np.count_nonzero(values.reshape(-1)[:LARGE]) > LARGE // 2:
        return None
    gain = seen.high if seen.high > 0 else seen.low
    spikes = int(np.count_nonzero(values == gain))
    if not spikes or int(np.count_nonzero(values)) != spikes:
        return None
    groups = max(values.shape[0] // max(values.shape[1], 1), 1) if values.ndim > 2 else 1
    possible = [Identity(gain)] if values.ndim == 2 else [Dirac(gain=gain), Dirac(groups, gain)]
    return next((what for what in possible if np.array_equal(_drawn(what, values.shape), values)), None)


def orthogonal(values: npt.NDArray[Any], target: Target, seen: Measured) -> Initializer | None:
    """Q times a gain: the shorter vectors of the matrix, its rows or columns, have one length and are orthogonal.

    Vectors of n independent numbers have lengths that differ by 1/√(2 n), and products of 1/√n: far more than rounding
    leaves of an orthogonal matrix.
    """
    if values.ndim < 2 or 0 in values.shape or seen.std == 0:
        return None
    rows = values.reshape(values.shape[0], -1)
    vectors = rows if rows.shape[0] <= rows.shape[1] else rows.T
    count, length = vectors.shape
    if length < SHORTEST:
        return None
    for most in (FIRST_VECTORS, MOST_VECTORS):
        some = vectors[:: -(-count // most)].astype(np.float64)
        gain = math.sqrt(float(np.square(some).sum(axis=1).mean()))
        rounding = (
            8 * seen.rounding / max(gain, 1e-300) * math.sqrt(length)
        )  # of a product of unit vectors, per √length
        room = COMPUTED + rounding / math.sqrt(length)
        if room > 0.25 / math.sqrt(length):  # rounding hides what is to be seen
            return None
        products = some @ some.T / max(gain, 1e-300) ** 2
        if float(np.abs(products - np.eye(len(some))).max()) > room:
            return None
    near = round(gain, 3)
    return Orthogonal(near if abs(gain - near) <= room * gain else float(f"{gain:.6g}"))


STRUCTURES: Final[tuple[Structure, ...]] = (constant, identity, orthogonal)


def _drawn(what: Initializer, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    try:
        return what.draw(Target("", shape, "float64"), seed=0).reshape(shape)
    except BadInput:
        return np.empty(0)
