"""The GPU's kernels in Triton's interpreter, on tensors of the CPU: `test_gpu_fill.py` runs this file with pytest.

In a process of its own, as TRITON_INTERPRET=1 has to be set before Triton is imported.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fanin.errors import BadInput
from fanin.frameworks.torch.writing import gpu, gpu_kernels
from fanin.stream import key, reference, words
from fanin.stream.distributions import _window
from fanin.stream.laws import NORMAL, TRUNCATED, UNIFORM, Law
from fanin.stream.quantile import TABLE

WEIGHT = key(0, "weight")
CUTS = [(-2.0, 2.0), (-math.inf, 1.0), (0.5, math.inf), (-math.inf, math.inf), (-6.4, 6.4), (5.0, 6.0), (-1e-6, 1e-6)]
BASES = [0, 1 << 32, (1 << 34) + 3, (1 << 63) - 100, (1 << 64) - (1 << 40)]


@pytest.fixture(autouse=True, scope="module")
def _small_tiles() -> Iterator[None]:
    """Small tiles, so that small requests have several: the interpreter takes 30 ms for one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_kernels, "UNITS", 128)
        yield


def truncated(std: float, cuts: tuple[float, float], mean: float) -> Law:
    return (TRUNCATED, *_window(*cuts), std * 2.0**-27, mean)


scales = st.one_of(st.just(0.0), st.floats(1e-42, 100.0))
shifts = st.one_of(st.just(0.0), st.floats(-10.0, 10.0), st.floats(-1e-8, 1e-8))
laws = st.one_of(
    st.builds(lambda bound, shift: (UNIFORM, 0, 0, 0, 0, bound * 2.0**-24, shift), scales, shifts),
    st.builds(lambda std, shift: (NORMAL, 0, 0, 0, 0, std * 2.0**-27, shift), scales, shifts),
    st.builds(truncated, scales, st.sampled_from(CUTS), shifts),
)
starts = st.builds(int.__add__, st.sampled_from(BASES), st.integers(0, 20))
dtypes = st.sampled_from(list(gpu.DTYPES))
quarters = st.booleans()
SMALL: Law = (NORMAL, 0, 0, 0, 0, 0.02 * 2.0**-27, 0.0)


def indices(start: int, step: int, length: int, count: int) -> npt.NDArray[np.uint64]:
    position = np.arange(count, dtype=np.uint64)
    run, rest = np.divmod(position, np.uint64(length))
    return np.uint64(start) + run * np.uint64(step) + rest


def assert_filled(tensor: torch.Tensor, law: Law, elements: npt.NDArray[np.uint64]) -> None:
    expected = reference.values(words(WEIGHT, elements), law, gpu.DTYPES[tensor.dtype])
    drawn = torch.empty(len(elements), dtype=tensor.dtype).copy_(tensor.detach().reshape(-1))
    assert np.array_equal(drawn.view(torch.uint8).numpy(), expected.view(np.uint8))


@pytest.mark.parametrize("dtype", gpu.DTYPES)
@pytest.mark.parametrize(
    "law",
    [
        SMALL,
        (UNIFORM, 0, 0, 0, 0, 0.05 * 2.0**-24, -0.3),
        truncated(0.02, (-2.0, 2.0), 1e-9),
        truncated(1.0, (-1e-6, 1e-6), 0.0),  # one word in fifteen is clamped
    ],
    ids=["normal", "uniform", "truncated", "clamped"],
)
def test_every_law_in_every_dtype(law: Law, dtype: torch.dtype) -> None:
    for start in ((1 << 34) + 3, 0):
        tensor = torch.empty(1000, dtype=dtype)
        gpu.fill_(tensor, WEIGHT, law, start)
        assert_filled(tensor, law, indices(start, 0, 1000, 1000))


@settings(deadline=None, derandomize=True, max_examples=30)
@given(starts, st.integers(1, 700), laws, dtypes)
@example(0, 512, (NORMAL, 0, 0, 0, 0, 1e-6 * 2.0**-27, 0.0), torch.float16)  # subnormal numbers of float16
@example(0, 512, (NORMAL, 0, 0, 0, 0, 1e-44, 0.0), torch.float32)  # and of float32
@example(0, 9, (NORMAL, 0, 0, 0, 0, 0.0, 1 + 2**-8), torch.bfloat16)  # ties, to even: down and up
@example(0, 9, (NORMAL, 0, 0, 0, 0, 0.0, 1 + 3 * 2**-8), torch.bfloat16)
@example(0, 9, (NORMAL, 0, 0, 0, 0, 0.0, 1 + 2**-11), torch.float16)
@example(0, 9, (NORMAL, 0, 0, 0, 0, 0.0, 1 + 3 * 2**-11), torch.float16)
@example((1 << 64) - 9, 9, SMALL, torch.float32)
@example((1 << 33) - 2, 9, SMALL, torch.float32)
def test_a_range(start: int, count: int, law: Law, dtype: torch.dtype) -> None:
    tensor = torch.empty(count, dtype=dtype)
    gpu.fill_(tensor, WEIGHT, law, start)
    assert_filled(tensor, law, indices(start, 0, count, count))


@settings(deadline=None, derandomize=True, max_examples=30)
@given(starts, st.integers(0, 2**33), st.integers(1, 200), st.integers(1, 700), quarters, laws, dtypes)
@example(0, 1 << 35, 300, 600, True, SMALL, torch.float32)  # the second run is in another tile
@example(3, 1, 1, 5, False, SMALL, torch.float32)  # runs that touch
def test_runs(start: int, gap: int, length: int, count: int, whole: bool, law: Law, dtype: torch.dtype) -> None:
    if whole:  # blocks
        start, gap, length, count = start & ~3, gap & ~3, 4 * length, count + 3 & ~3
    tensor = torch.empty(count, dtype=dtype)
    gpu.fill_(tensor, WEIGHT, law, start, step=length + gap, length=length)
    assert_filled(tensor, law, indices(start, length + gap, length, count))


@settings(deadline=None, derandomize=True, max_examples=10)
@given(
    st.permutations(range(4)),
    st.tuples(*[st.integers(1, 5)] * 4),
    st.integers(1, 200),
    st.sampled_from([1, 30, 100, 1 << 26]),
    quarters,
)
def test_strides(order: list[int], shape: tuple[int, ...], length: int, piece: int, whole: bool) -> None:
    """Transposed tensors and every other one's rows, by pieces that start and end inside runs."""
    length, step, start = (4 * length, 4000, 8) if whole else (length, 4001, 7)
    tensor = torch.zeros([2 * n for n in shape], dtype=torch.bfloat16)[tuple(slice(None, n) for n in shape)]
    tensor = tensor.permute(order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "PIECE", piece)
        gpu.fill_(tensor, WEIGHT, SMALL, start, step=step, length=length)
    assert_filled(tensor, SMALL, indices(start, step, length, tensor.numel()))


def test_pieces_that_start_inside_a_block() -> None:
    """Though the runs are of whole blocks."""
    tensor = torch.empty(9, 7).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "PIECE", 9)
        gpu.fill_(tensor, WEIGHT, SMALL, 8, step=40, length=4)
    assert_filled(tensor, SMALL, indices(8, 40, 4, 63))


@pytest.mark.parametrize("count", [511, 512, 513])  # a tile of 128 blocks, less one and more one
@pytest.mark.parametrize(("start", "length"), [(0, None), (3, None), (0, 4), (0, 3)])
def test_nothing_beside_it_is_touched(count: int, start: int, length: int | None) -> None:
    memory = torch.zeros(count + 10)
    gpu.fill_(memory[5:-5], WEIGHT, SMALL, start, step=length or 0, length=length)
    assert not memory[:5].any()
    assert not memory[-5:].any()
    assert_filled(memory[5:-5], SMALL, indices(start, 0, count, count))


def test_long_runs_have_a_launch_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_LONG", 50)
    monkeypatch.setattr(gpu, "PIECE", 90)
    tensor = torch.empty(40, 10).T
    gpu.fill_(tensor, WEIGHT, SMALL, 5, step=1 << 40, length=64)
    assert_filled(tensor, SMALL, indices(5, 1 << 40, 64, 400))
    flat = torch.empty(400)
    gpu.fill_(flat, WEIGHT, SMALL, 5, step=1 << 40, length=64)
    assert_filled(flat, SMALL, indices(5, 1 << 40, 64, 400))


def test_whole_tiles_of_the_real_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_kernels, "UNITS", 512)
    for start in (0, 2):
        tensor = torch.empty(5000)
        gpu.fill_(tensor, WEIGHT, SMALL, start)
        assert_filled(tensor, SMALL, indices(start, 0, 5000, 5000))


def test_a_parameter_and_a_scalar() -> None:
    parameter = torch.nn.Parameter(torch.zeros(5))
    before = parameter._version
    gpu.fill_(parameter, WEIGHT, SMALL)
    assert_filled(parameter, SMALL, indices(0, 0, 5, 5))
    assert parameter._version > before
    scalar = torch.zeros(())
    gpu.fill_(scalar, WEIGHT, SMALL, 3)
    assert_filled(scalar, SMALL, indices(3, 0, 1, 1))
    gpu.fill_(torch.zeros(0), WEIGHT, SMALL)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(BadInput, match=r"expected one of torch.float64, .*, got torch.int64"):
        gpu.fill_(torch.zeros(3, dtype=torch.int64), WEIGHT, SMALL)
    for start, step, length in ((-1, 0, None), ((1 << 64) - 2, 0, None), (0, 1 << 63, 1), (0, -1, 1), (0, 1, 0)):
        with pytest.raises(BadInput, match="expected runs of indices"):
            gpu.fill_(torch.zeros(3), WEIGHT, SMALL, start, step=step, length=length)


class TestProven:
    """What `available` asks of a GPU, asked of the interpreter."""

    @pytest.fixture(autouse=True)
    def _forgotten(self) -> Iterator[None]:
        gpu._proven.cache_clear()
        yield
        gpu._proven.cache_clear()

    @pytest.mark.parametrize("dtype", gpu.DTYPES)
    def test_it_gives_the_bits(self, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gpu_kernels, "UNITS", 512)
        assert gpu._proven(torch.device("cpu"), dtype)

    def test_one_other_bit_is_noticed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table = TABLE.copy()
        table[970] ^= np.uint64(1 << 34)  # of the half of all words that are nearest to the mean
        monkeypatch.setattr(gpu, "_table", lambda device: torch.from_numpy(table.view(np.int64)))
        for _ in range(2):
            assert not gpu._proven(torch.device("cpu"), torch.float32)
        error = capsys.readouterr().err
        assert error.startswith("fanin: Triton's kernel gives other bits on cpu: please report it; values are drawn on")
        assert error.count("\n") == 1

    def test_subnormal_numbers_that_are_dropped_are_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fill = gpu.fill_

        def flushing(tensor: torch.Tensor, *arguments: Any) -> None:
            fill(tensor, *arguments)
            tensor[tensor.abs() < torch.finfo(tensor.dtype).tiny] = 0

        monkeypatch.setattr(gpu, "fill_", flushing)
        assert not gpu._proven(torch.device("cpu"), torch.float32)

    def test_a_failure_is_said(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        def fail(device: torch.device) -> torch.Tensor:
            raise OSError("no C compiler")

        monkeypatch.setattr(gpu, "_table", fail)
        assert not gpu._proven(torch.device("cpu"), torch.float32)
        assert "Triton does not work on cpu (OSError: no C compiler); values are drawn" in capsys.readouterr().err
