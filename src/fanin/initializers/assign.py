"""Values that the caller gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers.base import Law, Target
from fanin.initializers.by_index import ByIndex, Indices, fixed_law

LARGEST = 1 << 16  # elements: a plan that is read should not be a file of weights


@dataclass(frozen=True)
class Assign(ByIndex):
    """An array of the caller's, broadcast to the shape of the target by NumPy's rules.

    The values are part of the description: kept as nested tuples, compared, hashed, written to JSON.

    Args:
        values: a number, nested lists, or anything that NumPy turns into an array.

    Raises:
        BadInput: values that are not finite numbers, or more than 65,536; later, a target of another shape.

    Not for: large tensors; save them as safetensors and use `Pretrained`.

    Example:
        >>> Assign([1, 2]).draw(Target("weight", (3, 2)), seed=0)
        array([1., 2., 1., 2., 1., 2.], dtype=float32)
    """

    whole: ClassVar[bool] = True

    values: Any = 0.0

    def __post_init__(self) -> None:
        try:
            array = np.asarray(self.values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise BadInput(
                f"Assign: expected numbers, nested alike; got {str(self.values)[:60]!r} ({error})."
            ) from error
        if not np.isfinite(array).all():
            raise BadInput(f"Assign: expected finite numbers; got {array[~np.isfinite(array)][0]} among them.")
        if array.size > LARGEST:
            raise BadInput(
                f"Assign holds up to {LARGEST:,} values; got {array.size:,}. Use Pretrained for a file of them."
            )
        object.__setattr__(self, "values", _frozen(array.tolist()))

    def __str__(self) -> str:
        """Short, whatever the size."""
        return f"Assign(array of shape {np.shape(self.values)})"

    def law(self, target: Target) -> Law:
        """Of all elements together."""
        array = np.asarray(self.values)
        try:
            np.broadcast_to(array, target.shape)
        except ValueError:
            raise BadInput(
                f"Assign has values of shape {array.shape}, which NumPy does not broadcast to {target.name!r} "
                f"of shape {target.shape}."
            ) from None
        times = target.size / max(array.size, 1)
        low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
        center = float(array.mean()) if array.size else 0.0
        spread = fixed_law(0.0, times * float(((array - center) ** 2).sum()), target.size, low, high)
        return Law(center, spread.std, low, high, spread.kurtosis, spread.fixed_norm, spread.structure)

    def at(self, shape: tuple[int, ...], place: tuple[Indices, ...]) -> npt.NDArray[np.float64]:
        """Looked up."""
        found: Any = np.broadcast_to(np.asarray(self.values, dtype=np.float64), shape)[place]
        return np.atleast_1d(found)


def _frozen(values: Any) -> Any:
    return tuple(map(_frozen, values)) if isinstance(values, list) else values
