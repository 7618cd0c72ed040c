"""One tensor: first as a whole, then as independent values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fanin.graph import Fans, Parts
from fanin.initializers import Initializer, Keep, PerPart, Target, Zeros
from fanin.plans.measured import Measured, measured
from fanin.plans.recognition.families import FEWEST, MOST, TRUNCATED, USUAL_CUTS, Family, families
from fanin.plans.recognition.names import Counted, named
from fanin.plans.recognition.structure import STRUCTURES

# Unit roundoff of each dtype.
UNITS: Final = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
DISTINCT: Final = 0.9  # of the magnitudes of independent values, at least


class Recognised(NamedTuple):
    """What values look like.

    Attributes:
        initializer: the law, or `Keep` where none is that of the values.
        why: how that is known, and how well.
        seen: the moments; None if there are none.
    """

    initializer: Initializer
    why: str
    seen: Measured | None


def recognise(values: npt.NDArray[Any], target: Target, also: Sequence[Fans] = ()) -> Recognised:
    """The law that the values of a tensor were drawn from, in the simplest words that chance allows.

    In this order: constants, identities and Dirac kernels, orthogonal matrices (QᵀQ = gain² I); then independent
    values, normal, uniform, or normal and cut, by their largest, their fourth moment and their distribution. Its scale
    is named: a fixed std that libraries use, or gain/√fan, within 4 standard errors, √((κ − 1)/(4 n)) of it each.

    Args:
        values: of the target's shape.
        also: further fans, such as those of the weight that a bias belongs to.

    Example:
        >>> from fanin.initializers import VarianceScaling
        >>> target = Target("weight", (256, 128), fans=Fans(128, 256))
        >>> values = VarianceScaling(math.sqrt(2)).draw(target, seed=0).reshape(target.shape)
        >>> found = recognise(values, target)
        >>> str(found.initializer), found.why
        ('normal 1.414/√fan_in', 'its 32,768 values are normal, their std known to ±0.4 %')
        >>> recognise(values[0, :8], Target("bias", (8,))).why
        '8 values are too few to tell a law: mean -7.90e-02, std 8.90e-02'

    References: Kolmogorov–Smirnov with Massart's constant (1990); the laws, docs/initializers.md.
    Not for: trained weights, which follow none of these laws, nor for values that depend on each other in ways that
        no test here looks for.
    """
    if not values.size:
        return Recognised(Keep(), "it has no values", None)
    if np.iscomplexobj(values) or not np.isfinite(values).all():
        kind = "complex" if np.iscomplexobj(values) else "not all finite"
        return Recognised(Keep(), f"its values are {kind}; no law is looked for", None)
    seen = measured(values, UNITS.get(target.dtype, 2.0**-24))
    for structure in STRUCTURES:
        if (found := structure(values, target, seen)) is not None:
            return Recognised(found, _of_structure(found, seen), seen)
    if (padded := _rows_of_zeros(values, target, also, seen)) is not None:
        return padded
    why = _not_to_be_told(values, target)
    possible = families(values, seen) if why is None else []
    if not possible:
        why = why or "its values follow none of the laws that are looked for"
        return Recognised(Keep(), f"{why}: mean {seen.mean:.2e}, std {seen.std:.2e}", seen)
    counted = [*([Counted(target.fans)] if target.fans else []), *(Counted(fans, given=True) for fans in also)]
    first, *others = named(possible[0], seen, counted)
    std = first.law(target).std
    others = [other for other in others if not math.isclose(other.law(target).std, std, rel_tol=1e-9)]
    return Recognised(first, _how(possible, seen, others), seen)


def _of_structure(found: Initializer, seen: Measured) -> str:
    if seen.low == seen.high:
        return f"its value is {seen.low:g}" if seen.count == 1 else "all values are alike"
    return f"seen in its values: {type(found).__name__.lower()}"


def _rows_of_zeros(values: npt.NDArray[Any], target: Target, also: Sequence[Fans], seen: Measured) -> Recognised | None:
    """A table with a row for padding: all zeros of it are whole rows side by side, and the others follow a law."""
    if values.ndim < 2 or target.parts is not None:
        return None
    empty = np.flatnonzero(~values.reshape(len(values), -1).any(axis=1))
    if not 0 < len(empty) < len(values) or empty[-1] - empty[0] + 1 != len(empty):
        return None
    first, last = int(empty[0]), int(empty[-1]) + 1
    rest = np.delete(values, slice(first, last), axis=0)
    found = recognise(rest, Target(target.name, rest.shape, target.dtype, target.fans), also)
    if isinstance(found.initializer, Keep):
        return None
    spans = [span for span in ((0, first), (first, last), (last, len(values))) if span[0] < span[1]]
    named = {f"{start}:{stop}": stop - start for start, stop in spans}
    parts = Parts(tuple(named), sizes=tuple(named.values()))
    rows = f"row {first} is" if last == first + 1 else f"rows {first} to {last - 1} are"
    law = PerPart(found.initializer, {f"{first}:{last}": Zeros()}, parts)
    return Recognised(law, f"{rows} zeros; of the others, {found.why}", seen)


def _not_to_be_told(values: npt.NDArray[Any], target: Target) -> str | None:
    """Too few values, or what shows that they are not independent and continuous: zeros, or the same again."""
    if values.size < FEWEST:
        return f"{'1 value is' if values.size == 1 else f'{values.size} values are'} too few to tell a law"
    zeros = values.size - int(np.count_nonzero(values))
    if zeros > 1 + 1e-5 * values.size:
        return f"{zeros:,} of its {values.size:,} values are exactly 0"
    if UNITS.get(target.dtype, 1.0) <= 2.0**-24:
        some = np.abs(values.reshape(-1)[:MOST])
        if len(np.unique(some)) < DISTINCT * some.size:
            return "its values repeat"
    return None


def _how(possible: Sequence[Family], seen: Measured, others: Sequence[Initializer]) -> str:
    first = possible[0]
    percent = 100 * seen.std_error(first.kurtosis)
    text = f"its {seen.count:,} values are {_called(first)}, their std known to ±{percent:.1g} %"
    if len(possible) > 1:
        text += f"; so few could also be {' or '.join(map(_called, possible[1:]))}"
    if others:
        text += f"; {' and '.join(map(str, others[:2]))} cannot be told from it"
    return text


def _called(family: Family) -> str:
    if family.name != TRUNCATED:
        return family.name
    usual = any(math.isclose(family.cut, cut) for cut in USUAL_CUTS)
    return f"normal, cut at {'' if usual else 'about '}{family.cut:g} σ"
