"""What an initializer promises: its declared law, draws that are pure functions, and a description that round-trips.

Each promise is a function that raises AssertionError with what was expected, what was got, and the tolerance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.graph import Fans, Parts
from fanin.initializers import ALL, Initializer, Law, Structure, Target, from_dict, to_dict
from fanin.initializers.base import COMPLEX
from fanin.stream import Runs, key, sample
from fanin.stream.reference import ROUNDED
from fanin.testing.tolerance import mean_tolerance, rounding_tolerance, std_tolerance

TARGETS: Final[tuple[Target, ...]] = (
    Target("tall.weight", (128, 64), "float32", Fans(64, 128)),
    Target("wide.weight", (48, 160), "float64", Fans(160, 48)),
    Target("conv.weight", (32, 24, 3, 3), "bfloat16", Fans(216, 288)),
    Target("square.weight", (90, 90), "float16", Fans(90, 90)),
    Target("experts.weight", (64, 80), "float8_e4m3fn", Fans(80, 64)),
    Target("wide_range.weight", (80, 64), "float8_e5m2", Fans(64, 80)),
    Target("bias", (8192,), "float32"),
    Target("packed.weight", (48, 16), "float32", Fans(16, 16), Parts(("q", "k", "v"))),
    Target("up.weight", (12, 1, 4, 4), "float64", Fans(4, 16)),
    Target("frames.weight", (17, 1, 30), "float16", Fans(30, 510)),
)
COMPLEX_TARGETS: Final[tuple[Target, ...]] = tuple(
    replace(t, dtype=d) for t, d in zip(TARGETS, list(COMPLEX) * len(TARGETS), strict=False)
)


def assert_conforms(what: Initializer, targets: Sequence[Target] = TARGETS, seed: int = 0) -> None:
    """All promises, on every target that the initializer accepts; it must accept at least one.

    Example:
        >>> from fanin import Normal
        >>> assert_conforms(Normal(std=0.02))
    """
    assert_round_trips(what)
    refusals = [refusal for target in targets if (refusal := _refusal(what, target))]
    if len(refusals) == len(targets):
        raise AssertionError(f"{what!r} refuses every target; expected it to accept one. The last: {refusals[-1:]}")
    for target in targets:
        assert_law_is_measured(what, target, seed)
        assert_structure_holds(what, target, seed)
        assert_draws_are_pure(what, target, seed)


def assert_all_conform(
    table: Mapping[str, Callable[..., Initializer]] = ALL, targets: Sequence[Target] = TARGETS, seed: int = 0
) -> None:
    """`assert_conforms` for each line of a table such as `fanin.initializers.ALL`, built with its defaults."""
    for name, make in table.items():
        try:
            assert_conforms(make(), targets, seed)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


def assert_law_is_measured(what: Initializer, target: Target, seed: int = 0) -> None:
    """The mean, standard deviation and bounds of a draw are those that the law declares.

    The tolerances are 6 standard errors of `target.size` uncorrelated draws. Under `Law.fixed_norm` the sum of squares
    does not vary, and only rounding is tolerated. A target that the law refuses must be refused by the draw too.
    """
    law = _law(what, target)
    if law is None:
        return
    n = target.size
    values = _as_float64(what.draw(target, seed), target.dtype)
    _expect_equal(what, target, "number of values", values.shape, (n,))
    # ‖x + δ‖ ≤ ‖x‖ + ‖δ‖: rounding errors δ_i move a mean or a standard deviation by no more than their own norm.
    rounding = rounding_tolerance(target.dtype, abs(law.mean) + law.std)
    summation = n * 2.0**-53  # relative error of a sum of n terms in float64
    off_mean = 0.0 if law.structure is Structure.FIXED else mean_tolerance(n, law.std)
    size = math.hypot(law.mean, law.std)
    _expect_close(what, target, "mean", values.mean(), law.mean, off_mean + rounding + summation * size)
    relative = summation if law.fixed_norm else std_tolerance(n, law.kurtosis)
    measured = math.sqrt(np.mean(abs(values - law.mean) ** 2))
    _expect_close(what, target, "std", measured, law.std, relative * law.std + rounding)
    reals = np.concatenate([values.real, values.imag + law.mean]) if target.dtype in COMPLEX else values
    for side, extreme, bound in (("below", -reals.min(), -law.low), ("above", reals.max(), law.high)):
        if math.isfinite(bound):
            tolerance = rounding_tolerance(target.dtype, max(abs(bound), abs(law.mean)))
            if extreme > bound + tolerance:
                crossed = f"a value {extreme - bound:.6g} {side} its bounds [{law.low:.6g}, {law.high:.6g}]"
                raise AssertionError(
                    f"{_place(what, target)}: expected no value outside; got {crossed}, {tolerance=:.3g}"
                )


def assert_structure_holds(what: Initializer, target: Target, seed: int = 0) -> None:
    """What the law declares of the tensor as a whole: see `fanin.initializers.Structure`."""
    law = _law(what, target)
    if law is None or not target.size:
        return
    drawn = what.draw(target, seed)
    if law.structure is Structure.FIXED:
        _expect_same(what, target, "under another seed", what.draw(target, seed + 1), drawn)
        _expect_same(what, target, "under another name", what.draw(replace(target, name="other"), seed), drawn)
    if law.structure in _GRAMS:
        gram, norm = _GRAMS[law.structure](_as_float64(drawn, target.dtype).reshape(target.shape))
        expected = norm * law.std**2
        # |Δ(WᵀW)| ≤ 2|W||ΔW| + |ΔW|²: a sum of as many products as the shorter side of W has elements.
        tolerance = 3 * rounding_tolerance(target.dtype, math.sqrt(expected)) * math.sqrt(norm * expected)
        identity = np.zeros_like(gram)
        identity[0] = expected * np.eye(gram.shape[-1])
        farthest = float(np.abs(gram - identity).max(initial=0.0))
        _expect_close(what, target, f"distance from an {law.structure} tensor", farthest, 0.0, tolerance)


def _matrix_gram(w: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], int]:
    """WᵀW for tall, W Wᵀ for wide matrices; it should be max(rows, columns) std² I."""
    w = w.reshape(len(w), -1)
    w = w if w.shape[0] >= w.shape[1] else w.T
    return (w.T @ w)[None], w.shape[0]


def _convolution_gram(w: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], int]:
    """Σ_t W_{t+s}ᵀ W_t for every shift s, 0 first: that of the convolution composed with its transpose."""
    w = w if w.shape[0] >= w.shape[1] else w.swapaxes(0, 1)
    kernel = tuple(range(2, w.ndim))
    room = [2 * n - 1 for n in w.shape[2:]]  # so far apart that no shift comes around
    spectrum = np.fft.fftn(w, room, kernel)
    product = np.einsum("oi...,oj...->...ij", spectrum.conj(), spectrum)
    gram = np.fft.ifftn(product, axes=tuple(range(len(kernel)))).real
    return gram.reshape(-1, w.shape[1], w.shape[1]), w.shape[0] * math.prod(w.shape[2:])


_GRAMS: Final[dict[Structure, Callable[[npt.NDArray[np.float64]], tuple[npt.NDArray[np.float64], int]]]] = {
    Structure.ORTHOGONAL: _matrix_gram,
    Structure.ISOMETRY: _convolution_gram,
}


def assert_draws_are_pure(what: Initializer, target: Target, seed: int = 0) -> None:
    """A value is a function of seed, name and element: the same again, the same in any region, the same in any dtype.

    Another seed or name gives other values, unless the law is constant.
    """
    law = _law(what, target)
    if law is None:
        return
    n = target.size
    whole = what.draw(target, seed)
    _expect_same(what, target, "drawn again", what.draw(target, seed), whole)
    everything, fifth = np.arange(n), n // 5
    runs = Runs(start=fifth // 2, step=fifth, count=min(n, 4), length=fifth // 3)
    for region in (range(n // 3, 2 * n // 3), range(1, n, 7), range(0), range(n - 1, n), runs, everything[::-5]):
        indices = region[:].astype(np.intp) if isinstance(region, Runs) else np.asarray(region, int)
        _expect_same(what, target, f"region {region}", what.draw(target, seed, region), whole[indices])
    single = what.draw(replace(target, dtype="complex64" if target.dtype in COMPLEX else "float32"), seed)
    if target.dtype in ROUNDED:
        _expect_same(what, target, "rounded from float32", whole, ROUNDED[target.dtype](single))
    else:
        rounding = rounding_tolerance("float32", float(np.abs(whole).max(initial=0.0)) + abs(law.mean))
        farthest = float(np.abs(single - whole).max(initial=0.0))
        _expect_close(what, target, "distance from the float32 draw", farthest, 0.0, rounding)
    varies = law.structure is not Structure.FIXED and law.std > rounding_tolerance(target.dtype, abs(law.mean))
    if n > 1 and varies:
        others = {
            "seed": what.draw(target, seed + 1),
            "name": what.draw(replace(target, name=f"{target.name}.other"), seed),
        }
        for changed, other in others.items():
            if np.array_equal(other, whole):
                raise AssertionError(
                    f"{_place(what, target)}: expected other values for another {changed}; got the same"
                )
    sampled = what.sampling(target)
    if sampled is not None and target.dtype not in COMPLEX:
        direct = sample(key(seed, target.name), range(n), sampled, dtype=target.dtype)
        _expect_same(what, target, "drawn by its `sampling`", direct, whole)


def assert_round_trips(what: Initializer) -> None:
    """Plain data and back gives an equal initializer with an equal hash, one that nobody can change."""
    data = to_dict(what)
    try:
        through_json = json.loads(json.dumps(data, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{what!r}: expected fields that JSON can hold; got {data} ({error})") from error
    again = from_dict(through_json, [type(what)])
    if again != what or hash(again) != hash(what):
        raise AssertionError(f"{what!r}: expected an equal one from {through_json}; got {again!r}")
    for name in [*(f.name for f in fields(what)), "anything"]:  # type: ignore[arg-type]  # a dataclass, or this raises
        try:
            setattr(what, name, None)
        except FrozenInstanceError:
            continue
        raise AssertionError(f"{what!r}: expected a frozen dataclass; got one whose {name!r} can be set")
    if not str(what).strip() or "\n" in str(what):
        raise AssertionError(f"{what!r}: expected one line of text for a plan's table; got {str(what)!r}")


def _law(what: Initializer, target: Target) -> Law | None:
    """The declared law; None where there is nothing to draw, and then drawing must be refused with BadInput."""
    law = None if _refusal(what, target) else what.law(target)
    if law is not None and not math.isnan(law.std):
        return law
    try:
        what.draw(target, 0)
    except BadInput:
        return None
    raise AssertionError(f"{_place(what, target)}: expected BadInput from draw, as no law is declared; got values")


def _refusal(what: Initializer, target: Target) -> str:
    """Why the law does not take the target; empty where it does."""
    try:
        what.law(target)
    except BadInput as error:
        return str(error)
    return ""


def _as_float64(values: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
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


def _expect_close(what: Initializer, target: Target, of: str, got: float, expected: float, tolerance: float) -> None:
    if not abs(got - expected) <= tolerance < math.inf:  # NaN and ∞ fail too
        place = _place(what, target)
        raise AssertionError(f"{place}: expected {of} {expected:.6g}; got {got:.6g}, {tolerance=:.3g}")


def _expect_equal(what: Initializer, target: Target, of: str, got: object, expected: object) -> None:
    if got != expected:
        raise AssertionError(f"{_place(what, target)}: expected {of} {expected}; got {got}")


def _expect_same(
    what: Initializer, target: Target, how: str, got: npt.NDArray[Any], expected: npt.NDArray[Any]
) -> None:
    """The same bits: NaNs and the sign of zero count."""
    _expect_equal(what, target, f"dtype, {how},", (got.dtype, got.shape), (expected.dtype, expected.shape))
    if got.tobytes() != expected.tobytes():
        at = int(np.flatnonzero(got != expected)[:1].sum())
        shown = f"{expected[at]} at position {at}; got {got[at]}"
        raise AssertionError(f"{_place(what, target)}, {how}: expected {shown}, tolerance=0")


def _place(what: Initializer, target: Target) -> str:
    return f"{what!r} on {target.name!r} {target.shape} {target.dtype}"
