"""Initializers as JAX's libraries call them: `(key, shape, dtype, out_sharding) → array`.

They are values: equal if they draw the same, hashable, and made of nothing that cannot be pickled.
"""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fanin.errors import BadInput
from fanin.frameworks.jax.draw import Dtype, Shape, Sharding, draw, draw_on_host, full, moved
from fanin.frameworks.jax.layout import Layout
from fanin.initializers import Orthogonal, Target, VarianceScaling
from fanin.stream import Distribution

_NO_AXES = Layout((), (), ())


def as_shape(shape: Sequence[int]) -> Shape:
    """Sizes as plain integers.

    Raises:
        BadInput: they are not integers, or negative.
    """
    try:
        sizes = tuple(operator.index(size) for size in shape)
    except TypeError:
        raise BadInput(f"shape: expected a sequence of integers, got {shape!r}.") from None
    if min(sizes, default=0) < 0:
        raise BadInput(f"shape: expected sizes of at least 0, got {sizes}.")
    return sizes


def as_dtype(dtype: Any) -> Dtype:
    """As JAX takes it: float64 is float32 unless 64 bits are switched on."""
    return np.dtype(jax.dtypes.canonicalize_dtype(float if dtype is None else dtype))


@dataclass(frozen=True)
class Drawn(ABC):
    """An initializer that draws from the stream under a name.

    Attributes:
        dtype: where a call gives none; JAX's default float if None.
        name: the logical path of the parameter.
        layout: what the axes count, and so which element of the stream each value is.
    """

    dtype: Any = field(default=None, kw_only=True)
    name: str = field(default="", kw_only=True)
    layout: Layout = field(default=_NO_AXES, kw_only=True)

    def __call__(self, key: Any, shape: Sequence[int], dtype: Any = None, out_sharding: Sharding = None) -> jax.Array:
        """The array that the key, the name and the shape say.

        Raises:
            BadInput: not a key, a shape or a dtype that this can draw for.
        """
        target = as_dtype(self.dtype if dtype is None else dtype)
        return self._draw(key, as_shape(shape), target, out_sharding)

    @abstractmethod
    def _draw(self, key: Any, shape: Shape, dtype: Dtype, out_sharding: Sharding) -> jax.Array: ...


@dataclass(frozen=True)
class Fixed(Drawn):
    """One law for every shape."""

    distribution: Distribution | None
    complex_too: bool = False

    def _draw(self, key: Any, shape: Shape, dtype: Dtype, out_sharding: Sharding) -> jax.Array:
        if not (self.complex_too or jnp.issubdtype(dtype, jnp.floating)):
            raise BadInput(f"dtype: expected a real floating one for this law; got {dtype.name}.")
        order = self.layout.order(shape)
        return draw(self.distribution, key, self.name, shape, dtype, order=order, out_sharding=out_sharding)


@dataclass(frozen=True)
class Scaled(Drawn):
    """A law whose variance depends on the fans."""

    law: VarianceScaling

    def _draw(self, key: Any, shape: Shape, dtype: Dtype, out_sharding: Sharding) -> jax.Array:
        order = self.layout.order(shape)
        drawn = None  # there is nothing to draw in an empty array, which has no fans
        if math.prod(shape):
            drawn = self.law.sampling(Target(self.name, shape, fans=self.layout.fans(shape)))
        return draw(drawn, key, self.name, shape, dtype, order=order, out_sharding=out_sharding)


@dataclass(frozen=True)
class OrthogonalMatrix(Drawn):
    """Orthonormal columns, or rows if there are more columns."""

    law: Orthogonal

    def _draw(self, key: Any, shape: Shape, dtype: Dtype, out_sharding: Sharding) -> jax.Array:
        if len(shape) < 2:
            raise BadInput(f"orthogonal initializer requires at least a 2D shape; got {shape}.")
        if not math.prod(shape):
            return full(0, shape, dtype, out_sharding)
        order = self.layout.order(shape)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise BadInput(f"dtype: expected a real floating one for orthogonal; got {dtype.name}.")
        target = Target(self.name, tuple(shape[axis] for axis in order), dtype.name)
        return draw_on_host(
            lambda seed: self.law.draw(target, seed), key, shape, dtype, order=order, out_sharding=out_sharding
        )


@dataclass(frozen=True)
class DeltaOrthogonal(Drawn):
    """An orthogonal matrix in the centre of the window, zeros around it."""

    law: Orthogonal

    def _draw(self, key: Any, shape: Shape, dtype: Dtype, out_sharding: Sharding) -> jax.Array:
        if len(shape) not in {3, 4, 5}:
            raise BadInput(f"Delta orthogonal initializer requires a 3D, 4D or 5D shape; got {shape}.")
        if shape[-1] < shape[-2]:
            raise BadInput(f"`fan_in` must be less or equal than `fan_out`; got shape {shape}.")
        centre = tuple((width - 1) // 2 for width in shape[:-2])
        matrix = OrthogonalMatrix(self.law, name=self.name, layout=self.layout)(key, shape[-2:], dtype)
        around = [(before, width - 1 - before, 0) for before, width in zip(centre, shape, strict=False)]
        kernel = jnp.expand_dims(matrix, tuple(range(len(around))))
        return moved(jax.lax.pad(kernel, jnp.zeros((), dtype), [*around, (0, 0, 0), (0, 0, 0)]), out_sharding)
