"""Which stream, in JAX: a PRNG key and a name → the four words of `fanin.stream.key`, by SHA-256 under `jit`."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import lax

from fanin.errors import BadInput
from fanin.stream import key as stream_key

Word: TypeAlias = jax.Array
Block: TypeAlias = npt.NDArray[np.uint32]

_LARGEST_SEED: Final = 4  # words: 128 bits


def seed_words(key: Any) -> jax.Array:
    """The seed that a PRNG key is, as four words, the lowest first.

    The key's data are the digits of an integer, the highest first: `jax.random.key(7)` is the seed 7, and so is the
    older `jax.random.PRNGKey(7)`. A key that was split or folded is some seed of 64 bits.

    Raises:
        BadInput: it is not one key, or one of more than 128 bits.
    """
    if not isinstance(key, jax.Array | np.ndarray):
        raise BadInput(f"key: expected a key such as jax.random.key(0), got {key!r}.")
    data = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    if data.dtype != np.uint32 or data.ndim != 1 or not 1 <= data.shape[0] <= _LARGEST_SEED:
        hint = " Use jax.vmap to draw with many keys." if key.ndim else ""
        raise BadInput(f"key: expected one key of at most 128 bits, got {key.dtype} of shape {key.shape}.{hint}")
    return jnp.pad(jnp.flip(jnp.asarray(data)), (0, _LARGEST_SEED - data.shape[0]))


def key_words(seed: jax.Array, name: str, draw: int = 0) -> jax.Array:
    """The words k0, k1, c2, c3 of `fanin.stream.key(seed, name, draw=draw)`; the seed may be traced.

    Raises:
        BadInput: the name is not a string.
    """
    words: jax.Array = _hashed(seed, _message(name, draw))
    return words


def _message(name: str, draw: int) -> Block:
    """What is hashed, for the seed 0, padded to whole blocks of 16 words."""
    stream_key(0, name, draw=draw)  # refuses what is not a name
    text = name.encode()
    message = b"fanin/stream/v1\0" + bytes(17) + draw.to_bytes(4, "little") + len(text).to_bytes(4, "little") + text
    padded = message + b"\x80" + bytes(-(len(message) + 9) % 64) + (8 * len(message)).to_bytes(8, "big")
    return np.frombuffer(padded, ">u4").astype(np.uint32).reshape(-1, 16)


@jax.jit
def _hashed(seed: jax.Array, message: jax.Array) -> jax.Array:
    """The first four words of SHA-256, as little-endian words; the seed's 16 bytes stand from byte 17 on."""
    digits = _swapped(seed)
    after = jnp.pad(digits >> np.uint32(8), (4, 8))
    before = jnp.pad(digits << np.uint32(24), (5, 7))
    first = (message[0] | after | before)[None]
    state, _ = lax.scan(_compress, jnp.asarray(_START), jnp.concatenate([first, message[1:]]))
    return _swapped(state[:4])


def _compress(state: jax.Array, block: jax.Array) -> tuple[jax.Array, None]:
    """One block of SHA-256; the 64 rounds are a loop, which compiles in a tenth of the time."""
    start = tuple(state[i] for i in range(8)), tuple(block[i] for i in range(16))
    (mixed, _), _ = lax.scan(_round, start, jnp.asarray(_CONSTANTS), unroll=4)
    return state + jnp.stack(mixed), None


def _round(carry: tuple[tuple[Word, ...], tuple[Word, ...]], constant: Word) -> tuple[Any, None]:
    (a, b, c, d, e, f, g, h), w = carry
    chosen, majority = (e & f) ^ (~e & g), (a & b) ^ (a & c) ^ (b & c)
    t = h + (_rotated(e, 6) ^ _rotated(e, 11) ^ _rotated(e, 25)) + chosen + constant + w[0]
    next_a = t + (_rotated(a, 2) ^ _rotated(a, 13) ^ _rotated(a, 22)) + majority
    early = _rotated(w[1], 7) ^ _rotated(w[1], 18) ^ (w[1] >> np.uint32(3))
    late = _rotated(w[14], 17) ^ _rotated(w[14], 19) ^ (w[14] >> np.uint32(10))
    return ((next_a, a, b, c, d + t, e, f, g), (*w[1:], w[0] + early + w[9] + late)), None


def _rotated(word: Word, by: int) -> Word:
    return (word >> np.uint32(by)) | (word << np.uint32(32 - by))


def _swapped(words: jax.Array) -> jax.Array:
    """The bytes of each word in the other order."""
    swapped = (words << np.uint32(8)) & np.uint32(0xFF00FF00) | (words >> np.uint32(8)) & np.uint32(0x00FF00FF)
    return _rotated(swapped, 16)


def _fraction_of_roots(primes: list[int], degree: int) -> Block:
    """The first 32 bits after the point of each root: FIPS 180-4, 4.2.2 and 5.3.3."""
    return np.array([_floor_root(p << 32 * degree, degree) & 0xFFFFFFFF for p in primes], np.uint32)


def _floor_root(number: int, degree: int) -> int:
    root = 0
    for bit in reversed(range(37)):
        if (root | 1 << bit) ** degree <= number:
            root |= 1 << bit
    return root


_PRIMES = [n for n in range(2, 312) if all(n % d for d in range(2, n))]  # 64 of them
_START: Final = _fraction_of_roots(_PRIMES[:8], 2)
_CONSTANTS: Final = _fraction_of_roots(_PRIMES, 3)
