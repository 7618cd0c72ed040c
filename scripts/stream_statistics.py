"""Does the stream follow its laws, and are its elements and streams independent? On 2^30 values, in bounded memory.

    python scripts/stream_statistics.py                    five minutes of one core
    python scripts/stream_statistics.py --values 2**24     ten seconds of it

docs/statistics.md says what is tested, and has the table. Ends with status 1 if the table refutes the stream: if the
smallest p-value, corrected for their number (Holm 1979), is below one in a million.
"""

from __future__ import annotations

import argparse
import math
import platform
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt
import scipy
from rich.console import Console
from rich.progress import Progress
from scipy import stats
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from fanin.stream import Domain, Key, key, normal, reference, truncated_normal, uniform
from fanin.stream.distributions import cut_word
from fanin.stream.laws import FORMATS, NORMAL, TRUNCATED, UNIFORM
from fanin.stream.laws import Law as IntegerLaw

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

LOW, HIGH = -2.0, 1.0  # the cuts of the truncated normal
FINE, COARSE = 1 << 20, 1 << 12  # cells
LAGS: Final = 64
CHUNK: Final = 1 << 15  # elements, so that what is made of them stays in cache
REFUTED: Final = 1e-6


@dataclass(frozen=True)
class Law:
    """A law as drawn (of unit scale), as the integers of the stream, and as the textbook has it."""

    name: str
    draw: Callable[[range], npt.NDArray[Any]]
    integers: IntegerLaw
    cdf: Callable[[Reals], Reals]
    exact: Any

    def cells(self, values: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Which of the `FINE` cells, equally probable in the textbook, holds each value; monotone."""
        return np.minimum((self.cdf(values.astype(np.float64)) * FINE).astype(np.intp), FINE - 1)

    def words_per_cell(self) -> Integers:
        """How many of the 2^32 words land in each cell: the exact law, by bisection, as a value grows with its word."""
        wanted = np.arange(1, FINE)
        low, high = np.zeros(FINE - 1, np.int64), np.full(FINE - 1, 1 << 32)  # the first word of a cell is in between
        while (low < high).any():
            middle = (low + high) >> 1
            words = np.minimum(middle, (1 << 32) - 1).astype(np.uint32)
            reached = self.cells(reference.values(words, self.integers, FORMATS["float32"])) >= wanted
            low, high = np.where(reached | (low == high), low, middle + 1), np.where(reached, middle, high)
        return np.diff(low, prepend=0, append=1 << 32)


def _truncated_integers() -> IntegerLaw:
    first = cut_word(LOW)
    lowest, highest = int(LOW * 2**27), int(HIGH * 2**27)
    return TRUNCATED, first, cut_word(HIGH) - first, lowest, highest, 2.0**-27, 0.0


_BELOW, _BETWEEN = float(ndtr(LOW)), float(ndtr(HIGH) - ndtr(LOW))

LAWS: Final = (
    Law(
        "uniform(−1, 1)",
        lambda elements: uniform(key(0, "uniform"), elements, 1.0),
        (UNIFORM, 0, 0, 0, 0, 2.0**-24, 0.0),
        lambda x: (x + 1) / 2,
        stats.uniform(-1, 2),
    ),
    Law(
        "normal(0, 1)",
        lambda elements: normal(key(0, "normal"), elements, 1.0),
        (NORMAL, 0, 0, 0, 0, 2.0**-27, 0.0),
        ndtr,
        stats.norm(),
    ),
    Law(
        "normal cut to [−2, 1]",
        lambda elements: truncated_normal(key(0, "truncated"), elements, 1.0, LOW, HIGH),
        _truncated_integers(),
        lambda x: (ndtr(x) - _BELOW) / _BETWEEN,
        stats.truncnorm(LOW, HIGH),
    ),
)

NEIGHBOURS: Final[dict[str, list[Key]]] = {
    "seeds 0–7": [key(seed, "weight") for seed in range(8)],
    "seeds 0 and 2^k": [key(seed, "weight") for seed in (0, *(1 << k for k in (0, 31, 32, 63, 64, 96, 127)))],
    "layers.0–7.weight": [key(0, f"layers.{layer}.weight") for layer in range(8)],
    "names one character apart": [
        key(0, f"layers.{layer}.{name}") for layer in ("1", "11") for name in ("w", "v", "w1", "w2")
    ],
    "draws 0–7": [key(0, "weight", draw=draw) for draw in range(8)],
    "domains": [key(0, "weight", domain=domain) for domain in Domain],
}


@dataclass(frozen=True)
class Row:
    """One test: a line of the table."""

    of: str
    test: str
    statistic: str
    p: float


def ranges(count: int) -> Iterator[range]:
    return (range(start, start + CHUNK) for start in range(0, count, CHUNK))


def chi_square(statistic: float, freedom: int) -> float:
    """Two-sided: too good a fit is as improbable as a bad one."""
    return float(2 * min(stats.chi2.sf(statistic, freedom), stats.chi2.cdf(statistic, freedom)))


def fit(law: Law, count: int, advance: Callable[[int], None]) -> Iterator[Row]:
    """χ² against the exact law; Kolmogorov–Smirnov and moments against the textbook's."""
    seen = np.zeros(FINE, np.int64)
    powers = np.zeros(4)
    mean, std = law.exact.mean(), law.exact.std()
    for elements in ranges(count):
        values = law.draw(elements)
        np.add.at(seen, law.cells(values), 1)
        x = (values.astype(np.float64) - mean) / std
        squares = x * x
        powers += x.sum(), squares.sum(), x @ squares, squares @ squares
        advance(len(elements))
    words = law.words_per_cell()
    for cells in (COARSE, FINE):
        expected = words.reshape(cells, -1).sum(axis=1) * (count / 2**32)
        statistic = float(((seen.reshape(cells, -1).sum(axis=1) - expected) ** 2 / expected).sum())
        yield Row(law.name, f"χ², {cells:,} cells", f"{statistic:.0f}", chi_square(statistic, cells - 1))
    distance = float(np.abs(np.cumsum(seen) / count - np.arange(1, FINE + 1) / FINE).max()) * math.sqrt(count)
    yield Row(law.name, "Kolmogorov–Smirnov", f"√n D = {distance:.3f}", float(stats.kstwobign.sf(distance)))
    for k, (name, power) in enumerate(zip(("mean", "variance", "skewness", "kurtosis"), powers, strict=True), 1):
        expected, of_square = (law.exact.expect(lambda v, k=k: ((v - mean) / std) ** k) for k in (k, 2 * k))
        z = (power / count - expected) / math.sqrt((of_square - expected**2) / count)
        yield Row(law.name, name, f"{power / count:.6f}, z = {z:+.2f}", two_sided(z))


def two_sided(z: float) -> float:
    return float(2 * stats.norm.sf(abs(z)))


def standardized(keys: list[Key], elements: range) -> Reals:
    """Normal values of each stream, and their squares less the mean: of mean 0 and variance 1 both."""
    both = np.empty((2, len(keys), len(elements)))
    for k, values in zip(keys, both[0], strict=True):
        normal(k, elements, 1.0, dtype="float64", out=values)
    np.square(both[0], out=both[1])
    both[1] -= 1.0
    both[1] *= math.sqrt(0.5)
    return both


def correlations(of: str, what: str, z: Reals) -> Iterator[Row]:
    """From the z-score of each pair: is one too large (Šidák 1967), and are all of them together?"""
    largest, together = float(z[np.abs(z).argmax()]), float(z @ z)
    one = -math.expm1(z.size * math.log1p(-two_sided(largest)))
    yield Row(of, f"largest of {z.size} correlations of {what}", f"z = {largest:+.2f}", one)
    yield Row(of, f"all {z.size} correlations of {what}", f"Σz² = {together:.1f}", chi_square(together, z.size))


def neighbouring_elements(count: int, advance: Callable[[int], None]) -> Iterator[Row]:
    """Each element with the next 64: rows of 64 elements times themselves and the rows that follow."""
    weight, products = key(0, "weight"), np.zeros((2, LAGS, 2 * LAGS))
    for elements in ranges(count):
        overlap = range(elements.start, elements.stop + LAGS)
        for i, x in enumerate(standardized([weight], overlap).reshape(2, -1, LAGS)):
            products[i, :, :LAGS] += x[:-1].T @ x[:-1]
            products[i, :, LAGS:] += x[:-1].T @ x[1:]
        advance(len(elements))
    for what, total in zip(("values", "squares"), products, strict=True):
        sums = np.array([total.trace(lag) for lag in range(1, LAGS + 1)])
        yield from correlations(f"elements, lags 1–{LAGS}", what, sums / math.sqrt(count))


def neighbouring_streams(name: str, keys: list[Key], count: int, advance: Callable[[int], None]) -> Iterator[Row]:
    """Each stream with each other, element by element."""
    products = np.zeros((2, len(keys), len(keys)))
    for elements in ranges(count):
        for i, x in enumerate(standardized(keys, elements)):
            products[i] += x @ x.T
        advance(len(elements))
    pairs = np.triu_indices(len(keys), 1)
    for what, total in zip(("values", "squares"), products, strict=True):
        yield from correlations(name, what, total[pairs] / math.sqrt(count))


def rows(count: int) -> Iterator[Row]:
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:

        def part(name: str) -> Callable[[int], None]:
            task = progress.add_task(name, total=count)
            return lambda steps: progress.advance(task, steps)

        for law in LAWS:
            yield from fit(law, count, part(law.name))
        yield from neighbouring_elements(count, part("neighbouring elements"))
        for name, keys in NEIGHBOURS.items():
            yield from neighbouring_streams(name, keys, count, part(name))


def number(text: str) -> int:
    """`1024` or `2**10`."""
    base, _, exponent = text.partition("**")
    return int(pow(int(base), int(exponent or 1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=number, default=1 << 30, help="of each law and stream (default: 2**30)")
    count = parser.parse_args().values
    if count < 16 * FINE or count % CHUNK:
        parser.error(f"--values: expected a multiple of {CHUNK}, at least 2**24 (16 for each cell); got {count}.")
    print(f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, ", end="")
    print(f"NumPy {np.__version__}, SciPy {scipy.__version__}, numba {numba.__version__}")
    print(f"python {shlex.join(sys.argv)}: {count:,} values of each law and stream\n")
    print("| of | test | statistic | p |\n|---|---|---|---|")
    p_values = []
    with threadpool_limits(1):  # the products are too small to be shared out
        for row in rows(count):
            print(f"| {row.of} | {row.test} | {row.statistic} | {row.p:.2g} |", flush=True)
            p_values.append(row.p)
    corrected = min(1.0, len(p_values) * min(p_values))
    print(f"\n{len(p_values)} tests, smallest p {min(p_values):.2g}; corrected for their number (Holm) {corrected:.2g}")
    if corrected < REFUTED:
        raise SystemExit("this is not the stream that it should be")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("\nstopped: a part of the table proves nothing") from None
