"""From what a caller writes to an Activation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from fanin.activations.quadrature import Array, Function, evaluate
from fanin.activations.table import ALIASES, FAMILIES, TABLE, Activation
from fanin.errors import BadInput, UnknownName

PROBES = np.array([-1.37, -0.61, 0.53, 1.19])  # away from the round numbers at which functions are special


@overload
def activation(what: str | Activation, **parameters: float) -> Activation: ...
@overload
def activation(what: Function, *, derivative: Function | None = None) -> Activation: ...
def activation(what: str | Activation | Function, *, derivative: Any = None, **parameters: float) -> Activation:
    """The Activation meant by a name, by an Activation, or by a function on float64 NumPy arrays.

    Args:
        what: a name of `TABLE` or `ALIASES` in any case, with - or _; or an Activation; or a function.
        derivative: φ' of a function; without it, differences accurate to about 1e-8 away from kinks.
        parameters: of a named family, as torch calls them: negative_slope, alpha, beta, min_val, max_val.

    Raises:
        UnknownName: no activation has this name.
        BadInput: a parameter that the activation does not have, or a function that is not elementwise.

    Example:
        >>> print(activation("Leaky-ReLU", negative_slope=0.2))
        leaky_relu(negative_slope=0.2)
        >>> activation(np.cos).slope_at_zero
        0.0
    """
    return resolve(what, derivative, parameters)


def resolve(
    what: str | Activation | Function, derivative: Function | None, parameters: Mapping[str, float]
) -> Activation:
    """What `activation` does, for callers that hold its arguments as values."""
    if callable(what) and not isinstance(what, Activation):
        _refuse(parameters, accepted=(), of="a function")
        return _from_function(what, derivative)
    if derivative is not None:
        raise BadInput("derivative= belongs to a function; names and Activations bring their own.")
    if isinstance(what, Activation):
        _refuse(parameters, accepted=(), of=f"{what}, which is already built,")
        return what
    if isinstance(what, str):
        return _from_name(what, parameters)
    raise BadInput(f"An activation is a name, an Activation or a function on NumPy arrays; got {what!r}.")


def _from_name(name: str, parameters: Mapping[str, float]) -> Activation:
    spelled = name.strip().lower().replace("-", "_").replace(" ", "_")
    key = ALIASES.get(spelled, spelled)
    if key not in TABLE:
        raise UnknownName("activation", name, [*TABLE, *ALIASES])
    preset = dict(TABLE[key].parameters)
    _refuse(parameters, accepted=tuple(preset), of=key)
    chosen = preset | {parameter: _number(key, parameter, value) for parameter, value in parameters.items()}
    return TABLE[key] if chosen == preset else FAMILIES[key](**chosen)


def _refuse(parameters: Mapping[str, float], accepted: tuple[str, ...], of: str) -> None:
    unknown = [name for name in parameters if name not in accepted]
    if unknown:
        known = f"Accepted: {', '.join(accepted)}." if accepted else "It takes no parameters."
        raise BadInput(f"{of} has no parameter {', '.join(map(repr, unknown))}. {known}")


def _number(key: str, name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise BadInput(f"{key} needs a finite number for {name}, got {value!r}.")
    return number


def _from_function(function: Function, derivative: Function | None) -> Activation:
    name = str(getattr(function, "__name__", type(function).__name__))
    built = Activation(name, function, CentralDifference(function) if derivative is None else derivative)
    evaluate(built.function, PROBES)
    evaluate(built.derivative, PROBES)
    return built


@dataclass(frozen=True)
class CentralDifference:
    """φ'(x) by second-order differences that do not look across a kink or a jump.

    Of the left, central and right stencil of width 2h, each x takes the one with the smallest second difference
    (essentially non-oscillatory choice): a stencil that a kink cuts is never the smoothest. The error is about
    h² φ''' / 3 + ε φ / h, 1e-10 for features of unit size; h grows with √|x| to keep up with rounding.
    A slope without bound, as that of √|x| at 0, is cut at that of a stencil: give such a function its derivative.

    Example:
        >>> CentralDifference(np.abs)(np.array([-1e-9, 1e-9])).round(9)
        array([-1.,  1.])

    Reference: Harten, Engquist, Osher & Chakravarthy 1987.
    """

    function: Function

    def __call__(self, x: Array) -> Array:
        """φ'(x)."""
        h = np.exp2(np.ceil(np.log2(np.maximum(1.0, np.abs(x))) / 2) - 17)  # a power of two: x ± h is exact
        points = np.stack([x + k * h for k in (-2, -1, 0, 1, 2)])
        f2, f1, f0, g1, g2 = evaluate(self.function, points.ravel()).reshape(points.shape)
        slopes = np.stack([g1 - f1, 3 * f0 - 4 * f1 + f2, 4 * g1 - 3 * f0 - g2]) / (2 * h)
        roughness = np.abs(np.stack([g1 - 2 * f0 + f1, f0 - 2 * f1 + f2, g2 - 2 * g1 + f0]))
        smoothest = roughness.argmin(axis=0)
        return np.asarray(np.take_along_axis(slopes, smoothest[None], axis=0)[0])
