"""Which word, in JAX: the place of each element in the stream → 32 random bits, without a 64-bit integer."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Wide = tuple[jax.Array, jax.Array]
"""The upper and the lower 32 bits of a 64-bit number."""


def words(key: jax.Array, elements: Wide) -> jax.Array:
    """`Philox4x32-10(counter = (block, c2, c3), key = (k0, k1))[lane]` of each element, block = e >> 2, lane = e & 3.

    Each element computes its own block: four times the integers of a kernel that draws blocks, but no element needs
    another, however the array is laid out or sharded. (Measured on a CPU, drawing blocks was no faster: XLA computes
    a block again for each lane.)
    """
    high, low = elements
    block = (high >> np.uint32(2), (low >> np.uint32(2)) | (high << np.uint32(30)))
    x0, x1, x2, x3 = _philox(key, block)
    odd = (low & np.uint32(1)) == np.uint32(1)
    return jnp.where((low & np.uint32(2)) == np.uint32(0), jnp.where(odd, x1, x0), jnp.where(odd, x3, x2))


def elements_of(shape: tuple[int, ...], order: tuple[int, ...]) -> Wide:
    """The place of each element: its row-major index when the axes are taken in the given order."""
    at = [lax.broadcasted_iota(np.uint32, shape, axis) for axis in order]
    return linear(at, tuple(shape[axis] for axis in order))


def linear(at: list[jax.Array], sizes: tuple[int, ...]) -> Wide:
    """The row-major index of each position in an array of these sizes, modulo 2^64."""
    zero = jnp.uint32(0) if not at else jnp.zeros_like(at[0])
    high, low = zero, zero
    wide = math.prod(sizes) > 1 << 32
    for axis, position in enumerate(at):
        stride = math.prod(sizes[axis + 1 :])
        lower = np.uint32(stride & 0xFFFFFFFF)
        if wide:
            over, term = multiply(position, lower)
            over = over + position * np.uint32(stride >> 32 & 0xFFFFFFFF)
            carry = ((low + term) < low).astype(np.uint32)
            high, low = high + over + carry, low + term
        else:
            low = low + position * lower
    return high, low


def multiply(a: jax.Array, b: jax.Array | np.uint32) -> Wide:
    """The 64 bits of each product, by halves: JAX has no 64-bit integers unless they are switched on."""
    half, mask = np.uint32(16), np.uint32(0xFFFF)
    middle = (a >> half) * (b & mask) + ((a & mask) * (b & mask) >> half)
    other = (a & mask) * (b >> half) + (middle & mask)
    return (a >> half) * (b >> half) + (middle >> half) + (other >> half), a * b


def _philox(key: jax.Array, block: Wide) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Salmon, Moraes, Dror, Shaw 2011: ten rounds."""
    k0, k1, c2, c3 = (key[i] for i in range(4))
    high, low = block
    x0, x1, x2, x3 = low, high, jnp.broadcast_to(c2, low.shape), jnp.broadcast_to(c3, low.shape)
    for _ in range(10):
        over_0, low_0 = multiply(x0, np.uint32(0xD2511F53))
        over_1, low_1 = multiply(x2, np.uint32(0xCD9E8D57))
        x0, x1, x2, x3 = over_1 ^ x1 ^ k0, low_1, over_0 ^ x3 ^ k1, low_0
        k0, k1 = k0 + np.uint32(0x9E3779B9), k1 + np.uint32(0xBB67AE85)
    return x0, x1, x2, x3
