"""A histogram as small as a word: a path for a page, block characters for a terminal, and what it says in words.

Heights go as the square root of the counts: what is exactly 0 after a ReLU is half of all, and would leave the rest of
the histogram without height.
"""

from __future__ import annotations

import math
from itertools import accumulate, groupby, pairwise
from typing import Final

from fanin.signals import Histogram

LEVELS: Final = "▁▂▃▄▅▆▇█"
HEIGHT: Final = 16  # of a drawing that is as wide as it has bins; its browser stretches it
CHARACTERS: Final = 20


def reach(histogram: Histogram) -> float:
    """The largest size that it has a bin for."""
    return max(abs(histogram.low), abs(histogram.high))


def span(histogram: Histogram) -> str:
    """Its range, short.

    >>> span(Histogram(-0.5, 0.5, (1, 2))), span(Histogram(0.0, 2.0, (1, 2)))
    ('±0.5', '0 … 2')
    """
    if histogram.low == -histogram.high:
        return f"±{histogram.high:.2g}"
    return f"{histogram.low:.2g} … {histogram.high:.2g}"


def outline(histogram: Histogram) -> str:
    """The path of an SVG of `len(counts)` × `HEIGHT`.

    >>> outline(Histogram(-1.0, 1.0, (0, 4, 4, 1)))
    'M0 16V16h1V0h2V8h1V16z'
    """
    tallest = max(histogram.counts) or 1
    heights = (round(HEIGHT * math.sqrt(count / tallest)) for count in histogram.counts)
    steps = (f"V{HEIGHT - height}h{len(list(run))}" for height, run in groupby(heights))
    return f"M0 {HEIGHT}{''.join(steps)}V{HEIGHT}z"


def characters(histogram: Histogram, width: int = CHARACTERS) -> str:
    """A row of block characters; a space where nothing lies.

    >>> characters(Histogram(-1.0, 1.0, (0, 0, 1, 3, 9, 7, 0, 0)), 4)
    ' ▄█ '
    """
    width = min(width, len(histogram.counts))
    edges = [i * len(histogram.counts) // width for i in range(width + 1)]
    sums = [sum(histogram.counts[a:b]) for a, b in pairwise(edges)]
    tallest = max(sums) or 1
    return "".join(LEVELS[math.ceil(len(LEVELS) * math.sqrt(n / tallest)) - 1] if n else " " for n in sums)


def in_words(histogram: Histogram) -> str:
    """Where the middle half lies, for those who hear the page.

    >>> in_words(Histogram(-1.0, 1.0, (1, 4, 4, 1)))
    '±1, half between -0.31 and 0.31'
    """
    low, high = (_quantile(histogram, share) for share in (0.25, 0.75))
    return f"{span(histogram)}, half between {low:.2g} and {high:.2g}"


def _quantile(histogram: Histogram, share: float) -> float:
    """Within a bin, as if it were evenly filled."""
    wanted, width = share * sum(histogram.counts), (histogram.high - histogram.low) / len(histogram.counts)
    for i, (upto, count) in enumerate(zip(accumulate(histogram.counts), histogram.counts, strict=True)):
        if count and upto >= wanted:
            return histogram.low + width * (i + 1 - (upto - wanted) / count)
    return histogram.high
