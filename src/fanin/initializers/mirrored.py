"""Weights in mirrored pairs, behind which a deep net of any activation starts as one of its odd part."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.graph import Fans
from fanin.initializers.base import COMPLEX, Initializer, Law, Structure, Target, all_elements, rounded
from fanin.initializers.keep import Keep
from fanin.initializers.orthogonal import Orthogonal
from fanin.initializers.spelling import initializer
from fanin.stream import Elements
from fanin.stream.elements import index_array


@dataclass(frozen=True)
class Mirrored(Initializer):
    """[[B, −B], [−B, B]]: units in pairs z and −z, and weights that read φ(z) − φ(−z).

    Half of the outputs are the others with the sign turned (`rows`), and each weight meets its mirror image with the
    sign turned (`columns`). Between a layer that makes pairs and one that reads them, an activation acts by its odd
    part: φ(z) − φ(−z) is z for ReLU, GELU, SiLU and softplus, so that the whole net starts as a linear map, however
    deep; for leaky ReLU it is (1 + a) z, for sigmoid tanh(z/2). With an orthogonal B neither signals nor gradients
    grow or shrink, nor do two inputs become alike. Biases must be 0. The first layer of a chain has `columns=False`,
    the last `rows=False`.

    Args:
        block: the law of B, as an initializer or by its spelling; it sees the fans of the block.
        rows: whether outputs come in pairs.
        columns: whether inputs do.

    Raises:
        BadInput: neither is mirrored, or the block is to be kept; later, a target with an odd number of rows or columns
            that are mirrored, or without them.

    Reference: Balduzzi et al. 2017, "The shattered gradients problem", §5 ("looks linear"); Shang et al. 2016 for the
    pairs.
    Not for: nets with norms or with skips, which keep their signals anyhow. Pairs of an odd activation (tanh), and of
    sigmoid, stay mirrored in training.

    Example:
        >>> w = Mirrored().draw(Target("weight", (4, 4), "float64"), seed=0).reshape(4, 4)
        >>> z = np.random.default_rng(0).normal(size=2)
        >>> pairs = np.maximum(np.concatenate([z, -z]), 0)  # relu
        >>> bool(np.isclose(np.linalg.norm((w @ pairs)[:2]), np.linalg.norm(z)))
        True
    """

    block: Initializer | str = Orthogonal()  # noqa: RUF009 (frozen)
    rows: bool = True
    columns: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "block", initializer(self.block))
        if not (self.rows or self.columns):
            raise BadInput("Mirrored: rows, columns, or both must be mirrored; got neither. Use the block alone.")
        if isinstance(self.block, Keep):
            raise BadInput("Mirrored: a tensor is kept as a whole or not at all; use Keep() for the tensor.")

    def __str__(self) -> str:
        """`mirrored orthogonal`, and which sides if not both."""
        sides = "" if self.rows and self.columns else " rows" if self.rows else " columns"
        return f"mirrored{sides} {self.block}"

    def half(self, target: Target) -> Target:
        """The block, as a target of its own: its fans are those of one of a pair."""
        if len(target.shape) < 2 or any(
            mirrored and (n % 2 or not n) for mirrored, n in zip((self.rows, self.columns), target.shape, strict=False)
        ):
            sides = " and ".join(name for name in ("rows", "columns") if getattr(self, name))
            raise BadInput(f"{self} needs an even number of {sides}; {target.name!r} has shape {target.shape}.")
        rows, columns = 1 + self.rows, 1 + self.columns
        shape = (target.shape[0] // rows, target.shape[1] // columns, *target.shape[2:])
        fans = target.fans and Fans(target.fans.fan_in / columns, target.fans.fan_out / rows)
        return replace(target, shape=shape, fans=fans, parts=None)

    def law(self, target: Target) -> Law:
        """Of one element; each is one of the block's, or that with the sign turned."""
        law = self._block.law(self.half(target))
        if law.mean:
            raise BadInput(f"{self} needs a block of mean 0; that of {self.block} is {law.mean:g}.")
        reach = max(law.high, -law.low)
        return replace(law, low=-reach, high=reach, structure=Structure.DEPENDENT)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """Each element from the block, under the tensor's own name."""
        self.law(target)
        half = self.half(target)
        wide = target.dtype if target.dtype in COMPLEX or target.dtype == "float64" else "float32"
        chosen = index_array(all_elements(target, elements))
        inner = math.prod(target.shape[2:])
        row, rest = np.divmod(chosen, target.shape[1] * inner)
        column, place = np.divmod(rest, inner)
        turned = np.zeros(len(chosen), dtype=bool)
        if self.rows:
            turned ^= row >= half.shape[0]
        if self.columns:
            turned ^= column >= half.shape[1]
        own = ((row % half.shape[0]) * half.shape[1] + column % half.shape[1]) * inner + place
        values = self._block.draw(replace(half, dtype=wide), seed, own)
        values = np.where(turned, -values, values)
        return values if target.dtype in COMPLEX else rounded(values, target.dtype)

    @property
    def _block(self) -> Initializer:
        return self.block if isinstance(self.block, Initializer) else initializer(self.block)
