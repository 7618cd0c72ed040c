"""What a closer look at one pass shows: how values are spread, units that never speak, what attention attends to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

SAMPLE: Final = 1 << 12  # elements, evenly strided, that stand for a tensor in its histogram: a share is off by 1 %
BINS: Final = 40


class Histogram(NamedTuple):
    """Counts in bins of equal width from `low` to `high`; what lies beyond is in the first or the last."""

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Detail:
    """Of one tensor x, beside its moments.

    Attributes:
        largest: max |x|, of the finite ones.
        smallest: min |x| over x ≠ 0; infinite where all are 0.
        magnitudes: share of the x ≠ 0 with |x| < 2^k, for k in `OCTAVES`.
        histogram: within 4 root mean squares of 0, of up to `SAMPLE` elements; None where none is finite.
        units: how many features it has; None where it is not known which axes count them.
        dead: share of the units that are 0 for every sample and position.
        spread: of logits, the variance over the classes, averaged over all else; None of anything else.
    """

    largest: float
    smallest: float
    magnitudes: tuple[float, ...]
    histogram: Histogram | None = None
    units: int | None = None
    dead: float | None = None
    spread: float | None = None


OCTAVES: Final = (-149, -133, -126, -24, -14, 0, 15, 16, 127)  # where float16, bfloat16 and float32 end


def share_below(detail: Detail, octave: int) -> float:
    """Share of the x ≠ 0 with |x| < 2^octave, one of `OCTAVES`."""
    return detail.magnitudes[OCTAVES.index(octave)]


@dataclass(frozen=True)
class AttentionDetail:
    """Of one attention, softmax(z) V, over all heads and up to a few samples.

    Attributes:
        keys: how many each query can see, on average.
        logit_std: √ of the average over queries of the variance of z over the keys they see.
        largest: the average over queries of the largest weight.
        entropy: the average of −Σ p ln p over ln of the number of keys seen, 0 … 1, of queries that see at least two.
    """

    keys: float
    logit_std: float
    largest: float
    entropy: float


@dataclass(frozen=True)
class Stored:
    """Of one parameter's values, what tells how they came into memory.

    Attributes:
        largest: max |x|, of the finite ones.
        smallest: min |x| over x ≠ 0; infinite where all are 0.
        at_largest: how many values are that one, to the last bit, which lies farthest from 0; counted where it lies
            beyond 6 root mean squares.
        next_largest: max |x| of the other values, likewise.
        torn: zeros in runs of `RUN` and more that span a row and end in the middle of one, where its neighbour's do
            not: no mask, padding or block does that, memory that nobody wrote does.
    """

    largest: float
    smallest: float
    at_largest: int = 0
    next_largest: float = 0.0
    torn: int = 0


RUN: Final = 1 << 10  # values of four bytes on one page
