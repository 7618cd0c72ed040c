"""Short-time Fourier transform by a convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput, UnknownName
from fanin.initializers.base import Law, Target
from fanin.initializers.by_index import ByIndex, Indices, fixed_law, require_kernel
from fanin.stream.gaussian import exact_digits

SIDES = ("real", "imag")
WINDOWS = ("hann", "hamming", "none")
SCALINGS = ("density", "spectrum", "none")


@dataclass(frozen=True)
class STFT(ByIndex):
    """Output f of a Conv1d is one side of frequency f of the windowed Fourier transform of a frame.

    `w_{f,0,t} = window_t cos(2π f t / N) / scale`, or −sin for the imaginary side; N = 2 (F − 1) for F outputs; the
    frame is as long as the kernel; scale √Σ window² (density), Σ |window| (spectrum), or 1.

    Args:
        side: "real" or "imag".
        window: "hann", "hamming" or "none"; symmetric, unless periodic.
        scaling: "density", "spectrum" or "none".
        periodic: the window's period is the frame's length, rather than one less.

    Raises:
        UnknownName: no such side, window or scaling.
        BadInput: later, the target is not of shape (F, 1, T) with F ≥ 2.

    Reference: `keras.initializers.STFT`, whose kernels have shape (T, 1, F).

    Example:
        >>> STFT(window="none", scaling="none").draw(Target("weight", (3, 1, 4)), seed=0).reshape(3, 4).round(4) + 0.0
        array([[ 1.,  1.,  1.,  1.],
               [ 1.,  0., -1.,  0.],
               [ 1., -1.,  1., -1.]], dtype=float32)
    """

    side: str = "real"
    window: str = "hann"
    scaling: str = "density"
    periodic: bool = False

    def __post_init__(self) -> None:
        for name, known in (("side", SIDES), ("window", WINDOWS), ("scaling", SCALINGS)):
            if getattr(self, name) not in known:
                raise UnknownName(name, getattr(self, name), known)

    def law(self, target: Target) -> Law:
        """Of all elements together."""
        outputs, inputs, kernel = require_kernel(self, target)
        if len(kernel) != 1 or inputs != 1 or outputs < 2:
            raise BadInput(f"{self} needs shape (F, 1, T), F at least 2; {target.name!r} has shape {target.shape}.")
        grid = np.indices(target.shape).reshape(3, -1)
        values = self.at(target.shape, tuple(grid))
        center = float(values.mean()) if values.size else 0.0
        spread = fixed_law(0.0, float(((values - center) ** 2).sum()), values.size, -1.0, 1.0)
        return Law(center, spread.std, -1.0, 1.0, spread.kurtosis, spread.fixed_norm, spread.structure)

    def at(self, shape: tuple[int, ...], place: tuple[Indices, ...]) -> npt.NDArray[np.float64]:
        """From a table of cosines, the same on every machine."""
        length, period = shape[2], 2 * (shape[0] - 1)
        wave = _cosines(period)  # 4 steps for each frequency, so that a quarter of a period is a whole number of them
        turned = 4 * place[0] * place[2] + (period if self.side == "imag" else 0)  # cos(φ + π/2) = −sin φ
        window = self._window(length)
        scale = {"density": math.sqrt(math.fsum(window**2)), "spectrum": math.fsum(np.abs(window)), "none": 1.0}
        kernel: npt.NDArray[np.float64] = wave[turned % (4 * period)] * window[place[2]] / (scale[self.scaling] or 1.0)
        return kernel

    def _window(self, length: int) -> npt.NDArray[np.float64]:
        around = length if self.periodic else length - 1
        if self.window == "none" or length < 2:
            return np.ones(length)
        constant = 0.5 if self.window == "hann" else 0.54
        return constant - (1 - constant) * _cosines(around)[4 * np.arange(length) % (4 * around)]


@lru_cache(maxsize=16)
def _cosines(period: int) -> npt.NDArray[np.float64]:
    """cos(2π i / (4 period)) for i < 4 period, in decimal arithmetic: libm's cos differs in its last bits."""
    with exact_digits():
        quarter = [float(_cosine(Decimal(i) / period)) for i in range(period + 1)]
    first = np.array(quarter)
    half = np.concatenate([first[:-1], -first[:0:-1]])
    return np.concatenate([half, -half])


def _cosine(quarters: Decimal) -> Decimal:
    """cos(π/2 · quarters) for 0 ≤ quarters ≤ 1, by its Taylor series."""
    if quarters == 1:
        return Decimal(0)
    square = (quarters * Decimal("1.57079632679489661923132169163975144209858469968755")) ** 2
    term, total, k = Decimal(1), Decimal(0), 0
    while abs(term) > Decimal("1e-45"):
        total += term
        k += 2
        term *= -square / (k * (k - 1))
    return total
