"""Fill one array, whatever its strides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.errors import CannotWrite
from fanin.initializers import Initializer, Target
from fanin.stream.laws import FORMATS

Array: TypeAlias = npt.NDArray[Any]


def draw_seed() -> int:
    """63 bits from NumPy's global generator, so that `numpy.random.seed` keeps its meaning; advances it."""
    return int(np.random.randint(2**63 - 1, dtype=np.int64))


def dtype_of(array: Array) -> str:
    """The stream's name for its dtype; bfloat16 as ml_dtypes has it.

    Raises:
        CannotWrite: the stream has no numbers of that dtype.
    """
    if array.dtype.name not in FORMATS:
        raise CannotWrite(
            f"Nothing was written: an array of {array.dtype.name} cannot be drawn; expected one of "
            f"{', '.join(FORMATS)}. Draw into one of those and convert it."
        )
    return array.dtype.name


def permuted(array: Array, order: Sequence[int]) -> Array:
    """The same memory with its axes in another order."""
    return array.transpose(order)


def fill_(array: Array, target: Target, what: Initializer, seed: int) -> None:
    """Write the elements of the target, whose shape is the array's, each at its logical index.

    Raises:
        CannotWrite: the array is read-only.
        BadInput: the law cannot serve the target.
    """
    if not array.flags.writeable:
        raise CannotWrite("Nothing was written: the array is read-only. Fill a copy.")
    array[...] = what.draw(target, seed).view(array.dtype).reshape(array.shape)
