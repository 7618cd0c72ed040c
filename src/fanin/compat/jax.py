"""`jax.nn.initializers`, drawn from fanin's stream: `from fanin.compat import jax as initializers`.

Every name of the original, with its arguments and its meaning: `initializer(key, shape, dtype, out_sharding) → array`,
under `jit`, `vmap` and any sharding. The key is the seed (`jax.random.key(0)` is seed 0), and each factory takes a
further `name`: PyTorch, NumPy and JAX draw the same bits for the same seed, name and logical weight. A kernel's
logical weight is (batch, out, in, window), whatever the order of its axes.

    >>> from fanin.stream import key, normal
    >>> kernel = variance_scaling(2.0, "fan_in", "normal", name="0.weight")(jax.random.key(0), (128, 64))
    >>> weight = normal(key(0, "0.weight"), range(64 * 128), std=(2 / 128) ** 0.5).reshape(64, 128)
    >>> bool((kernel.T == weight).all())
    True

What differs from the original is in docs/compat.md. Initializers are values: equal if they draw the same, hashable,
printable, and can be pickled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fanin.errors import BadInput, MissingExtra
from fanin.initializers import Orthogonal, VarianceScaling
from fanin.stream import normal_law, truncated_law, uniform_law

try:
    import jax
except ImportError:
    raise MissingExtra("JAX", "jax", "fanin.compat.jax") from None

from jax.nn.initializers import Initializer

from fanin.frameworks.jax import Axes, DeltaOrthogonal, Fixed, Layout, OrthogonalMatrix, Scaled, Sharding, full
from fanin.frameworks.jax.initializers import as_dtype, as_shape


def zeros(key: Any, shape: Sequence[int], dtype: Any = None, out_sharding: Sharding = None) -> jax.Array:
    """An array of zeros; the key is ignored."""
    return full(0, as_shape(shape), as_dtype(dtype), out_sharding)


def ones(key: Any, shape: Sequence[int], dtype: Any = None, out_sharding: Sharding = None) -> jax.Array:
    """An array of ones; the key is ignored."""
    return full(1, as_shape(shape), as_dtype(dtype), out_sharding)


def constant(value: Any, dtype: Any = None) -> Initializer:
    """Arrays of one value, or of an array's values broadcast to the shape; the key is ignored."""

    def initializer(key: Any, shape: Sequence[int], dtype: Any = dtype, out_sharding: Sharding = None) -> jax.Array:
        return full(value, as_shape(shape), as_dtype(dtype), out_sharding)

    return initializer


def uniform(
    scale: Any = 1e-2,
    dtype: Any = None,
    *,
    name: str = "",
    in_axis: Axes = (),
    out_axis: Axes = (),
    batch_axis: Axes = (),
) -> Initializer:
    """Uniform on (0, scale): **not** about 0, as in the original.

    Elements run in row-major order through the array, as in `normal`, unless the axes are named.
    """
    end = _number("scale", scale)
    law = uniform_law(abs(end) / 2, center=end / 2)
    return Fixed(law, dtype=dtype, name=name, layout=Layout(in_axis, out_axis, batch_axis))


def normal(
    stddev: Any = 1e-2,
    dtype: Any = None,
    *,
    name: str = "",
    in_axis: Axes = (),
    out_axis: Axes = (),
    batch_axis: Axes = (),
) -> Initializer:
    """Normal with mean 0 and the given standard deviation.

    Args:
        stddev: a number, ≥ 0, known when the initializer is made.
        dtype: where a call gives none.
        name: the logical path of the parameter.
        in_axis: what the axes count. Without them elements run in row-major order through the array, which is right for
            a table of embeddings (vocabulary, dim); `in_axis=-2, out_axis=-1` for a kernel that PyTorch holds
            transposed.
        out_axis: likewise.
        batch_axis: likewise.

    Raises:
        BadInput: stddev is negative, not finite, or traced.

    Example:
        >>> print(normal(0.02, name="weight")(jax.random.key(0), (3,)))
        [-0.0082145  -0.01846856 -0.03745741]
    """
    law = normal_law(_number("stddev", stddev))
    return Fixed(law, complex_too=True, dtype=dtype, name=name, layout=Layout(in_axis, out_axis, batch_axis))


def truncated_normal(
    stddev: Any = 1e-2,
    dtype: Any = None,
    lower: Any = -2.0,
    upper: Any = 2.0,
    *,
    name: str = "",
    in_axis: Axes = (),
    out_axis: Axes = (),
    batch_axis: Axes = (),
) -> Initializer:
    """A normal of standard deviation `stddev`, cut at `lower` and `upper` of them: in the end 0.88 stddev at ±2.

    As in the original: the standard deviation is that before the cut. The cuts are exact and nothing is rejected.
    Elements run in row-major order through the array, as in `normal`, unless the axes are named.
    """
    law = truncated_law(_number("stddev", stddev), _number("lower", lower), _number("upper", upper))
    return Fixed(law, dtype=dtype, name=name, layout=Layout(in_axis, out_axis, batch_axis))


def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
    *,
    name: str = "",
) -> Initializer:
    """Mean 0 and variance `scale / fan`, after the cut as well where the law is truncated (at ±2 σ).

    Args:
        scale: a number, ≥ 0, known when the initializer is made.
        mode: "fan_in", "fan_out", "fan_avg" or "fan_geo_avg".
        distribution: "truncated_normal", "normal" or "uniform".
        in_axis: the axes that count inputs.
        out_axis: the axes that count outputs.
        batch_axis: the axes that stack kernels; the others are the window of a convolution.
        dtype: where a call gives none.
        name: the logical path of the parameter.

    Raises:
        UnknownName: no such mode or distribution, at once rather than at the first call.
        BadInput: scale is negative, not finite, or traced; later, a shape that does not have the axes.

    Example:
        >>> kernel = he_normal(name="conv.weight")(jax.random.key(0), (3, 3, 16, 32))
        >>> round(float(kernel.std() * (144 / 2) ** 0.5), 2)
        1.0

    Reference: He et al. 2015 (scale 2, fan_in); Glorot & Bengio 2010 (scale 1, fan_avg).
    Not for: grouped convolutions by fan_out, which a shape does not tell from others.
    """
    variance = _number("scale", scale)
    if variance < 0:
        raise BadInput(f"scale: expected a number ≥ 0, got {variance}.")
    law = VarianceScaling(math.sqrt(variance), mode, distribution)
    return Scaled(law, dtype=dtype, name=name, layout=Layout(in_axis, out_axis, batch_axis))


def glorot_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None, *, name: str = ""
) -> Initializer:
    """`variance_scaling(1, "fan_avg", "uniform")`."""
    return variance_scaling(1.0, "fan_avg", "uniform", in_axis, out_axis, batch_axis, dtype, name=name)


def glorot_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None, *, name: str = ""
) -> Initializer:
    """`variance_scaling(1, "fan_avg", "truncated_normal")`."""
    return variance_scaling(1.0, "fan_avg", "truncated_normal", in_axis, out_axis, batch_axis, dtype, name=name)


def lecun_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None, *, name: str = ""
) -> Initializer:
    """`variance_scaling(1, "fan_in", "uniform")`."""
    return variance_scaling(1.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype, name=name)


def lecun_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None, *, name: str = ""
) -> Initializer:
    """`variance_scaling(1, "fan_in", "truncated_normal")`."""
    return variance_scaling(1.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype, name=name)


def he_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None, *, name: str = ""
) -> Initializer:
    """`variance_scaling(2, "fan_in", "uniform")`."""
    return variance_scaling(2.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype, name=name)


def he_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None, *, name: str = ""
) -> Initializer:
    """`variance_scaling(2, "fan_in", "truncated_normal")`."""
    return variance_scaling(2.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype, name=name)


xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal


def orthogonal(
    scale: Any = 1.0, column_axis: int = -1, dtype: Any = None, *, name: str = "", in_axis: Axes = -2
) -> Initializer:
    """`scale` times a uniformly random matrix with orthonormal columns, or orthonormal rows if it has more columns.

    The columns are those of `column_axis`; all other axes together are the rows. The bits are those of every other
    framework, so the matrix is computed in float64 **on the host**, in the dtypes of 16 bits too; under `jit` as well,
    by a callback. The whole matrix is on every device before each keeps its part.

    Args:
        scale: a number, ≥ 0, known when the initializer is made.
        column_axis: the axis of the outputs.
        dtype: where a call gives none.
        name: the logical path of the parameter.
        in_axis: the axes of the inputs, which with the window make up the rows.

    Raises:
        BadInput: scale is negative, not finite, or traced; later, a shape of less than two axes.

    Example:
        >>> Q = orthogonal()(jax.random.key(0), (6, 4))
        >>> bool(abs(Q.T @ Q - jax.numpy.eye(4)).max() < 1e-6)
        True

    Reference: Saxe et al. 2014; Stewart 1980.
    """
    return OrthogonalMatrix(
        Orthogonal(_number("scale", scale)), dtype=dtype, name=name, layout=Layout(in_axis, column_axis)
    )


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None, *, name: str = "") -> Initializer:
    """`scale` times an orthogonal matrix in the centre of the window: a convolution that keeps norms (padding "SAME").

    Kernels are (window …, in, out) with in ≤ out. The centre of an even window is (k − 1)//2, as "SAME" pads it.

    Reference: Xiao et al. 2018, "Dynamical isometry and a mean field theory of CNNs".
    """
    return DeltaOrthogonal(Orthogonal(_number("scale", scale)), dtype=dtype, name=name, layout=Layout(-2, column_axis))


def _number(label: str, value: Any) -> float:
    """Of a Python number or a concrete array; a traced one would have to be rounded on the device."""
    try:
        return float(value)
    except jax.errors.ConcretizationTypeError:
        raise BadInput(
            f"{label}: expected a number that is known when the initializer is made, got a traced one: {value}. "
            "Draw with 1, and multiply by it."
        ) from None
