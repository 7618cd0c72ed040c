"""Draw a weight as a framework stores it; how that is, `fanin.graph.layout` says."""

from __future__ import annotations

from typing import Any, Final

import numpy.typing as npt

from fanin.errors import UnknownName
from fanin.graph import Layout
from fanin.initializers import Initializer, Target

DTYPES: Final = ("float32", "float64", "float16", "bfloat16")


def draw(
    law: Initializer, shape: tuple[int, ...], layout: Layout, *, seed: int, name: str, dtype: str
) -> npt.NDArray[Any]:
    """The values of a law in the stored layout; bfloat16 as its bit patterns in uint16.

    Raises:
        UnknownName: a dtype of which the stream has no values.
    """
    if dtype not in DTYPES:
        raise UnknownName("dtype", dtype, DTYPES)
    return layout.stored(law.draw(Target(name, layout.shape, dtype, layout.fans), seed), shape)
