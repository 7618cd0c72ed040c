"""Which stream: seed and name → the key and the constant counter words of Philox."""

from __future__ import annotations

import operator
import struct
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from fanin.errors import BadInput

VERSION: Final = "fanin/stream/v1"  # a change of it changes every value
_FOUR_WORDS = struct.Struct("<4I")


class Domain(IntEnum):
    """What the words are for; streams of different domains are independent."""

    VALUES = 0
    MASK = 1
    PERMUTATION = 2
    ORTHOGONAL = 3
    SIGN = 4


_VALUES = Domain.VALUES  # looked up in an Enum, it costs as much as a name's UTF-8


class Key(NamedTuple):  # made faster than a dataclass, and a model has one a tensor
    """One stream of 2^64 words: the Philox key (k0, k1) and the upper counter words (c2, c3)."""

    k0: int
    k1: int
    c2: int
    c3: int


_new = tuple.__new__  # a NamedTuple's own is written in Python


def key(seed: int, name: str, *, domain: Domain = Domain.VALUES, draw: int = 0) -> Key:
    """The stream of one parameter: the first 16 bytes of SHA-256 over seed and name.

    `SHA-256("fanin/stream/v1" ‖ 0 ‖ u8 domain ‖ u128 seed ‖ u32 draw ‖ u32 bytes of name ‖ name as UTF-8)`, all
    little-endian.

    Args:
        seed: an integer in [0, 2^128).
        name: the logical path of the parameter.
        domain: what the words are for.
        draw: 0, 1, … for a recipe that draws more than once.

    Raises:
        BadInput: seed or draw is not an integer in its range, or name is not a string.

    Example:
        >>> [f"{word:08x}" for word in (key(0, "weight").k0, key(0, "weight").k1)]
        ['3bbe3b5b', 'fd3b0600']

    Reference: FIPS 180-4 (SHA-256). A name that changes changes its own values, and no others.
    """
    if domain is _VALUES and type(seed) is int and type(draw) is int:  # not True or 1.0, which a cache takes for 1
        start = _start_of_values(seed, draw)
    else:
        start = _start(Domain(domain), seed, draw)
    try:
        text = str.encode(name)
    except (TypeError, UnicodeEncodeError):
        raise BadInput(_not_a_name(name)) from None
    return _new(Key, _FOUR_WORDS.unpack_from(sha256(start + len(text).to_bytes(4, "little") + text).digest()))


def _start(domain: Domain, seed: int, draw: int) -> bytes:
    """Of the message: what the tensors of a model have in common."""
    seed_bytes = _integer("seed", seed, bits=128).to_bytes(16, "little")
    draw_bytes = _integer("draw", draw, bits=32).to_bytes(4, "little")
    return VERSION.encode() + b"\0" + bytes((domain,)) + seed_bytes + draw_bytes


@lru_cache(maxsize=64)
def _start_of_values(seed: int, draw: int) -> bytes:
    return _start(_VALUES, seed, draw)


def _not_a_name(name: object) -> str:
    if isinstance(name, str):
        return f"name: expected text that UTF-8 can encode, got {name!r} with a lone surrogate."
    return f"name: expected a string such as 'layers.0.weight', got {name!r}."


def _integer(label: str, value: int, *, bits: int) -> int:
    expected = f"{label}: expected an integer in [0, 2**{bits})"
    if isinstance(value, bool):
        raise BadInput(f"{expected}, got {value!r}.")
    try:
        number = operator.index(value)
    except TypeError:
        raise BadInput(f"{expected}, got {value!r} of type {type(value).__name__}.") from None
    if not 0 <= number < 1 << bits:
        raise BadInput(f"{expected}, got {number}.")
    return number
