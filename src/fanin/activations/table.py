"""The activations that have a name: each function, its derivative, its kinks and its bounds.

φ' holds almost everywhere; at a kink it is what torch's autograd gives or one of the two sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from fanin.activations.normal import normal_cdf, normal_cdf_and_density
from fanin.activations.quadrature import Array, Function
from fanin.errors import BadInput

SELU_ALPHA = 1.6732632423543772848170429916717  # Klambauer et al. 2017: fixed point at mean 0, variance 1
SELU_SCALE = 1.0507009873554804934193349852946
GELU_TANH_CUBIC = 0.044715  # Hendrycks & Gimpel 2016


@dataclass(frozen=True)
class Activation:
    """A pointwise function φ, with what is known about it.

    Args:
        name: for people.
        function: φ on a float64 array.
        derivative: φ' on a float64 array, almost everywhere: a jump carries no gradient.
        kinks: where φ or φ' is not smooth; they speed up the integrals and change no result.
        bounds: infimum and supremum of φ.
        parameters: what the function was built with, as (name, value) pairs.

    Raises:
        BadInput: a function is not callable, a kink is not finite, or the bounds are not in order.

    Example:
        >>> square = Activation("square", lambda x: x**2, lambda x: 2 * x, bounds=(0, np.inf))
        >>> float(square(3.0)), square.slope_at_zero, square.saturates
        (9.0, 0.0, False)
    """

    name: str
    function: Function
    derivative: Function
    kinks: tuple[float, ...] = ()
    bounds: tuple[float, float] = (-math.inf, math.inf)
    parameters: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if not (callable(self.function) and callable(self.derivative)):
            raise BadInput(f"Activation {self.name!r}: function and derivative must be callable on float64 arrays.")
        if not all(math.isfinite(kink) for kink in self.kinks):
            raise BadInput(f"Activation {self.name!r}: kinks must be finite, got {self.kinks}.")
        if not self.bounds[0] <= self.bounds[1]:
            raise BadInput(f"Activation {self.name!r}: bounds must be (low, high), got {self.bounds}.")

    def __call__(self, x: ArrayLike) -> Array:
        """φ(x)."""
        return self.function(np.asarray(x, dtype=np.float64))

    @property
    def slope_at_zero(self) -> float:
        """φ'(0): what a network of tiny signals multiplies by. At a kink in 0 it is the slope on the left."""
        return float(self.derivative(np.zeros(1))[0])

    @property
    def saturates(self) -> bool:
        """Both bounds are finite and φ' dies out at both ends: tanh, sigmoid, hardtanh and relu6 do; sin does not."""
        if not all(map(math.isfinite, self.bounds)):
            return False
        far = np.array([1.0, 1.3, 1.7]) * 1e6  # softsign, the slowest, has slope 1e-12 here
        return bool(np.abs(self.derivative(np.concatenate([-far, far]))).max() < 1e-9)

    def __str__(self) -> str:
        arguments = ", ".join(f"{key}={value:g}" for key, value in self.parameters)
        return f"{self.name}({arguments})" if arguments else self.name


# Building blocks. Each keeps its relative accuracy in the tails, where a naive formula cancels to 0.


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, small, 1.0) / (1 + small))


def _both_sigmoids(x: Array) -> tuple[Array, Array]:
    """σ(x) and σ(−x) = 1 − σ(x)."""
    small = np.exp(-np.abs(x))
    larger = 1 / (1 + small)
    smaller = small * larger
    return np.where(x < 0, smaller, larger), np.where(x < 0, larger, smaller)


def _sech_squared(x: Array) -> Array:
    small = np.exp(-2 * np.abs(x))
    return np.asarray(4 * small / (1 + small) ** 2)


def _each(f: Callable[[float], float], x: Array) -> Array:
    return np.array([f(v) for v in x.ravel().tolist()], dtype=np.float64).reshape(x.shape)


def _inside(x: Array, low: float, high: float, slope: float) -> Array:
    """The derivative of a ramp: slope strictly between low and high, else 0."""
    return np.where((x > low) & (x < high), slope, 0.0)


# Functions and derivatives.


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _step(x: Array) -> Array:
    return np.where(x > 0, 1.0, 0.0)


def _relu_squared(x: Array) -> Array:
    return np.maximum(x, 0) ** 2


def _relu_squared_slope(x: Array) -> Array:
    return 2 * np.maximum(x, 0)


def _ramp(x: Array, low: float, high: float) -> Array:
    return np.clip(x, low, high)


def _leaky(x: Array, negative_slope: float) -> Array:
    return np.where(x > 0, x, negative_slope * x)


def _leaky_slope(x: Array, negative_slope: float) -> Array:
    return np.where(x > 0, 1.0, negative_slope)


def _exponential(x: Array, left: float, rate: float, right: float) -> Array:
    """right·x above 0, left·(e^{rate·x} − 1) below: the law of ELU, CELU and SELU."""
    return np.where(x > 0, right * x, left * np.expm1(rate * np.minimum(x, 0)))


def _exponential_slope(x: Array, left: float, rate: float, right: float) -> Array:
    return np.where(x > 0, right, left * rate * np.exp(rate * np.minimum(x, 0)))


def _gelu(x: Array) -> Array:
    return x * normal_cdf(x)


def _gelu_slope(x: Array) -> Array:
    below, density = normal_cdf_and_density(x)
    return below + x * density


def _gelu_tanh(x: Array) -> Array:
    return x * _sigmoid(math.sqrt(8 / math.pi) * (x + GELU_TANH_CUBIC * x**3))


def _gelu_tanh_slope(x: Array) -> Array:
    inner = math.sqrt(8 / math.pi) * (x + GELU_TANH_CUBIC * x**3)
    inner_slope = math.sqrt(8 / math.pi) * (1 + 3 * GELU_TANH_CUBIC * x**2)
    up, down = _both_sigmoids(inner)
    return up * (1 + x * inner_slope * down)


def _silu(x: Array) -> Array:
    return x * _sigmoid(x)


def _silu_slope(x: Array) -> Array:
    up, down = _both_sigmoids(x)
    return up * (1 + x * down)


def _mish(x: Array) -> Array:
    return x * np.tanh(np.logaddexp(0, x))


def _mish_slope(x: Array) -> Array:
    softplus = np.logaddexp(0, x)
    return np.tanh(softplus) + x * _sech_squared(softplus) * _sigmoid(x)


def _softplus(x: Array, beta: float) -> Array:
    return np.asarray(np.logaddexp(0, beta * x) / beta)


def _softplus_slope(x: Array, beta: float) -> Array:
    return _sigmoid(beta * x)


def _sigmoid_slope(x: Array) -> Array:
    up, down = _both_sigmoids(x)
    return up * down


def _logsigmoid(x: Array) -> Array:
    return -np.logaddexp(0, -x)


def _logsigmoid_slope(x: Array) -> Array:
    return _sigmoid(-x)


def _erf(x: Array) -> Array:
    return _each(math.erf, x)


def _erf_slope(x: Array) -> Array:
    return 2 / math.sqrt(math.pi) * np.exp(-x * x)


def _hardswish(x: Array) -> Array:
    return x * np.clip(x + 3, 0, 6) / 6


def _hardswish_slope(x: Array) -> Array:
    return np.where((x > -3) & (x < 3), (2 * x + 3) / 6, np.where(x < 0, 0.0, 1.0))


def _hardsigmoid(x: Array) -> Array:
    return np.clip(x + 3, 0, 6) / 6


def _softsign(x: Array) -> Array:
    return np.asarray(x / (1 + np.abs(x)))


def _softsign_slope(x: Array) -> Array:
    return 1 / (1 + np.abs(x)) ** 2


def _tanhshrink(x: Array) -> Array:
    square = np.minimum(x * x, 0.02**2)  # below 0.02 the series is exact to 1e-14, where x − tanh x cancels
    series = x * square * (1 / 3 - square * (2 / 15 - square * (17 / 315 - square * 62 / 2835)))
    return np.where(np.abs(x) < 0.02, series, x - np.tanh(x))


def _tanhshrink_slope(x: Array) -> Array:
    return np.tanh(x) ** 2


# Families: activations with parameters, named and preset as in torch.


def leaky_relu(negative_slope: float = 0.01) -> Activation:
    """max(x, 0) + negative_slope · min(x, 0).

    Example:
        >>> str(leaky_relu(negative_slope=0.2))
        'leaky_relu(negative_slope=0.2)'
    """
    return _leaky_relu("leaky_relu", negative_slope)


def prelu(negative_slope: float = 0.25) -> Activation:
    """Leaky ReLU with the slope that PReLU starts from (He et al. 2015)."""
    return _leaky_relu("prelu", negative_slope)


def _leaky_relu(name: str, negative_slope: float) -> Activation:
    return Activation(
        name,
        partial(_leaky, negative_slope=negative_slope),
        partial(_leaky_slope, negative_slope=negative_slope),
        kinks=(0.0,),
        bounds=(-math.inf if negative_slope > 0 else 0.0, math.inf),
        parameters=(("negative_slope", negative_slope),),
    )


def elu(alpha: float = 1.0) -> Activation:
    """The exponential linear unit: x above 0, alpha (eˣ − 1) below."""
    return _exponential_unit("elu", left=alpha, rate=1.0, parameters=(("alpha", alpha),))


def celu(alpha: float = 1.0) -> Activation:
    """An ELU whose slope is continuous for every alpha: x above 0, alpha (e^{x/alpha} − 1) below."""
    if alpha <= 0:
        raise BadInput(f"celu needs alpha > 0, got {alpha:g}.")
    return _exponential_unit("celu", left=alpha, rate=1 / alpha, parameters=(("alpha", alpha),))


def _exponential_unit(
    name: str, left: float, rate: float = 1.0, right: float = 1.0, parameters: tuple[tuple[str, float], ...] = ()
) -> Activation:
    return Activation(
        name,
        partial(_exponential, left=left, rate=rate, right=right),
        partial(_exponential_slope, left=left, rate=rate, right=right),
        kinks=(0.0,),
        bounds=(-max(left, 0.0), math.inf),
        parameters=parameters,
    )


def softplus(beta: float = 1.0) -> Activation:
    """log(1 + e^{beta·x}) / beta, without torch's switch to x at beta·x = 20, which moves it by 2e-9."""
    if beta <= 0:
        raise BadInput(f"softplus needs beta > 0, got {beta:g}.")
    function, slope = partial(_softplus, beta=beta), partial(_softplus_slope, beta=beta)
    return Activation("softplus", function, slope, bounds=(0.0, math.inf), parameters=(("beta", beta),))


def hardtanh(min_val: float = -1.0, max_val: float = 1.0) -> Activation:
    """The identity, cut to [min_val, max_val]."""
    if min_val >= max_val:
        raise BadInput(f"hardtanh needs min_val < max_val, got {min_val:g} and {max_val:g}.")
    return _cut("hardtanh", min_val, max_val, (("min_val", min_val), ("max_val", max_val)))


def _cut(name: str, low: float, high: float, parameters: tuple[tuple[str, float], ...] = ()) -> Activation:
    slope = partial(_inside, low=low, high=high, slope=1.0)
    return Activation(name, partial(_ramp, low=low, high=high), slope, (low, high), (low, high), parameters)


FAMILIES: dict[str, Callable[..., Activation]] = {
    "leaky_relu": leaky_relu,
    "prelu": prelu,
    "elu": elu,
    "celu": celu,
    "softplus": softplus,
    "hardtanh": hardtanh,
}

_INF = math.inf

TABLE: dict[str, Activation] = {
    "identity": Activation("identity", np.positive, np.ones_like),
    "relu": Activation("relu", _relu, _step, kinks=(0.0,), bounds=(0.0, _INF)),
    "relu6": _cut("relu6", 0.0, 6.0),
    "relu_squared": Activation("relu_squared", _relu_squared, _relu_squared_slope, kinks=(0.0,), bounds=(0.0, _INF)),
    "leaky_relu": leaky_relu(),
    "prelu": prelu(),
    "elu": elu(),
    "celu": celu(),
    "selu": _exponential_unit("selu", left=SELU_SCALE * SELU_ALPHA, right=SELU_SCALE),
    # The lower bounds of the next four are minima near −0.752, −0.752, −1.278 and −1.192.
    "gelu": Activation("gelu", _gelu, _gelu_slope, bounds=(-0.16997120747990366, _INF)),
    "gelu_tanh": Activation("gelu_tanh", _gelu_tanh, _gelu_tanh_slope, bounds=(-0.17004075057125405, _INF)),
    "silu": Activation("silu", _silu, _silu_slope, bounds=(-0.2784645427610738, _INF)),
    "mish": Activation("mish", _mish, _mish_slope, bounds=(-0.3088434130172504, _INF)),
    "hardswish": Activation("hardswish", _hardswish, _hardswish_slope, kinks=(-3.0, 3.0), bounds=(-0.375, _INF)),
    "softplus": softplus(),
    "sigmoid": Activation("sigmoid", _sigmoid, _sigmoid_slope, bounds=(0.0, 1.0)),
    "hardsigmoid": Activation(
        "hardsigmoid", _hardsigmoid, partial(_inside, low=-3.0, high=3.0, slope=1 / 6), (-3.0, 3.0), (0.0, 1.0)
    ),
    "logsigmoid": Activation("logsigmoid", _logsigmoid, _logsigmoid_slope, bounds=(-_INF, 0.0)),
    "tanh": Activation("tanh", np.tanh, _sech_squared, bounds=(-1.0, 1.0)),
    "tanhshrink": Activation("tanhshrink", _tanhshrink, _tanhshrink_slope),
    "hardtanh": hardtanh(),
    "erf": Activation("erf", _erf, _erf_slope, bounds=(-1.0, 1.0)),
    "softsign": Activation("softsign", _softsign, _softsign_slope, kinks=(0.0,), bounds=(-1.0, 1.0)),
    "sin": Activation("sin", np.sin, np.cos, bounds=(-1.0, 1.0)),
}

ALIASES: dict[str, str] = {
    "linear": "identity",
    "relu2": "relu_squared",
    "relu²": "relu_squared",
    "squared_relu": "relu_squared",
    "leakyrelu": "leaky_relu",
    "swish": "silu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "hard_swish": "hardswish",
    "logistic": "sigmoid",
    "hard_sigmoid": "hardsigmoid",
    "log_sigmoid": "logsigmoid",
    "tanh_shrink": "tanhshrink",
    "hard_tanh": "hardtanh",
}
