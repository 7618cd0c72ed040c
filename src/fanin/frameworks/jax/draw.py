"""Draw an array of the stream with JAX: shape, layout, dtype and sharding; the law comes from `fanin.stream`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from fanin.errors import BadInput
from fanin.frameworks.jax.seed import key_words, seed_words
from fanin.frameworks.jax.values import Numbers, split, values
from fanin.frameworks.jax.words import elements_of, words
from fanin.stream import Distribution
from fanin.stream.laws import FORMATS

Sharding: TypeAlias = NamedSharding | PartitionSpec | None
Dtype: TypeAlias = np.dtype[Any]
Shape: TypeAlias = tuple[int, ...]
HostDraw: TypeAlias = Callable[[int], npt.NDArray[Any]]

_EVERYWHERE: Final = PartitionSpec()
_COMPLEX: Final = {"complex64": "float32", "complex128": "float64"}


def draw(
    distribution: Distribution | None,
    key: Any,
    name: str,
    shape: Shape,
    dtype: Dtype,
    *,
    order: Shape | None = None,
    out_sharding: Sharding = None,
) -> jax.Array:
    """The values of `fanin.stream.sample(key(seed, name), …, distribution)`, each where the layout puts its element.

    Element e of the stream is the e-th of the array when its axes are taken in `order`. A complex number has its real
    part from draw 0 of the stream and its imaginary part from draw 1, each of half the variance.

    Args:
        distribution: from `uniform_law`, `normal_law` or `truncated_law`; None for zeros.
        key: a JAX PRNG key, which is the seed; it may be traced.
        name: the logical path of the parameter.
        shape: of the whole array.
        dtype: a floating or complex one; 64 bits only where JAX has them switched on.
        order: a permutation of the axes, slowest first; row-major if None.
        out_sharding: how the result lies on the devices; each computes its own part.

    Raises:
        BadInput: the key is not one key, the dtype is another one, the values do not fit in it, or a partition is
            asked for without a mesh.

    Example:
        >>> from fanin.stream import normal_law
        >>> print(draw(normal_law(0.02), jax.random.key(0), "weight", (3,), np.dtype("float32")))
        [-0.0082145  -0.01846856 -0.03745741]
    """
    target = dtype.name
    part = _COMPLEX.get(target, target)
    if part not in FORMATS:
        raise BadInput(f"dtype: expected one of {', '.join((*FORMATS, *_COMPLEX))}; got {target}.")
    if distribution is None or not math.prod(shape):
        return full(0, shape, dtype, out_sharding)
    law, reach = distribution
    if reach > FORMATS[part].largest:
        raise BadInput(
            f"Values of magnitude up to {reach:.4g} do not fit in {target}, whose largest number is "
            f"{FORMATS[part].largest:.4g}. Use a smaller scale or a wider dtype."
        )
    if 0 < law[5] < np.finfo(FORMATS[part].computed).tiny:
        raise BadInput(
            f"Values of about {law[5] * 2**27:.4g} are too small for {target}: XLA takes subnormal numbers for 0. "
            "Use a larger scale."
        )
    if part != target:
        *integers, unit, shift = law
        law = (*integers, unit * math.sqrt(0.5), shift)  # type: ignore[assignment]  # a Law again
    kind, shifted, numbers = split(law, part)
    seed = seed_words(key)
    keys = tuple(key_words(seed, name, draw) for draw in range(1 if part == target else 2))
    axes = tuple(range(len(shape))) if order is None else order
    where = named(out_sharding)
    return _labelled(_drawn(keys, numbers, kind, shifted, shape, axes, part, where), where)


@partial(jax.jit, static_argnums=range(2, 8))
def _drawn(
    keys: tuple[jax.Array, ...],
    numbers: Numbers,
    kind: int,
    shifted: bool,
    shape: Shape,
    order: Shape,
    dtype: str,
    sharding: NamedSharding | None,
) -> jax.Array:
    def all_values(keys: tuple[jax.Array, ...], numbers: Numbers) -> jax.Array:
        elements = elements_of(shape, order)
        parts = [values(words(key, elements), kind, shifted, numbers, dtype) for key in keys]
        return lax.complex(*parts) if len(parts) == 2 else parts[0]

    return _parted(all_values, sharding)(keys, numbers)


def draw_on_host(
    drawn: HostDraw, key: Any, shape: Shape, dtype: Dtype, *, order: Shape | None = None, out_sharding: Sharding = None
) -> jax.Array:
    """What a function of the seed draws with NumPy, for laws whose elements hang together.

    The call takes part in `jit` and `vmap` (one seed after the other); the whole array passes through the host.

    Args:
        drawn: the seed as an integer → the flat values of the array whose axes are taken in `order`; bfloat16 as
            the uint16 patterns of its bits.
        key: a JAX PRNG key, which is the seed; it may be traced.
        shape: of the array.
        dtype: of the array.
        order: a permutation of the axes, slowest first; row-major if None.
        out_sharding: how the result lies on the devices.
    """
    axes = tuple(range(len(shape))) if order is None else order
    logical = tuple(shape[axis] for axis in axes)

    def called(seed: npt.NDArray[np.uint32]) -> npt.NDArray[Any]:
        number = sum(int(word) << 32 * i for i, word in enumerate(np.asarray(seed)))
        values: npt.NDArray[Any] = drawn(number).view(dtype).reshape(logical)
        return values

    result: Any = jax.ShapeDtypeStruct(logical, dtype)

    def call(seed: jax.Array) -> jax.Array:
        whole: jax.Array = jax.pure_callback(called, result, seed, vmap_method="sequential")
        return whole

    where = named(out_sharding)
    mesh = where.mesh if where else jax.sharding.get_abstract_mesh()
    everywhere = None if mesh.empty else NamedSharding(mesh, _EVERYWHERE)
    whole = jax.jit(_parted(call, everywhere))(seed_words(key))
    return moved(jnp.transpose(whole, tuple(int(axis) for axis in np.argsort(axes))), out_sharding)


def moved(array: jax.Array, out_sharding: Sharding) -> jax.Array:
    """An array that is whole on one device, as asked for: first on every device, then of each the part that it keeps.

    (In one step, XLA warns that it cannot find a better way.)
    """
    where = named(out_sharding)
    if where is None:
        return array
    for sharding in (NamedSharding(where.mesh, _EVERYWHERE), where):
        array = _parted(_same, sharding)(array)
    return array


def _same(array: jax.Array) -> jax.Array:
    return array


def full(value: Any, shape: Shape, dtype: Dtype, out_sharding: Sharding = None) -> jax.Array:
    """An array of one value, or of an array's values broadcast to the shape."""
    where = named(out_sharding)
    return _labelled(_filled(jnp.asarray(value, dtype), shape, where), where)


@partial(jax.jit, static_argnums=(1, 2))
def _filled(value: jax.Array, shape: Shape, sharding: NamedSharding | None) -> jax.Array:
    return _parted(lambda value: jnp.full(shape, value), sharding)(value)


def named(sharding: Sharding) -> NamedSharding | None:
    """A partition on the mesh of the context; anything else as it is.

    Raises:
        BadInput: there is no mesh, or it is neither a NamedSharding nor a PartitionSpec.
    """
    if sharding is None or isinstance(sharding, NamedSharding):
        return sharding
    if not isinstance(sharding, PartitionSpec):
        raise BadInput(f"out_sharding: expected a NamedSharding or a PartitionSpec; got {sharding!r}.")
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        raise BadInput(f"out_sharding: {sharding} needs a mesh: use jax.set_mesh(mesh), or give a NamedSharding.")
    return NamedSharding(mesh, sharding)


def _labelled(array: jax.Array, sharding: NamedSharding | None) -> jax.Array:
    """The same memory under the very sharding asked for: XLA drops the axes of a mesh that have one device."""
    if sharding is None or isinstance(array, jax.core.Tracer):
        return array
    labelled: jax.Array = jax.device_put(array, sharding)
    return labelled


def _parted(made: Callable[..., jax.Array], sharding: NamedSharding | None) -> Callable[..., jax.Array]:
    """Under `jit`: the function whose result lies as asked, so that each device computes its own part and no more."""
    if sharding is None:
        return made
    explicit = jax.sharding.get_abstract_mesh().explicit_axes  # of the context: there, shardings are part of the types
    if explicit:
        parted: Callable[..., jax.Array] = jax.sharding.auto_axes(made, axes=explicit, out_sharding=sharding)
        return parted
    return jax.jit(made, out_shardings=sharding)
