"""A little noise on a structured start."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers.base import COMPLEX, Initializer, Law, Structure, Target, require_non_negative, rounded
from fanin.initializers.identity import Identity
from fanin.initializers.keep import Keep
from fanin.initializers.normal import Normal
from fanin.initializers.parts import PerPart
from fanin.initializers.spelling import initializer
from fanin.stream import Elements


@dataclass(frozen=True)
class Jittered(Initializer):
    """base + N(0, (r · rms)²), rms² = E w² of the base: units that start as copies of each other come apart.

    The variance grows by r² of E w², which is 0.01 % at r = 1 %. The noise of `tensor` is drawn under the name
    `tensor.jitter`, so that the base is drawn as it would be without. Zeros stay zeros: their rms is 0.

    Args:
        base: an initializer, or its spelling.
        relative_std: r, the noise's standard deviation in the base's rms.

    Raises:
        BadInput: a negative r; a base that is kept, or made of parts, each of which wants a jitter of its own.

    Not for: norms, biases, and what is zero on purpose, as the ends of residual branches are.

    Example:
        >>> Jittered("identity", 0.01).draw(Target("weight", (2, 2)), seed=0).round(4)
        array([ 0.9886, -0.0112, -0.0058,  1.0035], dtype=float32)
    """

    base: Initializer | str = Identity()  # noqa: RUF009 (frozen)
    relative_std: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", initializer(self.base))
        require_non_negative(self, ["relative_std"])
        if isinstance(self.base, Keep):
            raise BadInput("Jittered: what is kept as it is gets no noise; give a law that draws.")
        if isinstance(self.base, PerPart):
            raise BadInput("Jittered: give each part its own, PerPart(Jittered(…)), rather than Jittered(PerPart(…)).")

    def __str__(self) -> str:
        """`identity jittered by 0.01`."""
        return f"{self.base} jittered by {self.relative_std:.4g}"

    def law(self, target: Target) -> Law:
        """The base's, convolved with the noise's.

        Of the sum x + e: E(x + e − μ)⁴ = E(x − μ)⁴ + 6 σ² s² + 3 s⁴. Of a fixed tensor, which declares no kurtosis,
        E(x − μ)⁴ ≤ reach² σ².
        """
        law = self._base.law(target)
        noise = self._noise(law).std
        if not noise:
            return law
        std = math.hypot(law.std, noise)
        fixed = law.structure is Structure.FIXED
        reach = max(law.high - law.mean, law.mean - law.low)
        fourth = reach**2 * law.std**2 if fixed else law.kurtosis * law.std**4
        return Law(
            law.mean,
            std,
            kurtosis=(fourth + 6 * law.std**2 * noise**2 + 3 * noise**4) / std**4,
            structure=Structure.INDEPENDENT if fixed or law.structure is Structure.INDEPENDENT else Structure.DEPENDENT,
        )

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """The sum of both draws, rounded once to the target's dtype."""
        noise = self._noise(self._base.law(target))
        if not noise.std:
            return self._base.draw(target, seed, elements)
        wide = target.dtype if target.dtype in COMPLEX or target.dtype == "float64" else "float32"
        alone = replace(target, dtype=wide)
        own = replace(alone, name=f"{target.name}.jitter")
        total = self._base.draw(alone, seed, elements) + noise.draw(own, seed, elements)
        return total if target.dtype in COMPLEX else rounded(total, target.dtype)

    def _noise(self, law: Law) -> Normal:
        return Normal(self.relative_std * math.hypot(law.std, law.mean))

    @property
    def _base(self) -> Initializer:
        return self.base if isinstance(self.base, Initializer) else initializer(self.base)
