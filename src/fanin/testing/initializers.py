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

from fanin.graph import Fans, Parts
from fanin.initializers import ALL, Initializer, Law, Structure, Target, from_dict, to_dict
from fanin.initializers.base import COMPLEX
from fanin.stream import Runs, key, sample
from fanin.stream.reference import ROUNDED
from fanin.testing.expect import (
    Broken,
    as_float64,
    declared_law,
    expect_close,
    expect_same,
    refusal,
)
from fanin.testing.haar import assert_haar_distributed
from fanin.testing.measured import MEASURED, Sample
from fanin.testing.tolerance import rounding_tolerance

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
SHAPES: Final[tuple[Target, ...]] = (
    Target("none.weight", (0,), "float32", Fans(1, 1)),
    Target("no_rows.weight", (0, 4), "float16", Fans(4, 0)),
    Target("empty.weight", (3, 0, 2), "bfloat16", Fans(0, 6)),
    Target("scalar", (), "float64", Fans(1, 1)),
    Target("one.weight", (1, 1), "float32", Fans(1, 1)),
    Target("volume.weight", (8, 6, 3, 4, 5), "float32", Fans(360, 480)),
    Target("six.weight", (6, 5, 2, 3, 3, 4), "float64", Fans(360, 432)),
)
"""From nothing to six axes."""
EVERYWHERE: Final = (*TARGETS, *SHAPES)
COMPLEX_TARGETS: Final[tuple[Target, ...]] = tuple(
    replace(t, dtype=d) for t, d in zip(TARGETS, list(COMPLEX) * len(TARGETS), strict=False)
)


def assert_conforms(what: Initializer, targets: Sequence[Target] = EVERYWHERE, seed: int = 0) -> None:
    """All promises, on every target that the initializer accepts; it must accept at least one.

    Example:
        >>> from fanin import Normal
        >>> assert_conforms(Normal(std=0.02))
    """
    assert_round_trips(what)
    refusals = [refused for target in targets if (refused := refusal(what, target))]
    if len(refusals) == len(targets):
        raise AssertionError(f"{what!r} refuses every target; expected it to accept one. The last: {refusals[-1:]}")
    for target in targets:
        assert_law_is_measured(what, target, seed)
        assert_structure_holds(what, target, seed)
        assert_draws_are_pure(what, target, seed)
    assert_haar_distributed(what, seed)


def assert_all_conform(
    table: Mapping[str, Callable[..., Initializer]] = ALL, targets: Sequence[Target] = EVERYWHERE, seed: int = 0
) -> None:
    """`assert_conforms` for each line of a table such as `fanin.initializers.ALL`, built with its defaults."""
    for name, make in table.items():
        try:
            assert_conforms(make(), targets, seed)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


def assert_law_is_measured(what: Initializer, target: Target, seed: int = 0) -> None:
    """What the law declares of one element is what a draw shows: every promise of `fanin.testing.measured.MEASURED`.

    The tolerances follow from the number of elements, the kurtosis, and the rounding of the dtype. A target that the
    law refuses must be refused by the draw too.
    """
    sample = Sample.of(what, target, seed)
    if sample is not None:
        for name, promise in MEASURED.items():
            if target.size or name == "number of values":
                promise(sample)


def assert_structure_holds(what: Initializer, target: Target, seed: int = 0) -> None:
    """What the law declares of the tensor as a whole: see `fanin.initializers.Structure`."""
    law = declared_law(what, target)
    if law is None or not target.size:
        return
    drawn = what.draw(target, seed)
    if law.structure is Structure.FIXED:
        expect_same(what, target, "under another seed", what.draw(target, seed + 1), drawn)
        expect_same(what, target, "under another name", what.draw(replace(target, name="other"), seed), drawn)
    if law.structure in _GRAMS:
        gram, norm = _GRAMS[law.structure](as_float64(drawn, target.dtype).reshape(target.shape))
        expected = norm * law.std**2
        # |Δ(WᵀW)| ≤ 2|W||ΔW| + |ΔW|²: a sum of as many products as the shorter side of W has elements.
        tolerance = 3 * rounding_tolerance(target.dtype, math.sqrt(expected)) * math.sqrt(norm * expected)
        identity = np.zeros_like(gram)
        identity[0] = expected * np.eye(gram.shape[-1])
        farthest = float(np.abs(gram - identity).max(initial=0.0))
        expect_close(what, target, f"distance from an {law.structure} tensor", farthest, 0.0, tolerance)


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


def assert_draws_follow_the_seed(what: Initializer, target: Target, seed: int = 0) -> None:
    """The same seed gives the same bits again; another one gives other values, unless the law is constant."""
    law = declared_law(what, target)
    if law is None:
        return
    drawn = what.draw(target, seed)
    expect_same(what, target, "drawn again", what.draw(target, seed), drawn)
    if _varies(law, target):
        _expect_other(what, target, "seed", what.draw(target, seed + 1), drawn)


def _varies(law: Law, target: Target) -> bool:
    """Whether two draws are expected to differ."""
    drawn = law.structure is not Structure.FIXED and law.std > rounding_tolerance(target.dtype, abs(law.mean))
    return drawn and target.size > 1


def _expect_other(
    what: Initializer, target: Target, changed: str, got: npt.NDArray[Any], first: npt.NDArray[Any]
) -> None:
    if np.array_equal(got, first):
        raise Broken(what, target, "other values", f"for another {changed}", "the same")


def assert_draws_are_pure(what: Initializer, target: Target, seed: int = 0) -> None:
    """A value is a function of seed, name and element: the same again, the same in any region, the same in any dtype.

    Another seed or name gives other values, unless the law is constant.
    """
    law = declared_law(what, target)
    if law is None:
        return
    n = target.size
    assert_draws_follow_the_seed(what, target, seed)
    whole = what.draw(target, seed)
    everything, fifth = np.arange(n), n // 5
    runs = Runs(start=fifth // 2, step=fifth, count=min(n, 4), length=fifth // 3)
    for region in (
        range(n // 3, 2 * n // 3),
        range(1, n, 7),
        range(0),
        range(max(n - 1, 0), n),
        runs,
        everything[::-5],
    ):
        indices = region[:].astype(np.intp) if isinstance(region, Runs) else np.asarray(region, int)
        expect_same(what, target, f"region {region}", what.draw(target, seed, region), whole[indices])
    single = what.draw(replace(target, dtype="complex64" if target.dtype in COMPLEX else "float32"), seed)
    if target.dtype in ROUNDED:
        expect_same(what, target, "rounded from float32", whole, ROUNDED[target.dtype](single))
    else:
        rounding = rounding_tolerance("float32", float(np.abs(whole).max(initial=0.0)) + abs(law.mean) + law.std)
        farthest = float(np.abs(single - whole).max(initial=0.0))
        expect_close(what, target, "distance from the float32 draw", farthest, 0.0, rounding)
    if _varies(law, target):
        other = what.draw(replace(target, name=f"{target.name}.other"), seed)
        _expect_other(what, target, "name", other, whole)
    sampled = what.sampling(target)
    if sampled is not None and target.dtype not in COMPLEX:
        direct = sample(key(seed, target.name), range(n), sampled, dtype=target.dtype)
        expect_same(what, target, "drawn by its `sampling`", direct, whole)


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
