"""Where the first value that is not finite came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Operand:
    """What an operation was given: a tensor.

    Attributes:
        lowest, highest: of its finite elements; None where there are none.
        infinite: share of its elements that are infinite.
    """

    shape: tuple[int, ...]
    dtype: str
    lowest: float | None
    highest: float | None
    infinite: float = 0.0

    def __str__(self) -> str:
        size = "×".join(map(str, self.shape)) or "a scalar"
        if self.lowest is None:
            return f"{self.dtype} {size}, all infinite"
        span = f"from {self.lowest:.3g} to {self.highest:.3g}"
        return f"{self.dtype} {size} {span}" + (f", {self.infinite:.0%} infinite" if self.infinite else "")


@dataclass(frozen=True)
class Origin:
    """The first operation whose result is not finite though what it was given is.

    Attributes:
        operation: such as "log"; "" if it lies outside the model: in the loss.
        module: path of the module that computes it; "" is the model itself.
        source: "file.py:line" of the user's code.
        backward: it is the operation's gradient.
        result: "nan" or "inf".
        operands: of the operation in the forward pass.
    """

    operation: str
    module: str = ""
    source: str = ""
    backward: bool = False
    result: str = "nan"
    operands: tuple[Operand, ...] = ()

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.module, self.source) if part)
        what = f"the gradient of {self.operation}" if self.backward else self.operation
        given = f"; it was given {'; '.join(map(str, self.operands))}" if self.operands else ""
        return f"{what}{f' ({where})' if where else ''} is the first to give {self.result}{given}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)
