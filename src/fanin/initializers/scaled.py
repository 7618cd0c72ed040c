"""The same law, so many times as wide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from fanin.errors import BadInput
from fanin.initializers.base import Initializer
from fanin.initializers.constant import Constant, Zeros
from fanin.initializers.identity import Dirac, Identity
from fanin.initializers.isometry import DeltaOrthogonal, IsometricConvolution
from fanin.initializers.jittered import Jittered
from fanin.initializers.mirrored import Mirrored
from fanin.initializers.normal import Normal
from fanin.initializers.orthogonal import Orthogonal
from fanin.initializers.parts import PerPart
from fanin.initializers.sparse import Sparse
from fanin.initializers.spelling import initializer
from fanin.initializers.truncated_normal import TruncatedNormal
from fanin.initializers.uniform import Uniform
from fanin.initializers.variance_scaling import VarianceScaling

# The fields of each law that are as wide as its values.
WIDTHS: Final[Mapping[type[Initializer], tuple[str, ...]]] = {
    VarianceScaling: ("gain",),
    Orthogonal: ("gain",),
    DeltaOrthogonal: ("gain",),
    IsometricConvolution: ("gain",),
    Identity: ("gain",),
    Dirac: ("gain",),
    Normal: ("std", "mean"),
    TruncatedNormal: ("std", "mean"),
    Uniform: ("low", "high"),
    Sparse: ("std",),
}


def scaled(what: Initializer, by: float) -> Initializer:
    """Every value multiplied by `by` ≥ 0.

    Raises:
        BadInput: a law that has no width to change, such as Keep or an assigned array.

    Example:
        >>> str(scaled(VarianceScaling(gain=2.0), 0.5)), str(scaled(Mirrored(), 2))
        ('normal 1/√fan_in', 'mirrored Orthogonal(gain=2)')
    """
    if isinstance(what, Mirrored):
        return replace(what, block=scaled(initializer(what.block), by))
    if isinstance(what, Jittered):
        return replace(what, base=scaled(initializer(what.base), by))
    if isinstance(what, PerPart):
        but = tuple((name, scaled(initializer(one), by)) for name, one in dict(what.but).items())
        return replace(what, each=scaled(initializer(what.each), by), but=but)
    if isinstance(what, Zeros):
        return what
    if isinstance(what, Constant):
        return Constant(what.value * by)
    if type(what) not in WIDTHS:
        raise BadInput(f"{what} cannot be scaled: give another initializer in its place.")
    change: dict[str, Any] = {name: getattr(what, name) * by for name in WIDTHS[type(what)]}
    return replace(what, **change)  # type: ignore[type-var]  # every initializer is a dataclass


def can_be_scaled(what: Initializer) -> bool:
    """Whether `scaled` takes it."""
    try:
        scaled(what, 1.0)
    except BadInput:
        return False
    return True
