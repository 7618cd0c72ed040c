"""What every initializer is: a frozen law that says its moments and draws from the stream."""

from __future__ import annotations

import math
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput, UnknownName
from fanin.graph import Fans, Parts
from fanin.stream import Distribution, Elements, key, sample
from fanin.stream.elements import bounds
from fanin.stream.laws import FORMATS
from fanin.stream.reference import ROUNDED

# Complex formats, and that of their real and imaginary parts.
COMPLEX: Final = {"complex64": "float32", "complex128": "float64"}
COMPONENT_SCALE = math.sqrt(0.5)  # of their standard deviation in that of the complex number


@dataclass(frozen=True)
class Target:
    """The tensor to fill, as far as its law needs to know it.

    Attributes:
        name: the logical name under which it is drawn.
        shape: the global, logical shape; out first, in second, kernel after.
        dtype: "float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "complex64" or "complex128".
        fans: None where the operation gives no meaning to fans; of one part, where there are parts.
        parts: the logical tensors that it packs (query, key and value; gates; experts), None if it is one.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    fans: Fans | None = None
    parts: Parts | None = None

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


class Structure(StrEnum):
    """How the elements of one tensor hang together."""

    INDEPENDENT = "independent"  # each is drawn alone
    FIXED = "fixed"  # the same under every seed and name
    ORTHOGONAL = "orthogonal"  # as a matrix, later axes flattened: Haar's orthonormal rows or columns, times a gain
    ISOMETRY = "isometry"  # the convolution keeps norms, or its transpose does, times a gain
    DEPENDENT = "dependent"  # otherwise; the initializer says how


@dataclass(frozen=True)
class Law:
    """The marginal distribution of one element, and how the elements hang together: what a test measures.

    Of complex elements, std² = E|x − mean|², and neither real nor imaginary part of x − mean leaves the bounds less the
    mean.

    Attributes:
        std: the realised standard deviation, after any truncation.
        low, high: bounds that no element crosses.
        kurtosis: E[(x − mean)⁴]/std⁴, or an upper bound of it.
        fixed_norm: every draw of the whole tensor has the same Σ (x − mean)² = n std², so its elements are not
            independent: orthogonal matrices.
        structure: what else is true of the tensor as a whole.
    """

    mean: float
    std: float
    low: float = -math.inf
    high: float = math.inf
    kurtosis: float = 3.0
    fixed_norm: bool = False
    structure: Structure = Structure.INDEPENDENT


class Initializer(ABC):
    """A law for initial values. Subclasses are frozen dataclasses whose fields are plain numbers and strings.

    One whose elements are independent and alike says its `sampling`, and inherits `draw`; any other defines
    `draw`.

    Attributes:
        whole: it fills a tensor that packs several parts by itself; a plan wraps any other in `PerPart`.
    """

    whole: ClassVar[bool] = False

    @abstractmethod
    def law(self, target: Target) -> Law:
        """Mean, standard deviation and bounds of one element."""

    def sampling(self, target: Target) -> Distribution | None:
        """What the stream draws for each element, if that is all there is to it.

        A writer may then draw straight into memory or on the device, rather than call `draw`: the bits are the same.
        A complex element is two such draws (`draw` makes them), each of half the variance.
        """
        return None

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """The values of `elements` (row-major indices; all if None), flat, in the target's dtype.

        bfloat16 comes as its bit patterns in uint16, the float8 types in uint8, since NumPy has no such types.
        """
        sampled = self.sampling(target)
        if sampled is None:
            raise NotImplementedError(f"{type(self).__name__} defines neither `sampling` nor `draw`.")
        chosen = all_elements(target, elements)
        if target.dtype in COMPLEX:
            return self._complex(target, seed, chosen, sampled)
        return sample(key(seed, target.name), chosen, sampled, dtype=target.dtype)

    def _complex(
        self, target: Target, seed: int, elements: Elements, sampled: Distribution
    ) -> npt.NDArray[np.complexfloating[Any, Any]]:
        """Real parts from draw 0 of the stream, imaginary parts from draw 1, each of variance std²/2; a real mean."""
        (*kind, unit, shift), reach = sampled
        mean = self.law(target).mean
        off_center = (shift - mean) * COMPONENT_SCALE
        real, imaginary = (
            sample(
                key(seed, target.name, draw=draw),
                elements,
                Distribution((*kind, unit * COMPONENT_SCALE, center + off_center), reach),  # type: ignore[arg-type]  # a Law again
                dtype=COMPLEX[target.dtype],
            )
            for draw, center in enumerate((mean, 0.0))
        )
        values = real.astype(target.dtype)
        values.imag = imaginary
        return values

    def __str__(self) -> str:
        """As it stands in a plan's table: the name, and the arguments that differ from their defaults."""
        shown = ", ".join(
            f"{f.name}={_short(getattr(self, f.name))}"
            for f in fields(self)  # type: ignore[arg-type]  # every subclass is a dataclass
            if getattr(self, f.name) != f.default
        )
        name = type(self).__name__
        return f"{name}({shown})" if shown else re.sub("(?<=[a-z])(?=[A-Z][a-z])", "_", name).lower()


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def all_elements(target: Target, elements: Elements | None) -> Elements:
    """The elements asked for, or all of the tensor's.

    Raises:
        BadInput: the tensor does not have one of them.
    """
    if elements is None:
        return range(target.size)
    reach = bounds(elements)
    if reach and not 0 <= reach[0] <= reach[1] < target.size:
        raise BadInput(f"{target.name!r} has elements 0 … {target.size - 1}; got {reach[0]} … {reach[1]}.")
    return elements


def rounded(values: npt.NDArray[np.float64], dtype: str) -> npt.NDArray[Any]:
    """Values computed in float64, in the target's dtype; narrower formats round the float32, as the stream does.

    Raises:
        UnknownName: no such dtype.
        BadInput: a value beyond the largest of the dtype.
    """
    component = COMPLEX.get(dtype, dtype)
    if component not in FORMATS:
        raise UnknownName("dtype", dtype, [*FORMATS, *COMPLEX])
    largest = FORMATS[component].largest
    reach = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    if reach > largest:
        raise BadInput(
            f"Values of magnitude up to {reach:.4g} do not fit in {dtype}, whose largest number is {largest:.4g}. "
            "Use a smaller scale or a wider dtype."
        )
    if dtype in ROUNDED:
        return ROUNDED[dtype](values.astype(np.float32))
    return values.astype(dtype if dtype in COMPLEX else FORMATS[dtype].stored)


def require_fans(what: Initializer, target: Target) -> Fans:
    """The target's fans, or an error that says why they are missing."""
    if target.fans is None:
        raise BadInput(
            f"{what} needs the fans of {target.name!r} (shape {target.shape}), "
            "and the operation that uses it defines none. "
            "Give it an initializer with a fixed std, such as Normal(std=0.02), or say the fan: he_normal(fan_in=128)."
        )
    return target.fans


def require_non_negative(what: Initializer, names: Sequence[str]) -> None:
    """Finite and at least 0, checked once at construction."""
    for name in names:
        value = getattr(what, name)
        if not (is_finite_number(value) and value >= 0):
            raise BadInput(f"{type(what).__name__}: {name} must be a finite number, at least 0; got {value!r}.")


def require_finite(what: Initializer, names: Sequence[str]) -> None:
    """A finite number, checked once at construction."""
    for name in names:
        value = getattr(what, name)
        if not is_finite_number(value):
            raise BadInput(f"{type(what).__name__}: {name} must be a finite number; got {value!r}.")


def is_finite_number(value: object) -> bool:
    """Whether it is a Python number that a float64 can hold; NaN is not, nor is an int of 400 digits."""
    return isinstance(value, (int, float)) and abs(value) <= sys.float_info.max
