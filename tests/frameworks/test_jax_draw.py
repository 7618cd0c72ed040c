"""The stream in JAX has the bits of the reference: eager, under jit, vmapped, sharded, wherever an element lies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fanin.errors import BadInput
from fanin.frameworks.jax.draw import draw, draw_on_host
from fanin.frameworks.jax.seed import key_words, seed_words
from fanin.frameworks.jax.values import _NARROW, _narrowed, _to_bfloat16
from fanin.frameworks.jax.words import linear, words
from fanin.stream import (
    Distribution,
    key,
    normal_law,
    sample,
    to_bfloat16_bits,
    truncated_law,
    uniform_law,
)
from fanin.stream import words as stream_words
from fanin.stream.reference import ROUNDED

pytestmark = pytest.mark.usefixtures("optimized_by_xla")
LAWS = {
    "normal": normal_law(0.02),
    "uniform, shifted": uniform_law(0.05, center=0.05),
    "truncated, shifted": truncated_law(0.02, -1.0, 3.0, mean=-0.7),
}
SHAPE = (257, 255)
F32 = np.dtype("float32")


def bits(array: Any) -> npt.NDArray[Any]:
    values = np.asarray(array).reshape(-1)
    return values.view(f"u{values.dtype.itemsize}")


def reference(law: Distribution, seed: int = 3, name: str = "w", dtype: str = "float32", count: int = 257 * 255) -> Any:
    return bits(sample(key(seed, name), range(count), law, dtype=dtype))


@given(seed=st.integers(0, 2**128 - 1), name=st.text(max_size=80), draw=st.integers(0, 2**32 - 1))
@example(seed=0, name="", draw=0)
@example(seed=2**128 - 1, name="é" * 7, draw=1)  # the longest name whose message is one block
@example(seed=2**127, name="x" * 15, draw=0)
@settings(max_examples=30, deadline=None)
def test_a_traced_seed_has_the_key_of_the_stream(seed: int, name: str, draw: int) -> None:
    words = jnp.array([seed >> 32 * i & 0xFFFFFFFF for i in range(4)], jnp.uint32)
    assert tuple(np.asarray(key_words(words, name, draw)).tolist()) == key(seed, name, draw=draw)


@pytest.mark.parametrize("seed", [0, 7, 2**31 + 5])
def test_a_key_of_jax_is_the_seed_that_made_it(seed: int) -> None:
    for made in (jax.random.key(seed), jax.random.PRNGKey(seed)):
        assert np.asarray(seed_words(made)).tolist() == [seed, 0, 0, 0]
    assert np.asarray(seed_words(jax.random.key(seed, impl="rbg"))).tolist() == [seed, 0, seed, 0]


@pytest.mark.parametrize("what", [0, None, jax.random.split(jax.random.key(0), 3), jnp.zeros(2), np.zeros(5, "u4")])
def test_what_is_not_one_key_is_refused(what: Any) -> None:
    with pytest.raises(BadInput, match="key"):
        seed_words(what)


@given(
    sizes=st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=3),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_row_major_indices_are_exact_beyond_32_bits(sizes: list[int], data: st.DataObject) -> None:
    at = [data.draw(st.integers(0, size - 1)) for size in sizes]
    expected = 0
    for size, position in zip(sizes, at, strict=True):
        expected = expected * size + position
    high, low = linear([jnp.array([position], jnp.uint32) for position in at], tuple(sizes))
    assert int(high[0]) << 32 | int(low[0]) == expected % 2**64


def test_words_are_those_of_the_stream_anywhere() -> None:
    chosen = np.array([0, 1, 6, 7, 2**32 - 1, 2**32, 2**34 + 3, 2**63 + 11, 2**64 - 1], np.uint64)
    high, low = (chosen >> np.uint64(32)).astype(np.uint32), chosen.astype(np.uint32)
    drawn = words(jnp.array(key(0, "weight"), jnp.uint32), (jnp.array(high), jnp.array(low)))
    assert (np.asarray(drawn) == stream_words(key(0, "weight"), chosen)).all()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64"])
def test_values_have_the_bits_of_the_reference(law: str, dtype: str) -> None:
    """With a shift, XLA would fuse product and sum if it could: 65,535 values would tell."""
    with jax.enable_x64(dtype == "float64"):
        drawn = draw(LAWS[law], jax.random.key(3), "w", SHAPE, jnp.dtype(dtype))
        assert drawn.shape == SHAPE
        assert drawn.dtype == dtype
        assert (bits(drawn) == reference(LAWS[law], dtype=dtype)).all()


def test_under_jit_a_traced_and_a_constant_key_draw_the_same() -> None:
    law = LAWS["truncated, shifted"]
    traced = jax.jit(lambda k: draw(law, k, "w", SHAPE, F32))(jax.random.key(3))
    constant = jax.jit(lambda: draw(law, jax.random.key(3), "w", SHAPE, F32))()
    assert (bits(traced) == reference(law)).all()
    assert (bits(constant) == reference(law)).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"])
def test_a_cast_back_under_the_same_jit_does_not_undo_the_rounding(dtype: str) -> None:
    law, low = LAWS["normal"], jnp.dtype(dtype)
    cast_back = jax.jit(lambda k: draw(law, k, "w", SHAPE, low).astype(jnp.float32))(jax.random.key(3))
    assert (np.asarray(cast_back) == np.asarray(draw(law, jax.random.key(3), "w", SHAPE, low)).astype("f4")).all()


def test_cuts_that_no_word_reaches_are_none() -> None:
    drawn = draw(truncated_law(0.02, -9.0, 9.0), jax.random.key(3), "w", SHAPE, F32)
    assert (bits(drawn) == reference(LAWS["normal"])).all()


def test_rounding_to_16_and_8_bits_takes_ties_to_even_everywhere() -> None:
    ties = np.arange(0, 2**32, 2**12, dtype=np.uint64).astype(np.uint32)
    numbers = np.concatenate([ties, ties + 1, ties - 1]).view(np.float32)
    numbers = numbers[np.isfinite(numbers) & (np.abs(numbers) > 1e-37)]
    assert (bits(_to_bfloat16(jnp.asarray(numbers))) == to_bfloat16_bits(numbers)).all()
    for dtype, narrow in _NARROW.items():
        assert (bits(_narrowed(jnp.asarray(numbers), narrow)) == bits(ROUNDED[dtype](numbers))).all()


def test_a_layout_only_moves_values() -> None:
    drawn = draw(LAWS["normal"], jax.random.key(3), "w", (3, 2, 5, 4), F32, order=(3, 2, 0, 1))
    logical = np.asarray(drawn).transpose(3, 2, 0, 1)
    assert (bits(np.ascontiguousarray(logical)) == reference(LAWS["normal"], count=120)).all()


def test_many_keys_draw_as_each_alone() -> None:
    keys = jax.random.split(jax.random.key(3), 3)
    together = jax.vmap(lambda k: draw(LAWS["normal"], k, "w", (5, 3), F32))(keys)
    alone = [draw(LAWS["normal"], k, "w", (5, 3), F32) for k in keys]
    assert (np.asarray(together) == np.stack([np.asarray(one) for one in alone])).all()
    seeds = [int(high) << 32 | int(low) for high, low in np.asarray(jax.random.key_data(keys))]
    for one, seed in zip(alone, seeds, strict=True):
        assert (bits(one) == reference(LAWS["normal"], seed, count=15)).all()


def test_complex_numbers_are_two_draws_of_half_the_variance() -> None:
    drawn = np.asarray(draw(normal_law(0.02), jax.random.key(3), "w", (50,), np.dtype("complex64")))
    half = normal_law(0.02 * 0.5**0.5)
    for draw_number, part in enumerate((drawn.real, drawn.imag)):
        expected = sample(key(3, "w", draw=draw_number), range(50), half)
        assert np.allclose(part, expected, rtol=2e-7, atol=0)


def test_what_the_host_draws_takes_part_in_jit_and_vmap() -> None:
    def drawn(k: Any) -> jax.Array:
        return draw_on_host(lambda seed: np.array([seed, 1], "f4"), k, (1, 2), F32, order=(1, 0))

    keys = jax.vmap(jax.random.key)(jnp.arange(4))
    assert jax.jit(drawn)(keys[2]).tolist() == [[2.0, 1.0]]
    assert jax.vmap(drawn)(keys)[:, 0, 0].tolist() == [0, 1, 2, 3]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(BadInput, match="int32"):
        draw(normal_law(1.0), jax.random.key(0), "w", (3,), np.dtype("int32"))
    with pytest.raises(BadInput, match="do not fit in float16"):
        draw(normal_law(1e5), jax.random.key(0), "w", (3,), np.dtype("float16"))
    with pytest.raises(BadInput, match="subnormal"):
        draw(normal_law(1e-31), jax.random.key(0), "w", (3,), F32)
    with pytest.raises(BadInput, match="needs a mesh"):
        draw(normal_law(1.0), jax.random.key(0), "w", (3,), F32, out_sharding=jax.P("x"))
    with pytest.raises(BadInput, match="NamedSharding"):
        draw(normal_law(1.0), jax.random.key(0), "w", (3,), F32, out_sharding="x")  # type: ignore[arg-type]


def test_on_eight_devices_each_computes_its_part_and_no_more() -> None:
    """In a process of its own, as the number of devices has to be set before JAX starts."""
    script = Path(__file__).with_name("eight_jax_devices.py")
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
