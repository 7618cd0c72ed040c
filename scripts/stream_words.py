"""Write the stream's words to standard output as little-endian uint32, for a battery of tests to read.

    python scripts/stream_words.py long | ./testu01 SmallCrush        scripts/testu01.c says how to build it
    python scripts/stream_words.py names --words 2**20 > words.bin

What is written is what would show a flaw if there were one: a long stream, the beginnings of streams whose names
differ in a digit, neighbouring seeds word by word, and the normals, put back on a uniform scale. `control` is flawed.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from fanin.stream import key, normal, words
from fanin.stream.philox import Words

CHUNK: Final = 1 << 20  # words
BEGINNING: Final = 256  # words that are read of each name
SEEDS: Final = 16


def long() -> Iterator[Words]:
    """One tensor that does not end."""
    weight = key(0, "weight")
    for start in itertools.count(0, CHUNK):
        yield words(weight, range(start, start + CHUNK))


def names() -> Iterator[Words]:
    """The beginnings of layers.0.weight, layers.1.weight, …"""
    layers = itertools.count()
    while True:
        chunk = np.empty((CHUNK // BEGINNING, BEGINNING), np.uint32)
        for beginning in chunk:
            words(key(0, f"layers.{next(layers)}.weight"), range(BEGINNING), out=beginning)
        yield chunk


def seeds() -> Iterator[Words]:
    """Seeds 0, 1, … of one tensor, interleaved word by word."""
    neighbours = [key(seed, "weight") for seed in range(SEEDS)]
    for start in itertools.count(0, CHUNK // SEEDS):
        yield np.stack([words(k, range(start, start + CHUNK // SEEDS)) for k in neighbours], axis=1)


def normals() -> Iterator[Words]:
    """⌊256 Φ(z)⌋ of normal values, four to a word."""
    weight = key(0, "weight")
    for start in itertools.count(0, CHUNK):
        z: npt.NDArray[Any] = normal(weight, range(start, start + CHUNK), 1.0)
        yield (ndtr(z) * 256).astype(np.uint8).view("<u4")


def control() -> Iterator[Words]:
    """Not the stream: multiples of the golden ratio. A battery that accepts them does not read what it should."""
    for start in itertools.count(0, CHUNK):
        yield np.arange(start, start + CHUNK, dtype=np.uint64).astype(np.uint32) * np.uint32(0x9E3779B9)


ARRANGEMENTS: Final[dict[str, Callable[[], Iterator[Words]]]] = {
    "long": long,
    "names": names,
    "seeds": seeds,
    "normals": normals,
    "control": control,
}


def number(text: str) -> int:
    """`1024` or `2**10`."""
    base, _, exponent = text.partition("**")
    return int(pow(int(base), int(exponent or 1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arrangement", choices=ARRANGEMENTS)
    parser.add_argument("--words", type=number, help="how many, such as 2**20; without it, until the reader stops")
    options = parser.parse_args()
    left = options.words
    try:
        for chunk in ARRANGEMENTS[options.arrangement]():
            wanted = chunk.ravel()[:left]
            sys.stdout.buffer.write(wanted.astype("<u4", copy=False).tobytes())
            if left is not None:
                left -= wanted.size
                if not left:
                    break
        sys.stdout.buffer.flush()
    except (BrokenPipeError, KeyboardInterrupt):  # the reader has had enough, or the user
        sys.stderr.close()  # nothing more to say while Python ends


if __name__ == "__main__":
    main()
