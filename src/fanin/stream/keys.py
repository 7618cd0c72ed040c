"""Which stream: seed and name → the key and the constant counter words of Philox."""

from __future__ import annotations

import hashlib
import operator
import struct
from enum import IntEnum
from typing import NamedTuple

from fanin.errors import BadInput

_VERSION = b"fanin/stream/v1\0"
_FOUR_WORDS = struct.Struct("<4I")


class Domain(IntEnum):
    """What the words are for; streams of different domains are independent."""

    VALUES = 0
    MASK = 1
    PERMUTATION = 2
    ORTHOGONAL = 3
    SIGN = 4


class Key(NamedTuple):  # made faster than a dataclass, and a model has one a tensor
    """One stream of 2^64 words: the Philox key (k0, k1) and the upper counter words (c2, c3)."""

    k0: int
    k1: int
    c2: int
    c3: int


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
    seed_bytes = _integer("seed", seed, bits=128).to_bytes(16, "little")
    draw_bytes = _integer("draw", draw, bits=32).to_bytes(4, "little")
    name_bytes = _utf8(name)
    length_bytes = len(name_bytes).to_bytes(4, "little")
    message = (
        _VERSION
        + bytes((domain if type(domain) is Domain else Domain(domain),))
        + seed_bytes
        + draw_bytes
        + length_bytes
        + name_bytes
    )
    return Key._make(_FOUR_WORDS.unpack_from(hashlib.sha256(message).digest()))


def _utf8(name: str) -> bytes:
    if not isinstance(name, str):
        raise BadInput(f"name: expected a string such as 'layers.0.weight', got {name!r}.")
    try:
        return name.encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput(f"name: expected text that UTF-8 can encode, got {name!r} with a lone surrogate.") from None


def _integer(label: str, value: int, *, bits: int) -> int:
    if type(value) is int and 0 <= value < 1 << bits:  # a model has a key a tensor: no text unless it is needed
        return value
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
