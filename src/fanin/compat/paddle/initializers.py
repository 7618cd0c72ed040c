"""The random classes of `paddle.nn.initializer`, and Bilinear."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import paddle

from fanin.compat.layout import draw
from fanin.compat.paddle.gains import calculate_gain
from fanin.compat.paddle.layouts import layer_in_the_making, layout_of
from fanin.errors import BadInput
from fanin.frameworks.paddle.model import draw_seed
from fanin.graph.layout import Layout, as_stored, check_fan
from fanin.initializers import Bilinear as BilinearLaw
from fanin.initializers import CutNormal, Initializer, VarianceScaling, initializer
from fanin.initializers import Normal as NormalLaw
from fanin.initializers import Orthogonal as OrthogonalLaw
from fanin.initializers import Uniform as UniformLaw
from fanin.stream import key


class Drawn(paddle.nn.initializer.Initializer):  # type: ignore[misc]  # Paddle has no types
    """An initializer whose values are a function of seed, name and place. Subclasses say their `law`.

    Args:
        seed: an integer in [0, 2¹²⁸); None draws one from Paddle's generator for each parameter, so that `paddle.seed`
            keeps its meaning.

    Raises:
        BadInput: the seed is neither; later, the program is static.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        if seed is not None:
            key(seed, "")  # raises if the stream has no such seed
        self.seed = seed

    @abstractmethod
    def law(self) -> Initializer:
        """What is drawn."""

    def layout(self, known: Layout) -> Layout:
        """That of the layer, unless other fans are given."""
        return known

    def __call__(self, param: Any, block: Any = None) -> Any:
        """Write the values into `param`, at once or, under `paddle.LazyGuard`, when it is asked to initialize itself.

        They are drawn under `param.name`: that of its ParamAttr, or else Paddle's own, like linear_0.w_0.
        """
        known = self.layout(layout_of(layer_in_the_making(), tuple(param.shape)))
        return _Write(self, known)(param, block)


class _Write(paddle.nn.initializer.Initializer):  # type: ignore[misc]  # Paddle has no types
    """A law with the layout that was known while the layer was made."""

    def __init__(self, source: Drawn, layout: Layout) -> None:
        super().__init__()
        self.source, self.layout = source, layout

    def forward(self, param: Any, block: Any = None) -> None:
        require_dynamic_mode()
        seed = self.source.seed if self.source.seed is not None else draw_seed()
        dtype = str(param.dtype).rpartition(".")[2]
        shape = tuple(param.shape)
        param.set_value(draw(self.source.law(), shape, self.layout, seed=seed, name=param.name, dtype=dtype))


def require_dynamic_mode() -> None:
    """Values can be written.

    Raises:
        BadInput: a static program is being built, whose parameters have none yet.
    """
    if not paddle.in_dynamic_mode():
        raise BadInput(
            "fanin.compat.paddle writes values, and the parameters of a static program have none yet. "
            "Build the model in dynamic mode: paddle.disable_static()."
        )


class Normal(Drawn):
    """N(mean, std²)."""

    def __init__(
        self, mean: float = 0.0, std: float = 1.0, name: str | None = None, *, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        self._law = NormalLaw(std, mean)

    def law(self) -> Initializer:
        """As declared."""
        return self._law


class Uniform(Drawn):
    """U(low, high)."""

    def __init__(
        self, low: float = -1.0, high: float = 1.0, name: str | None = None, *, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        self._law = UniformLaw(low, high)

    def law(self) -> Initializer:
        """As declared."""
        return self._law


class TruncatedNormal(Drawn):
    """N(mean, std²) given that it lies in [a, b], in the units of the values, as in Paddle.

    With std = 0.02 the default bounds are 100 σ away and cut nothing: give a=-0.04, b=0.04, or use
    `Fanin(fanin.TruncatedNormal(0.02))`, cut at 2 σ, whose std is the one you get.

    Raises:
        BadInput: std is not above 0, a is not below b, or nothing of the law lies between them.
    """

    def __init__(
        self,
        mean: float = 0.0,
        std: float = 1.0,
        a: float = -2.0,
        b: float = 2.0,
        name: str | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        self._law = CutNormal(std, mean, a, b)

    def law(self) -> Initializer:
        """As declared."""
        return self._law


class Orthogonal(Drawn):
    """gain · Q, with orthonormal rows or columns; in 16 bits too."""

    def __init__(self, gain: float = 1.0, name: str | None = None, *, seed: int | None = None) -> None:
        super().__init__(seed)
        self._law = OrthogonalLaw(gain)

    def law(self) -> Initializer:
        """As declared."""
        return self._law


class Fanin(Drawn):
    """Any initializer of fanin: `Fanin("sparse(sparsity=0.9)")`, `Fanin(fanin.TruncatedNormal(std=0.02))`."""

    def __init__(self, law: str | Initializer, *, seed: int | None = None) -> None:
        super().__init__(seed)
        self._law = initializer(law)

    def law(self) -> Initializer:
        """As given."""
        return self._law


class _Scaled(Drawn):
    """Variance gain²/fan, with the fans of the layer unless they are given."""

    def __init__(
        self, law: VarianceScaling, fan_in: float | None, fan_out: float | None, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        check_fan("fan_in", fan_in)
        check_fan("fan_out", fan_out)
        self._law, self._fan_in, self._fan_out = law, fan_in, fan_out

    def law(self) -> Initializer:
        """As declared."""
        return self._law

    def layout(self, known: Layout) -> Layout:
        """With the fans that are given."""
        return known.with_fans(self._fan_in, self._fan_out)


class XavierNormal(_Scaled):
    """Variance gain² · 2/(fan_in + fan_out), normal and not truncated (Glorot & Bengio 2010, eq. 12)."""

    def __init__(
        self,
        fan_in: float | None = None,
        fan_out: float | None = None,
        gain: float = 1.0,
        name: str | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(VarianceScaling(gain, "fan_avg", "normal"), fan_in, fan_out, seed)


class XavierUniform(_Scaled):
    """Variance gain² · 2/(fan_in + fan_out), uniform (Glorot & Bengio 2010, eq. 16)."""

    def __init__(
        self,
        fan_in: float | None = None,
        fan_out: float | None = None,
        gain: float = 1.0,
        name: str | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(VarianceScaling(gain, "fan_avg", "uniform"), fan_in, fan_out, seed)


class KaimingNormal(_Scaled):
    """Variance gain²/fan, normal and not truncated (He et al. 2015, eq. 10); the gain is `calculate_gain`'s.

    Raises:
        BadInput: fan_in is given and the mode is fan_out.
    """

    def __init__(
        self,
        fan_in: float | None = None,
        negative_slope: float = 0.0,
        nonlinearity: str = "relu",
        mode: str = "fan_in",
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(_kaiming("normal", fan_in, negative_slope, nonlinearity, mode), fan_in, None, seed)


class KaimingUniform(_Scaled):
    """Variance gain²/fan, uniform (He et al. 2015); the gain is `calculate_gain`'s.

    Raises:
        BadInput: fan_in is given and the mode is fan_out.
    """

    def __init__(
        self,
        fan_in: float | None = None,
        negative_slope: float = 0.0,
        nonlinearity: str = "relu",
        mode: str = "fan_in",
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(_kaiming("uniform", fan_in, negative_slope, nonlinearity, mode), fan_in, None, seed)


def _kaiming(
    distribution: str, fan_in: float | None, negative_slope: float, nonlinearity: str, mode: str
) -> VarianceScaling:
    if mode == "fan_out" and fan_in is not None:
        raise BadInput(f"fan_in={fan_in!r} has no effect with mode='fan_out'. Leave one of them away.")
    return VarianceScaling(calculate_gain(nonlinearity, negative_slope), mode, distribution)


class Bilinear(paddle.nn.initializer.Initializer):  # type: ignore[misc]  # Paddle has no types
    """The kernel with which a transposed convolution interpolates linearly along each axis, channel by channel.

    `w_i = 1 − |i − (k − 1)/2| / f`, f = ⌈k/2⌉, multiplied over the axes: symmetric, which Paddle's own is not.
    Channel c goes to channel c alone; Paddle's own fills all pairs, and is for groups of one channel only.

    Raises:
        BadInput: the weight is not of shape (C, C, *kernel) or, in groups of one channel, (C, 1, *kernel).

    Reference: Long, Shelhamer & Darrell 2015, "Fully convolutional networks", §3.3.
    """

    def forward(self, param: Any, block: Any = None) -> None:
        """Write the kernel into `param`."""
        require_dynamic_mode()
        shape = tuple(param.shape)
        dtype = str(param.dtype).rpartition(".")[2]
        param.set_value(draw(BilinearLaw(), shape, as_stored(shape), seed=0, name=param.name, dtype=dtype))
