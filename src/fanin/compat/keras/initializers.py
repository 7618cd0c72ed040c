"""The random classes of `keras.initializers`."""

from __future__ import annotations

import math
import operator
import random
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeVar

import keras

from fanin.compat.keras.layouts import layout_of, variable_in_the_making
from fanin.compat.layout import draw
from fanin.errors import BadInput, UnknownName
from fanin.frameworks.held import as_numbers
from fanin.graph.layout import Layout, check_fan
from fanin.initializers import (
    Constant,
    Initializer,
    Normal,
    Uniform,
    from_dict,
    initializer,
    keras_truncated_normal,
    to_dict,
)
from fanin.initializers import Orthogonal as OrthogonalLaw
from fanin.initializers import VarianceScaling as VarianceScalingLaw
from fanin.stream import key

T = TypeVar("T")


def registered(kind: type[T]) -> type[T]:
    """Known to `keras.saving` as fanin>HeNormal.

    A file with the class name HeNormal alone would be read, in a process that has not imported this package, as Keras's
    own class of that name, in silence; under a name that Keras does not have, it is refused.
    """
    keras.saving.register_keras_serializable("fanin", kind.__name__)(kind)
    kind.__name__ = f"Fanin{kind.__name__}"
    return kind


class Drawn(keras.initializers.Initializer):  # type: ignore[misc]  # Keras has no types
    """An initializer whose values are a function of seed, name and place. Subclasses say their `law`.

    Args:
        seed: an integer in [0, 2¹²⁸); None draws one from Python's generator, which `keras.utils.set_random_seed` sets;
            a `keras.random.SeedGenerator` gives another one at every call.

    Raises:
        BadInput: the seed is none of these.
    """

    def __init__(self, seed: Any = None) -> None:
        given = keras.saving.deserialize_keras_object(seed) if isinstance(seed, dict) else seed
        self._given_seed = given
        if isinstance(given, keras.random.SeedGenerator):
            self.seed = given
        else:
            self.seed = random.getrandbits(63) if given is None else given
            key(self.seed, "")  # raises if the stream has no such seed

    @abstractmethod
    def law(self) -> Initializer:
        """What is drawn."""

    def __call__(self, shape: Any, dtype: Any = None, layout: Any = None, *, name: str | None = None) -> Any:
        """A tensor of the back end.

        Args:
            dtype: float32, float64, float16 or bfloat16; None is `keras.config.floatx()`.
            layout: of a distributed tensor, given by Keras.
            name: under which the values are drawn. Unless given, that is the path of the variable that Keras is making;
                called by hand, the empty name: the same values at each call.

        Raises:
            BadInput: a shape that is not integers, or one without fans where the law needs them.
            UnknownName: another dtype.
        """
        variable = variable_in_the_making()
        sizes = _sizes(shape)
        stored = self._layout(layout_of(variable, sizes), sizes)
        path = name if name is not None else variable.path if variable is not None else ""
        dtype = keras.backend.standardize_dtype(dtype)
        values = draw(self.law(), sizes, stored, seed=self._next_seed(), name=path, dtype=dtype)
        tensor = keras.ops.convert_to_tensor(as_numbers(values, dtype), dtype=dtype)
        return tensor if layout is None else _distributed(tensor, layout)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor; an initializer without a seed is made again without one."""
        return {"seed": keras.saving.serialize_keras_object(self._given_seed)}

    def _layout(self, known: Layout, shape: tuple[int, ...]) -> Layout:
        return known

    def _next_seed(self) -> int:
        if not isinstance(self.seed, keras.random.SeedGenerator):
            return operator.index(self.seed)
        high, low = (int(word) for word in self.seed.next())
        return (high << 32) | low


def _sizes(shape: Any) -> tuple[int, ...]:
    try:
        return tuple(operator.index(size) for size in shape)
    except TypeError:
        raise BadInput(f"shape: expected integers such as (64, 128); got {shape!r}.") from None


def _distributed(tensor: Any, where: Any) -> Any:
    if isinstance(where, keras.distribution.TensorLayout):
        return keras.distribution.distribute_tensor(tensor, where)
    from jax.sharding import reshard  # the one back end that hands layouts of its own to initializers

    return reshard(tensor, where)


@registered
class RandomNormal(Drawn):
    """N(mean, stddev²).

    Example:
        >>> [round(float(value), 4) for value in RandomNormal(stddev=0.02, seed=0)((4,), name="weight")]
        [-0.0082, -0.0185, -0.0375, 0.0019]
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        super().__init__(seed)
        self.mean, self.stddev = mean, stddev
        self.law()

    def law(self) -> Initializer:
        """As declared."""
        return Normal(self.stddev, self.mean)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"mean": self.mean, "stddev": self.stddev}


@registered
class TruncatedNormal(Drawn):
    """A normal law cut at mean ± 2 stddev; `stddev` is that before the cut, and one gets 0.8796 of it, as in Keras."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        super().__init__(seed)
        self.mean, self.stddev = mean, stddev
        self.law()

    def law(self) -> Initializer:
        """As declared."""
        return keras_truncated_normal(self.stddev, self.mean) if self.stddev else Constant(self.mean)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"mean": self.mean, "stddev": self.stddev}


@registered
class RandomUniform(Drawn):
    """U(minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None) -> None:
        super().__init__(seed)
        self.minval, self.maxval = minval, maxval
        self.law()

    def law(self) -> Initializer:
        """As declared."""
        return Uniform(self.minval, self.maxval)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"minval": self.minval, "maxval": self.maxval}


@registered
class Orthogonal(Drawn):
    """gain · Q, Q uniform among the matrices with orthonormal rows or columns; in 16 bits too, where Keras raises."""

    def __init__(self, gain: float = 1.0, seed: Any = None) -> None:
        super().__init__(seed)
        self.gain = gain
        self.law()

    def law(self) -> Initializer:
        """As declared."""
        return OrthogonalLaw(self.gain)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"gain": self.gain}


@registered
class Fanin(Drawn):
    """Any initializer of fanin, in a layer of Keras: `Fanin("sparse(sparsity=0.9)")`, `Fanin(fanin.he_normal())`.

    Args:
        law: the initializer, its spelling, or its plain data.
    """

    def __init__(self, law: str | Initializer | Mapping[str, Any], seed: Any = None) -> None:
        super().__init__(seed)
        self._law = from_dict(law) if isinstance(law, Mapping) else initializer(law)

    def law(self) -> Initializer:
        """As given."""
        return self._law

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, the law as plain data."""
        return super().get_config() | {"law": to_dict(self._law)}


DISTRIBUTIONS: Final = {
    "normal": "truncated_normal",
    "truncated_normal": "truncated_normal",
    "untruncated_normal": "normal",
    "uniform": "uniform",
}


@registered
class VarianceScaling(Drawn):
    """Zero mean and variance scale / fan, after the cut where the normal is truncated, as in Keras.

    The fans are those of the layer for which the weight is made: groups, strides, depth multipliers, packed gates and
    einsum equations count; an embedding has its dimension for both. For the weights of a layer that is not of Keras, or
    called by hand, the shape is read as (*kernel, in, out).

    Args:
        scale: above 0.
        mode: fan_in, fan_out, fan_avg or fan_geo_avg.
        distribution: truncated_normal (or normal, which means the same in Keras), untruncated_normal or uniform.
        input_axes: the axes whose product is the fan_in, instead; with `output_axes` only.
        output_axes: the axes whose product is the fan_out.
        fan_in: the number itself, instead.
        fan_out: likewise.

    Raises:
        BadInput: a scale that is not above 0, or one of the two lists of axes without the other.
        UnknownName: no such mode or distribution.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Any = None,
        output_axes: Any = None,
        *,
        fan_in: float | None = None,
        fan_out: float | None = None,
    ) -> None:
        super().__init__(seed)
        if not (isinstance(scale, (int, float)) and 0 < scale < math.inf):
            raise BadInput(f"VarianceScaling: scale must be a finite number above 0; got {scale!r}.")
        if str(distribution).lower() not in DISTRIBUTIONS:
            raise UnknownName("distribution", distribution, DISTRIBUTIONS)
        if (input_axes is None) != (output_axes is None):
            raise BadInput(
                f"input_axes, output_axes: expected both or neither; got {input_axes!r} and {output_axes!r}."
            )
        check_fan("fan_in", fan_in)
        check_fan("fan_out", fan_out)
        self.scale, self.mode = scale, mode
        self.distribution = str(distribution).lower()
        self.input_axes, self.output_axes, self.fan_in, self.fan_out = input_axes, output_axes, fan_in, fan_out
        self.law()

    def law(self) -> Initializer:
        """As declared."""
        return VarianceScalingLaw(math.sqrt(self.scale), self.mode, DISTRIBUTIONS[self.distribution])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        law = {"scale": self.scale, "mode": self.mode, "distribution": self.distribution}
        return super().get_config() | law | self._fan_config()

    def _fan_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("input_axes", "output_axes", "fan_in", "fan_out")}

    def _layout(self, known: Layout, shape: tuple[int, ...]) -> Layout:
        if self.input_axes is None:
            return known.with_fans(self.fan_in, self.fan_out)
        by_axes = (math.prod(shape[axis] for axis in axes) for axes in (self.input_axes, self.output_axes))
        return known.with_fans(*by_axes).with_fans(self.fan_in, self.fan_out)


class _Case(VarianceScaling):
    """`VarianceScaling` with its first three arguments fixed."""

    fixed: ClassVar[tuple[float, str, str]]

    def __init__(
        self,
        seed: Any = None,
        input_axes: Any = None,
        output_axes: Any = None,
        *,
        fan_in: float | None = None,
        fan_out: float | None = None,
    ) -> None:
        super().__init__(*self.fixed, seed, input_axes, output_axes, fan_in=fan_in, fan_out=fan_out)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return Drawn.get_config(self) | self._fan_config()


@registered
class GlorotNormal(_Case):
    """Variance 2/(fan_in + fan_out), truncated normal (Glorot & Bengio 2010, eq. 12)."""

    fixed = (1.0, "fan_avg", "truncated_normal")


@registered
class GlorotUniform(_Case):
    """Variance 2/(fan_in + fan_out), uniform (Glorot & Bengio 2010, eq. 16): the default of Keras's layers."""

    fixed = (1.0, "fan_avg", "uniform")


@registered
class HeNormal(_Case):
    """Variance 2/fan_in, truncated normal (He et al. 2015, eq. 10)."""

    fixed = (2.0, "fan_in", "truncated_normal")


@registered
class HeUniform(_Case):
    """Variance 2/fan_in, uniform (He et al. 2015)."""

    fixed = (2.0, "fan_in", "uniform")


@registered
class LecunNormal(_Case):
    """Variance 1/fan_in, truncated normal (LeCun et al. 1998, §4.6; Klambauer et al. 2017)."""

    fixed = (1.0, "fan_in", "truncated_normal")


@registered
class LecunUniform(_Case):
    """Variance 1/fan_in, uniform (LeCun et al. 1998, §4.6)."""

    fixed = (1.0, "fan_in", "uniform")
