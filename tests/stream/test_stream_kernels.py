"""The kernels give the bits of the NumPy reference: every law and dtype, any range, any number of threads."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

import fanin
from fanin.errors import BadInput
from fanin.stream import Elements, Runs, destination, kernels, key, normal, parallel, truncated_normal, uniform, words
from fanin.stream import draw as module
from fanin.stream.laws import FORMATS, WORDS

WEIGHT = key(0, "weight")
NEVER_STARTED = {"_kernels": {}, "_drawn_without": Counter[str](), "WORTH_A_START": 10**18}

Draw = Callable[[Any], npt.NDArray[Any]]

starts = st.one_of(
    st.integers(0, 2**64 - 10_000),
    *(st.integers(edge - 9000, edge + 9) for edge in (9000, 2**32, 2**34, 2**63, 2**64 - 10_000)),
)
counts = st.one_of(st.integers(0, 20), st.integers(2030, 2070), st.integers(0, 9000))
scales = st.one_of(st.just(0.0), st.floats(1e-42, 60.0))  # no value is too large for any format
shifts = st.one_of(st.just(0.0), st.floats(-10.0, 10.0), st.floats(-1e-8, 1e-8))
dtypes = st.sampled_from(sorted(FORMATS))


@pytest.fixture(autouse=True)
def _started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_kernels", {form.name: kernels.ready(form) for form in (WORDS, *FORMATS.values())})


def by_reference(draw: Draw, elements: Elements) -> npt.NDArray[Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in NEVER_STARTED.items():
            patch.setattr(module, name, value)
        return draw(elements)


def assert_same_bits(draw: Draw, elements: Elements) -> None:
    drawn, expected = draw(elements), by_reference(draw, elements)
    assert drawn.dtype == expected.dtype
    assert np.array_equal(drawn.view(np.uint8), expected.view(np.uint8))


@settings(deadline=None, derandomize=True, max_examples=200)
@given(starts, counts, st.integers(0, 2**128 - 1))
@example(2**64 - 7, 7, 0)
def test_words(start: int, count: int, seed: int) -> None:
    assert_same_bits(lambda elements: words(key(seed, "weight"), elements), range(start, start + count))


@settings(deadline=None, derandomize=True, max_examples=300)
@given(starts, counts, scales, shifts, dtypes)
@example(0, 9000, 1e-6, 0.0, "float16")  # subnormal numbers of float16
@example(0, 9000, 1e-4, 1e-5, "float16")
def test_normal(start: int, count: int, std: float, mean: float, dtype: str) -> None:
    assert_same_bits(
        lambda elements: normal(WEIGHT, elements, std, mean=mean, dtype=dtype), range(start, start + count)
    )


@settings(deadline=None, derandomize=True, max_examples=300)
@given(starts, counts, scales, shifts, dtypes)
def test_uniform(start: int, count: int, bound: float, center: float, dtype: str) -> None:
    assert_same_bits(
        lambda elements: uniform(WEIGHT, elements, bound, center=center, dtype=dtype), range(start, start + count)
    )


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    starts,
    counts,
    scales,
    st.sampled_from([(-2.0, 2.0), (-math.inf, 1.0), (0.5, math.inf), (-math.inf, math.inf), (5.0, 6.0), (0.0, 1e-4)]),
    shifts,
    dtypes,
)
def test_truncated_normal(
    start: int, count: int, std: float, cuts: tuple[float, float], mean: float, dtype: str
) -> None:
    assert_same_bits(
        lambda elements: truncated_normal(WEIGHT, elements, std, *cuts, mean=mean, dtype=dtype),
        range(start, start + count),
    )


@st.composite
def runs(draw: st.DrawFn) -> Runs:
    """Short and long ones, within a block, over many tiles, with and without a gap, up to the last element of all."""
    length = draw(st.one_of(st.integers(1, 70), st.integers(180, 200), st.integers(2030, 2070)))
    count = draw(st.integers(0, max(1, 9000 // length)))
    gap = draw(st.one_of(st.integers(0, 9), st.integers(0, 10_000), st.integers(2**31, 2**33)))
    reach = max(count - 1, 0) * (length + gap) + length
    start = draw(st.one_of(st.integers(0, 9), st.integers(0, 2**64 - reach), st.just(2**64 - reach)))
    return Runs(start, length + gap, count, length)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(runs(), dtypes, st.sampled_from([0.0, 0.1]))
@example(Runs(2**64 - 1, 1, 1, 1), "float32", 0.0)
@example(Runs(0, 2**63, 2, 1), "float32", 0.0)
@example(Runs(5, 0, 1, 7), "float32", 0.0)
@example(Runs(5, 3, 0, 3), "float32", 0.0)
def test_runs(elements: Runs, dtype: str, mean: float) -> None:
    assert_same_bits(lambda e: words(WEIGHT, e), elements)
    assert_same_bits(lambda e: normal(WEIGHT, e, 0.5, mean=mean, dtype=dtype), elements)
    assert np.array_equal(words(WEIGHT, elements), by_reference(lambda e: words(WEIGHT, e), elements[:]))


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.integers(0, 2**63), st.integers(2, 2**40), st.integers(0, 3000))
def test_ranges_with_a_step(start: int, step: int, count: int) -> None:
    assert_same_bits(lambda e: words(WEIGHT, e), range(start, start + count * step, step))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_runs_on_several_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "SHARE", 1 << 10)
    monkeypatch.setattr(parallel, "cores", lambda: threads)
    for length in (1, 3, 64, 1000, 20_000):
        assert_same_bits(lambda e: normal(WEIGHT, e, 0.02), Runs(7, length + 5, 60_000 // length, length))


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("start", [0, 3, 2**34 - 5])
def test_a_million_values(dtype: str, start: int) -> None:
    """Every octave of the quantile but the last ones, every lane at the edges of tiles and pieces."""
    elements = range(start, start + 1_000_003)
    assert_same_bits(lambda e: normal(WEIGHT, e, 1.0, dtype=dtype), elements)
    assert_same_bits(lambda e: truncated_normal(WEIGHT, e, 0.02, -2.0, 2.0, dtype=dtype), elements)


def test_other_order_of_lanes_would_be_noticed() -> None:
    expected = by_reference(lambda e: words(WEIGHT, e), range(10_000))
    assert not np.array_equal(words(WEIGHT, range(10_000)), expected.reshape(-1, 4)[:, ::-1].ravel())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module._kernels, "words", lanes_swapped)
        with pytest.raises(AssertionError):
            assert_same_bits(lambda e: words(WEIGHT, e), range(10_000))


def lanes_swapped(*arguments: Any) -> None:
    """A mutant: lanes 0 and 1 change places."""
    kernels.fill(*arguments)
    out = arguments[-1]
    whole = out[: len(out) // 4 * 4].reshape(-1, 4)
    whole[:, [0, 1]] = whole[:, [1, 0]]


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_the_number_of_threads_changes_no_bit(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "SHARE", 1 << 10)
    monkeypatch.setattr(module, "SHARE", 1 << 10)
    monkeypatch.setattr(parallel, "cores", lambda: threads)
    for elements in (range(100_000), range(2**32 - 50_001, 2**32 + 50_001)):
        assert_same_bits(lambda e: normal(WEIGHT, e, 0.02), elements)
        assert_same_bits(lambda e: words(WEIGHT, e), elements)


@dataclass(frozen=True)
class Layout:
    """Axes of an array: their order in memory, and how far apart and in which direction each is walked."""

    shape: tuple[int, ...]
    order: tuple[int, ...]
    steps: tuple[int, ...]

    def of(self, dtype: np.dtype[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Zeros, and a view of some of them that has the shape."""
        in_memory = [self.shape[axis] * abs(self.steps[axis]) for axis in self.order]
        memory = np.zeros(in_memory, dtype)
        view = memory.transpose(np.argsort(self.order)) if self.order else memory
        steps: tuple[Any, ...] = (*(slice(None, None, step) for step in self.steps), ...)
        return memory, view[steps]


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    sizes = st.lists(st.one_of(st.integers(0, 5), st.integers(6, 20), st.integers(60, 90)), max_size=3)
    shape = draw(sizes.filter(lambda shape: math.prod(shape) <= 1 << 12))  # some sixty tiles
    shape += draw(st.lists(st.integers(1, 3), max_size=1))
    order = draw(st.permutations(range(len(shape))))
    steps = draw(st.lists(st.sampled_from([1, 1, 2, -1, -3]), min_size=len(shape), max_size=len(shape)))
    return Layout(tuple(shape), tuple(order), tuple(steps))


class TestOut:
    @pytest.mark.parametrize("dtype", FORMATS)
    @pytest.mark.parametrize("elements", [range(5, 3005), range(0, 9000, 3), np.arange(3000)[::-1]], ids=str)
    def test_it_is_filled_and_returned(self, dtype: str, elements: Any) -> None:
        expected = normal(WEIGHT, elements, 0.02, dtype=dtype)
        out = np.zeros_like(expected)
        assert normal(WEIGHT, elements, 0.02, dtype=dtype, out=out) is out
        assert np.array_equal(out, expected)

    def test_nothing_beside_it_is_touched(self) -> None:
        memory = np.zeros(3001, np.uint32)
        words(WEIGHT, range(7, 2998), out=memory[5:-5])
        assert np.array_equal(memory[5:-5], words(WEIGHT, range(7, 2998)))
        assert not memory[:5].any()
        assert not memory[-5:].any()

    @settings(deadline=None, derandomize=True, max_examples=300)
    @given(layouts(), st.sampled_from(["float32", "bfloat16", "float16", "float8_e5m2"]), st.booleans(), st.booleans())
    def test_any_layout_is_filled_in_row_major_order(
        self, layout: Layout, dtype: str, started: bool, in_runs: bool
    ) -> None:
        """Tiles of 64 elements, squares of 4: what lies between the elements of `out` stays as it was."""
        memory, out = layout.of(FORMATS[dtype].stored)
        elements: Elements = range(5, 5 + out.size)
        if in_runs and out.ndim and out.size:
            elements = Runs(5, out.shape[-1] + 3, out.size // out.shape[-1], out.shape[-1])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(destination, "TILE", 64)
            patch.setattr(destination, "SIDE", 4)
            if not started:
                for name, value in NEVER_STARTED.items():
                    patch.setattr(module, name, value)
            assert normal(WEIGHT, elements, 0.02, dtype=dtype, out=out) is out
        assert np.array_equal(out, normal(WEIGHT, elements, 0.02, dtype=dtype).reshape(out.shape))
        out[...] = 0
        assert not memory.any()

    def test_an_index_list_fills_any_layout(self) -> None:
        elements = np.arange(200_000)[::-1].reshape(400, 500)
        out = np.zeros((500, 400), np.float32).T
        assert normal(WEIGHT, elements, 0.02, out=out) is out
        assert np.array_equal(out, normal(WEIGHT, elements, 0.02))

    def test_memory_that_is_not_aligned(self) -> None:
        out = np.zeros(4001, np.uint8)[1:].view(np.float32)
        normal(WEIGHT, range(1000), 0.02, out=out)
        assert np.array_equal(out, normal(WEIGHT, range(1000), 0.02))

    @pytest.mark.parametrize("shape", [(700, 900), (3, 200_000), (200_000, 3), (30, 40, 500)], ids=str)
    def test_large_transposed_arrays(self, shape: tuple[int, ...]) -> None:
        out = np.zeros(shape[::-1], np.float32).T
        normal(WEIGHT, range(3, 3 + out.size), 0.02, out=out)
        assert np.array_equal(out.ravel(), normal(WEIGHT, range(3, 3 + out.size), 0.02))

    def test_a_mapped_file_is_filled(self, tmp_path: Path) -> None:
        for dtype in ("float32", "float16"):
            out = np.memmap(tmp_path / dtype, dtype, "w+", shape=(3000,))
            assert normal(WEIGHT, range(3000), 0.02, dtype=dtype, out=out) is out
            assert np.array_equal(out, normal(WEIGHT, range(3000), 0.02, dtype=dtype))

    @pytest.mark.parametrize("elements", [range(10), np.arange(10)], ids=["range", "list"])
    @pytest.mark.parametrize(
        ("out", "message"),
        [
            (np.zeros(10), r"expected an array of float32 with 10 elements, got float64 of shape \(10,\)"),
            (np.zeros(9, np.float32), r"got float32 of shape \(9,\)"),
            (np.zeros((2, 6), np.float32), r"got float32 of shape \(2, 6\)"),
            ([0.0] * 10, r"got \[0.0, "),
            (np.zeros(10, ">f4"), "got >f4 of shape"),
            (np.frombuffer(bytes(40), np.float32), "expected an array that can be written, got one that is read-only"),
            (np.broadcast_to(np.float32(0), 10), "expected an array that can be written"),
            (as_strided(np.zeros(1, np.float32), (10,), (0,)), r"a place of their own, got shape \(10,\) with strides"),
            (as_strided(np.zeros(6, np.float32), (5, 2), (4, 4)), "expected elements that each have a place"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, elements: Any, out: Any, message: str) -> None:
        with pytest.raises(BadInput, match=message):
            uniform(WEIGHT, elements, 0.05, out=out)


class TestStart:
    @pytest.fixture(autouse=True)
    def _never_started(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_kernels", {})
        monkeypatch.setattr(module, "_drawn_without", Counter())
        monkeypatch.setattr(module, "_said", set())

    def test_a_kernel_starts_when_enough_was_asked_of_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "WORTH_A_START", 5 * module.CALL)
        for _ in range(4):
            normal(WEIGHT, range(64), 0.02)
            uniform(WEIGHT, range(64), 0.02, dtype="bfloat16")
        assert not module._kernels
        normal(WEIGHT, range(module.CALL), 0.02)
        assert module._kernels.keys() == {"float32"}

    def test_a_slow_start_is_said_once(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(module, "PATIENCE_IN_SECONDS", 0.0)
        for _ in range(2):
            with module.said_if_slow(cached=True):
                deadline = time.monotonic() + 10
                while not module._said and time.monotonic() < deadline:
                    time.sleep(0.001)
        assert capsys.readouterr().err == "fanin: preparing its kernels (compiled once on this machine) …\n"

    def test_a_fast_start_says_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        with module.said_if_slow(cached=True):
            pass
        assert capsys.readouterr().err == ""

    def test_without_numba_the_reference_draws(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        expected = normal(WEIGHT, range(1000), 0.02)
        monkeypatch.setattr(module, "WORTH_A_START", 1)
        monkeypatch.delattr(fanin.stream, "kernels")
        monkeypatch.setitem(sys.modules, "fanin.stream.kernels", None)
        for _ in range(2):
            assert np.array_equal(normal(WEIGHT, range(1000), 0.02), expected)
        assert capsys.readouterr().err.count("numba cannot be imported") == 1


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ | environment
    )


@pytest.mark.parametrize(
    "code",
    [
        "import fanin",
        "import sys, fanin.cli; sys.argv = ['fanin', '--help']\ntry: fanin.cli.main()\nexcept SystemExit: pass",
        "from fanin.stream import *; normal(key(0, 'weight'), range(100), 0.02)",
    ],
)
def test_numba_is_not_imported_before_it_is_worth_it(code: str) -> None:
    ended = run(f"{code}\nimport sys\nsys.exit('numba' in sys.modules)")
    assert ended.returncode == 0, ended.stderr


START = """
from fanin.stream import draw, key, kernels, normal
draw.WORTH_A_START, draw.PATIENCE_IN_SECONDS = 1, 0.001
print(kernels.cached(), normal(key(0, "weight"), range(3), 0.02), *draw._kernels)
"""


@pytest.fixture(scope="module")
def first_starts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """Two processes that compile, side by side, as it takes them seconds: one with a cache, one that cannot have one.

    Directories cannot be made that would lie in a file: it holds for root as well.
    """
    cache, copy = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("copy")
    shutil.copytree(Path(fanin.__file__).parent, copy / "fanin", ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / "fanin" / "stream" / "__pycache__"
    file.write_text("not a directory")
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"), str(file))
    with ThreadPoolExecutor(2) as pool:
        cached = pool.submit(run, START, NUMBA_CACHE_DIR=str(cache))
        not_cached = pool.submit(run, START, PYTHONPATH=str(copy), **nowhere)
        return cache, cached.result(), not_cached.result()


def test_a_cache_serves_the_next_process(first_starts: tuple[Path, Any, Any]) -> None:
    cache, first, _ = first_starts
    assert first.stdout == "True [-0.0082145  -0.01846856 -0.03745741] float32\n", first.stderr
    assert first.stderr == "fanin: preparing its kernels (compiled once on this machine) …\n"
    written = set(cache.rglob("*.nbc"))
    assert written
    assert run(START, NUMBA_CACHE_DIR=str(cache)).stdout == first.stdout
    assert set(cache.rglob("*.nbc")) == written


def test_no_cache_can_be_written(first_starts: tuple[Path, Any, Any]) -> None:
    _, _, ended = first_starts
    assert ended.stdout == "False [-0.0082145  -0.01846856 -0.03745741] float32\n", ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "set NUMBA_CACHE_DIR" in ended.stderr
