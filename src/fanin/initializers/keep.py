"""Leave a parameter as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers.base import Initializer, Law, Target
from fanin.stream import Elements


@dataclass(frozen=True)
class Keep(Initializer):
    """The parameter keeps the values it has; a plan that says so still covers it."""

    whole: ClassVar[bool] = True

    def law(self, target: Target) -> Law:
        """Unknown: whatever the constructor left there."""
        return Law(math.nan, math.nan)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """Nothing to draw; a writer skips the parameter."""
        raise BadInput(f"Keep() leaves {target.name!r} as it is; there is nothing to draw.")
