"""Deep plain chains: weights behind which signals and gradients keep their size, and inputs their angles."""

from __future__ import annotations

import math
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from fanin.activations import activation, gaussian_expectation
from fanin.graph import ActivationCall, Parameter
from fanin.graph.chains import Link
from fanin.initializers import DeltaOrthogonal, Initializer, IsometricConvolution, Mirrored, Orthogonal
from fanin.plans.model import Decision

DEEP: Final = 10  # activations; in shorter chains Gaussian weights lose less than a linear start gives up
# Where φ(0) ≠ 0 and φ saturates, what all units have in common drowns what they tell apart within a few layers.
DEEP_OFF_CENTER: Final = 3
# σ_w² of a bounded activation: with 1, a signal dies as 1/depth. Measured on nets of 100 tanh layers: 1.1 … 1.6 train.
BOUNDED: Final = 1.2
SOURCE: Final = "Saxe et al. 2014; Xiao et al. 2018"
PAIRS: Final = "Balduzzi et al. 2017, §5"


def keeps_isometry(p: Parameter, link: Link) -> Decision | None:
    """The decision for a weight of a deep chain; None where it cannot be had: odd widths beside an activation that
    is not odd.
    """
    before, behind = link.before, link.behind
    if any(phi is not None and phi.name == "selu" for phi in (before, behind)):
        rows_of_one = math.sqrt(max(p.shape[0] / p.shape[1], 1))
        block = _orthogonal(rows_of_one, p.shape[0], p.shape[1], len(p.shape) > 2)
        why = f"{link.depth} of selu in a row: orthogonal, with rows of norm 1, as its balance of 0 and 1 asks"
        return Decision(block, why, f"{SOURCE}; Klambauer et al. 2017, eq. 4")
    rows = behind is not None and not _odd_part(behind).odd
    columns = before is not None and not _odd_part(before).odd
    if (rows and p.shape[0] % 2) or (columns and p.shape[1] % 2):
        return None
    gain = 1.0 if before is None else _odd_part(before).gain
    half_in, half_out = p.shape[1] // (1 + columns), p.shape[0] // (1 + rows)
    block = _orthogonal(gain * math.sqrt(max(half_out / half_in, 1)), half_out, half_in, len(p.shape) > 2)
    what = f"{link.depth} activations in a row, no norm, no skip: "
    if not (rows or columns):
        return Decision(block, f"{what}orthogonal, so that depth neither stretches nor squeezes", SOURCE)
    phi = behind if rows else before
    assert phi is not None  # a side is mirrored for one
    kind = "which is linear" if _odd_part(phi).linear else "which is 0 at 0"
    why = f"{what}pairs ±z, so that {phi} acts by its odd part, {kind}"
    return Decision(Mirrored(block, rows=rows, columns=columns), why, PAIRS)


def chain_is_deep(link: Link) -> bool:
    """Whether Gaussian weights would lose too much on the way."""
    beside = [activation(phi.name, **phi.parameters) for phi in (link.before, link.behind) if phi is not None]
    off_center = any(phi.saturates and float(phi(0.0)) != 0 for phi in beside)
    return link.depth >= (DEEP_OFF_CENTER if off_center else DEEP)


def _orthogonal(gain: float, rows: int, columns: int, convolution: bool) -> Initializer:
    gain = 1.0 if math.isclose(gain, 1.0) else gain
    if not convolution:
        return Orthogonal(gain)
    return DeltaOrthogonal(gain) if rows >= columns else IsometricConvolution(gain)


_POINTS: Final = np.array([0.3, 1.0, 2.7])


class _OddPart(NamedTuple):
    """What φ(z) − φ(−z) is, or φ itself where that is odd.

    Attributes:
        odd: φ(−z) = −φ(z).
        linear: it is a multiple of z.
        gain: by what the weight that reads it multiplies: 1/slope, or what keeps E z² = 1.
    """

    odd: bool
    linear: bool
    gain: float


def _odd_part(phi: ActivationCall) -> _OddPart:
    return _odd_part_of(phi.name, tuple(phi.parameters.items()))


@cache
def _odd_part_of(name: str, parameters: tuple[tuple[str, float], ...]) -> _OddPart:
    phi = activation(name, **dict(parameters))
    there, mirrored = (np.asarray(phi(x), dtype=np.float64) for x in (_POINTS, -_POINTS))
    odd = bool(np.allclose(there, -mirrored))
    slopes = (there if odd else there - mirrored) / _POINTS
    if np.allclose(slopes, slopes[0]):
        return _OddPart(odd, True, float(1 / slopes[0]))
    if phi.saturates and phi.slope_at_zero:
        slope = phi.slope_at_zero * (1 if odd else 2)
        return _OddPart(odd, False, math.sqrt(BOUNDED) / abs(slope))

    def square(x: np.ndarray) -> np.ndarray:
        return np.square(phi(x) - (0 if odd else phi(-x)))

    return _OddPart(odd, False, float(1 / math.sqrt(gaussian_expectation(square))))
