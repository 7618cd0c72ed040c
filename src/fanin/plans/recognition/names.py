"""The scale of a law in the field's words: 1.414/√fan_in, U(±1/√fan_in), 0.02. The first that chance allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from fanin.graph import Fans
from fanin.initializers import Initializer, Normal, TruncatedNormal, Uniform, VarianceScaling
from fanin.plans.measured import SIGMAS, Measured
from fanin.plans.recognition.families import CHANCE, NORMAL, TRUNCATED, UNIFORM, Family

NAMED_WITHIN: Final = 4.0  # standard errors; chance goes beyond in one of 16,000 tensors
MEANS: Final = (0.0, 1.0)
STDS: Final = (0.02, 1.0)  # what a library writes into every layer comes before what follows its shape
RARE_STDS: Final = (0.01, 0.1, 0.001, 0.05, 0.5, 0.006)
BOUNDS: Final = (0.05, 0.1, 1.0, 0.01, 0.08, 0.001)
# gain and mode of √(gain²/fan): LeCun, He, Glorot; He and LeCun backward; small init √(2/(5 d)), routers, tanh.
SCALES: Final = (
    *((1.0, "fan_in"), (math.sqrt(2), "fan_in"), (1.0, "fan_avg"), (math.sqrt(2), "fan_out"), (1.0, "fan_out")),
    *((math.sqrt(0.4), "fan_in"), (math.sqrt(0.1), "fan_in"), (5 / 3, "fan_in"), (1 / math.sqrt(3), "fan_in")),
)
UNIFORM_SCALES: Final = (
    *((1 / math.sqrt(3), "fan_in"), (1.0, "fan_avg"), (math.sqrt(2), "fan_in"), (1.0, "fan_in")),
    *((math.sqrt(2), "fan_out"), (5 / 3, "fan_avg"), (math.sqrt(0.1), "fan_in")),
)


class Counted(NamedTuple):
    """Fans in which a scale may be written; `given` where they are not the tensor's own."""

    fans: Fans
    given: bool = False


def named(family: Family, seen: Measured, counted: Sequence[Counted]) -> list[Initializer]:
    """The laws of the family with that scale, the plainest first; the one that is measured if none has a name."""
    mean = next((m for m in MEANS if seen.has_mean(m, seen.std, NAMED_WITHIN)), float(f"{seen.mean:.4g}"))
    if mean == 0.0:
        found = list(_centred(family, seen, counted))
        return list(dict.fromkeys(found)) or [_of(family, _digits(seen, family), 0.0, seen)]
    stds = [std for std in (*STDS, *RARE_STDS) if family.name != UNIFORM and _has(seen, std, family)]
    return [_of(family, (stds or [_digits(seen, family)])[0], mean, seen)]


def _centred(family: Family, seen: Measured, counted: Sequence[Counted]) -> Iterator[Initializer]:
    if family.name != UNIFORM:
        yield from (_of(family, std, 0.0, seen) for std in STDS if _has(seen, std, family))
    usual = math.isclose(family.cut, 2.0) or family.name != TRUNCATED  # what VarianceScaling cuts
    for fans, given in counted if usual else ():
        for gain, mode in UNIFORM_SCALES if family.name == UNIFORM else SCALES:
            fan = fans.of(mode)
            std = gain / math.sqrt(fan) if fan > 0 else 0.0
            if std and (_bounded(seen, math.sqrt(3) * std) if family.name == UNIFORM else _has(seen, std, family)):
                yield _scaled(gain, mode, family.name, fans if given else None)
    if family.name == UNIFORM:
        yield from (Uniform(-b, b) for b in BOUNDS if _bounded(seen, b))
    else:
        yield from (_of(family, std, 0.0, seen) for std in RARE_STDS if _has(seen, std, family))


def _scaled(gain: float, mode: str, distribution: str, given: Fans | None) -> Initializer:
    if given is None:
        return VarianceScaling(gain, mode, distribution)
    if mode == "fan_in":
        return VarianceScaling(gain, mode, distribution, fan_in=given.fan_in)
    return VarianceScaling(gain, mode, distribution, given.fan_in, given.fan_out)


def _has(seen: Measured, std: float, family: Family) -> bool:
    """The std, and bounds that hold all values."""
    holds = std * family.reach * (1 + 1e-6) + seen.rounding >= _farthest(seen)
    return holds and seen.has_std(std, family.kurtosis, NAMED_WITHIN)


def _farthest(seen: Measured) -> float:
    """From the mean or, where that is 0 but for chance, from 0."""
    mean = 0.0 if seen.has_mean(0.0, seen.std, NAMED_WITHIN) else seen.mean
    return max(seen.high - mean, mean - seen.low)


def _bounded(seen: Measured, bound: float) -> bool:
    """The largest of n uniform values is within 20.7/n of the bound, but for a chance of 10⁻⁹, and never beyond."""
    largest = max(seen.high, -seen.low)
    room = -math.log(CHANCE) / seen.count
    return bound * (1 - room) - seen.rounding <= largest <= bound * (1 + 1e-6) + seen.rounding


def _of(family: Family, std: float, mean: float, seen: Measured) -> Initializer:
    if family.name == NORMAL:
        return Normal(std, mean)
    if family.name == TRUNCATED:
        return TruncatedNormal(std, mean, family.cut)
    if mean == 0.0:
        largest = max(seen.high, -seen.low)
        bound = max(float(f"{largest * (1 + 1 / seen.count):.4g}"), largest * (1 + 2**-20))
        return Uniform(-bound, bound)
    low, high = (round(x, 2) for x in (seen.low, seen.high))
    gap = (seen.high - seen.low) * SIGMAS / seen.count
    if low <= seen.low <= low + gap and high - gap <= seen.high <= high:
        return Uniform(low, high)
    return Uniform(float(f"{seen.low:.4g}"), float(f"{seen.high:.4g}"))


def _digits(seen: Measured, family: Family) -> float:
    """The std in as many digits as the number of values gives, and wide enough to hold them."""
    error = max(seen.std_error(family.kurtosis), 1e-6)
    std = float(f"{seen.std:.{max(1, math.ceil(-math.log10(error)))}g}")
    return max(std, (_farthest(seen) - seen.rounding) / family.reach * (1 + 1e-6))
