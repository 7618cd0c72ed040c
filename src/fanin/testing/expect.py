"""What the promises have in common: the declared law, the drawn values as float64, and failures that say where."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers import Initializer, Law, Target
from fanin.initializers.base import COMPLEX


def declared_law(what: Initializer, target: Target) -> Law | None:
    """The declared law; None where there is none, and then drawing any elements must be refused with BadInput."""
    law = None if refusal(what, target) else what.law(target)
    if law is not None and not math.isnan(law.std):
        return law
    if not target.size:
        return None
    try:
        what.draw(target, 0)
    except BadInput:
        return None
    raise AssertionError(f"{place(what, target)}: expected BadInput from draw, as no law is declared; got values")


def refusal(what: Initializer, target: Target) -> str:
    """Why the law does not take the target; empty where it does."""
    try:
        what.law(target)
    except BadInput as error:
        return str(error)
    return ""


def as_float64(values: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """What `draw` returns, as numbers: float64, or complex128."""
    if dtype in COMPLEX:
        return values.astype(np.complex128)
    if dtype == "bfloat16":
        values = (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    elif dtype == "float8_e5m2":
        values = (values.astype(np.uint16) << np.uint16(8)).view(np.float16)
    elif dtype == "float8_e4m3fn":  # as the bits of a float16, 2^-8 of what they mean
        sign, magnitude = values.astype(np.uint16) & np.uint16(0x80), values.astype(np.uint16) & np.uint16(0x7F)
        values = (sign << np.uint16(8) | magnitude << np.uint16(7)).view(np.float16).astype(np.float64) * 2.0**8
    return values.astype(np.float64)


class Broken(AssertionError):
    """A promise that was not kept: of what, under which circumstances, what was expected, and what was got."""

    def __init__(self, what: Initializer, target: Target, of: str, expected: str, got: str, *, how: str = "") -> None:
        self.of, self.expected, self.got, self.how = of, expected, got, how
        where = f"{place(what, target)}, {how}" if how else place(what, target)
        super().__init__(f"{where}: expected {f'{of} {expected}'.strip()}; got {got}")


def expect_close(what: Initializer, target: Target, of: str, got: float, expected: float, tolerance: float) -> None:
    """The difference is at most the tolerance."""
    if not abs(got - expected) <= tolerance < math.inf:  # NaN and ∞ fail too
        raise Broken(what, target, of, f"{expected:.6g}", f"{got:.6g}, {tolerance=:.3g}")


def expect_equal(what: Initializer, target: Target, of: str, got: object, expected: object) -> None:
    """Equal as Python compares them."""
    if got != expected:
        raise Broken(what, target, of, str(expected), str(got))


def expect_same(what: Initializer, target: Target, how: str, got: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    """The same bits: NaNs and the sign of zero count."""
    expect_equal(what, target, f"dtype, {how},", (got.dtype, got.shape), (expected.dtype, expected.shape))
    if got.tobytes() != expected.tobytes():
        at = int(np.flatnonzero(got != expected)[:1].sum())
        raise Broken(what, target, "", f"{expected[at]} at position {at}", f"{got[at]}, tolerance=0", how=how)


def place(what: Initializer, target: Target) -> str:
    """Where a promise was put to the test."""
    return f"{what!r} on {target.name!r} {target.shape} {target.dtype}"
