"""What becomes of a law under the operations with which constructors make their values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any, Final

import torch

from fanin.initializers import (
    Constant,
    CutNormal,
    Dirac,
    Identity,
    Initializer,
    Normal,
    Ones,
    Orthogonal,
    Sparse,
    Uniform,
    Zeros,
)

Arguments = Mapping[str, Any]  # of an operation, by the names of its schema
OF_SHAPE: Final = (Orthogonal, Identity, Dirac, Sparse)  # laws of a tensor as a whole
SAME: Final = frozenset({"copy", "fill", "clone", "_to_copy", "lift_fresh", "repeat", "_unsafe_view"})
_OF_CONSTANTS: Final = frozenset({"exp", "log", "sqrt", "rsqrt", "reciprocal", "abs", "expm1", "log1p"})


def constant(value: float) -> Initializer:
    """By its own name where it has one."""
    return {0.0: Zeros(), 1.0: Ones()}.get(value) or Constant(value)


def _normal(std: float, mean: float = 0.0) -> Initializer:
    return Normal(std, mean) if std else constant(mean)


def _uniform(low: float, high: float) -> Initializer:
    return Uniform(low, high) if low < high else constant(low)


def _trunc_normal(a: Arguments) -> Initializer:
    return CutNormal(a["std"], a["mean"], a["a"], a["b"]) if a["std"] else constant(a["mean"])


# Operations that fill a tensor whatever is in it, by name without the trailing underscore.
DRAWS: Final[Mapping[str, Callable[[Arguments], Initializer | None]]] = {
    **dict.fromkeys(("zeros", "zeros_like", "new_zeros", "zero"), lambda _: Zeros()),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), lambda _: Ones()),
    **dict.fromkeys(("full", "full_like", "new_full"), lambda a: constant(float(a["fill_value"]))),
    **dict.fromkeys(("randn", "randn_like"), lambda _: Normal()),
    **dict.fromkeys(("rand", "rand_like"), lambda _: Uniform(0.0, 1.0)),
    "scalar_tensor": lambda a: constant(float(a["s"])),
    "normal": lambda a: _normal(a["std"], a["mean"]),
    "uniform": lambda a: _uniform(a["from"], a["to"]),
    "eye": lambda _: Identity(),
    "trunc_normal": _trunc_normal,
    "orthogonal": lambda a: Orthogonal(abs(a["gain"])),
    "dirac": lambda a: Dirac(a["groups"]),
    "sparse": lambda a: Sparse(a["sparsity"], a["std"]),
}


def affine(law: Initializer, factor: float, shift: float = 0.0) -> Initializer | None:
    """The law of factor · x + shift."""
    found: Initializer | None = None
    match law:
        case _ if factor == 0:
            found = constant(shift)
        case Constant(value=value):
            found = constant(value * factor + shift)
        case Normal(std=std, mean=mean):
            found = Normal(std * abs(factor), mean * factor + shift)
        case Uniform(low=low, high=high):
            found = Uniform(*sorted((low * factor + shift, high * factor + shift)))
        case CutNormal(std=std, mean=mean, low=low, high=high):
            bounds = sorted((low * factor + shift, high * factor + shift))
            found = CutNormal(std * abs(factor), mean * factor + shift, *bounds)
        case Orthogonal(gain=gain) if not shift:
            found = Orthogonal(gain * abs(factor))  # −Q is as likely as Q
        case Identity(gain=gain) if not shift:
            found = Identity(gain * factor)
        case Dirac(groups=groups, gain=gain) if not shift:
            found = Dirac(groups, gain * factor)
        case Sparse(sparsity=sparsity, std=std, axis=axis) if not shift:
            found = Sparse(sparsity, std * abs(factor), axis)
    return found


def erfinv(law: Initializer) -> Initializer | None:
    """From a uniform law within [−1, 1] to a normal one of variance ½, cut: it takes 2 Φ(z) − 1 to z/√2."""
    if not isinstance(law, Uniform) or law.low < -1 or law.high > 1:
        return None
    quantile = NormalDist(0.0, math.sqrt(0.5)).inv_cdf
    low, high = (
        math.copysign(math.inf, bound) if abs(bound) == 1 else quantile((bound + 1) / 2)
        for bound in (law.low, law.high)
    )
    return CutNormal(math.sqrt(0.5), 0.0, low, high)


def clamp(law: Initializer, low: float | None, high: float | None) -> Initializer | None:
    """Where nothing lies beyond the bounds but what rounding puts there."""
    if not isinstance(law, (Constant, Uniform, CutNormal)):
        return None
    least, most = (law.value, law.value) if isinstance(law, Constant) else (law.low, law.high)
    slack = 1e-6 * (most - least)
    inside = (low is None or low <= least + slack) and (high is None or high >= most - slack)
    return law if inside else None


def of_one(name: str, law: Initializer, arguments: Arguments) -> Initializer | None:
    """Of an operation on each element x alone."""
    if name == "neg":
        return affine(law, -1.0)
    if name == "erfinv":
        return erfinv(law)
    if name == "clamp":
        return clamp(law, arguments["min"], arguments["max"])
    if isinstance(law, Constant) and name in _OF_CONSTANTS:
        return constant(float(getattr(torch, name)(torch.tensor(law.value, dtype=torch.float64, device="cpu"))))
    return None


def with_number(name: str, law: Initializer, number: float, arguments: Arguments) -> Initializer | None:
    """Of an operation on each element x and a number: x · c, x / c, x + c, x − c, c − x, xᶜ."""
    alpha = float(arguments.get("alpha", 1))
    found = None
    if name == "mul":
        found = affine(law, number)
    elif name == "div" and number and not arguments.get("rounding_mode"):
        found = affine(law, 1 / number)
    elif name in ("add", "sub"):
        found = affine(law, 1.0, alpha * number if name == "add" else -alpha * number)
    elif name == "rsub":
        found = affine(law, -alpha, number)
    elif name == "pow" and isinstance(law, Constant) and law.value > 0:
        found = constant(law.value**number)
    return found


def with_number_first(name: str, law: Initializer, number: float, arguments: Arguments) -> Initializer | None:
    """The same with the number on the left: c · x, c + x, c − x."""
    alpha = float(arguments.get("alpha", 1))
    if name == "mul":
        return affine(law, number)
    return affine(law, alpha if name == "add" else -alpha, number) if name in ("add", "sub") else None
