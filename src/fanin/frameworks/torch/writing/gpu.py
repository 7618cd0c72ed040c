"""Fill a tensor on its own GPU: the values of `fanin.stream`, bit for bit, without a copy from the host."""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec
from typing import Final, NamedTuple

import numpy as np
import torch

from fanin.errors import BadInput
from fanin.stream import key as stream_key
from fanin.stream import reference
from fanin.stream import words as stream_words
from fanin.stream.keys import Key
from fanin.stream.laws import FORMATS, NORMAL, TRUNCATED, Law
from fanin.stream.quantile import TABLE

DEVICES: Final = ("cuda", "xpu")  # AMD's are called "cuda" as well
DTYPES: Final = {getattr(torch, name): FORMATS[name] for name in ("float64", "float32", "float16", "bfloat16")}
PIECE = 1 << 26  # values of a tensor that is not contiguous that are drawn beside it at a time
_LONG = 1 << 30  # elements: runs of that length have a launch each, so that a division in 32 bits does for all others


class _Region(NamedTuple):
    """Position p is the element `start + (p // length)·step + p % length`."""

    start: int
    step: int
    length: int


def available(tensor: torch.Tensor) -> bool:
    """Whether `fill_` can fill it: a GPU's tensor of one of `DTYPES`, where Triton works and gives the stream's bits.

    Triton is tried once a process, device and dtype: it compiles a kernel (once on a machine), whose values are
    compared with the reference. If it fails, as it does where it finds no C compiler, or if the bits differ, a line on
    stderr says so.
    """
    plain = type(tensor) in {torch.Tensor, torch.nn.Parameter}  # a subclass, as DTensor, may have no memory of its own
    if not plain or tensor.device.type not in DEVICES or tensor.dtype not in DTYPES or find_spec("triton") is None:
        return False
    return _proven(tensor.device, tensor.dtype)


@cache
def _proven(device: torch.device, dtype: torch.dtype) -> bool:
    elements, form, key = range(2**34, 2**34 + 10_000), DTYPES[dtype], stream_key(0, "weight")
    try:
        for unit in (0.02 * 2.0**-27, 1e-44):  # the latter's products are subnormal numbers, which some devices drop
            law: Law = (NORMAL, 0, 0, 0, 0, unit, 0.0)
            drawn = torch.empty(len(elements), dtype=dtype, device=device)
            fill_(drawn, key, law, elements.start)
            expected = reference.values(stream_words(key, elements), law, form).tobytes()
            if drawn.view(torch.uint8).cpu().numpy().tobytes() != expected:
                return _declined(f"Triton's kernel gives other bits on {device}: please report it")
    except Exception as error:  # noqa: BLE001  # Triton, its compilers and drivers raise all kinds
        return _declined(f"Triton does not work on {device} ({type(error).__name__}: {error})")
    return True


def _declined(reason: str) -> bool:
    if sys.stderr is not None:
        sys.stderr.write(f"fanin: {reason}; values are drawn on the CPU and copied: the same, but slower.\n")
    return False


def fill_(
    tensor: torch.Tensor, key: Key, law: Law, start: int = 0, *, step: int = 0, length: int | None = None
) -> None:
    """Write the values of a law into a tensor of any strides, on its device, in the order of its current stream.

    In row-major order they are those of the elements start, start + 1, …; or, with a length, of runs: position p has
    element `start + (p // length)·step + p % length`. The host does not wait for the device. A contiguous tensor is
    written in place, another through contiguous pieces of `PIECE` values, or of one row if a row is larger.

    Args:
        tensor: of one of `DTYPES`, on a GPU.
        key: the stream.
        law: what the words become; values that do not fit in the dtype must have been refused.
        start: the element of the first value.
        step: from the first element of a run to that of the next.
        length: of a run; None for one run.

    Raises:
        BadInput: the dtype is another one, or the elements are not in [0, 2^64).

    Reference: the law and its bits are those of `fanin.stream`; Triton: Tillet, Kung, Cox 2019, "Triton: an
        intermediate language and compiler for tiled neural network computations".
    """
    if tensor.numel() == 0:
        return
    region = _Region(start, step, tensor.numel() if length is None else length)
    _check(tensor, region)
    with torch.no_grad(), torch.accelerator.device_index(tensor.device.index):
        if tensor.is_contiguous():
            _fill(tensor, key, law, region, 0)
            if not tensor.is_inference():
                torch.autograd.graph.increment_version(tensor)  # so that autograd knows of the write
            return
        row = tensor[0].numel()
        rows = max(1, PIECE // row)
        for first in range(0, len(tensor), rows):
            piece = tensor[first : first + rows]
            beside = torch.empty(piece.shape, dtype=tensor.dtype, device=tensor.device)
            _fill(beside, key, law, region, first * row)
            piece.copy_(beside)


def _check(tensor: torch.Tensor, region: _Region) -> None:
    if tensor.dtype not in DTYPES:
        raise BadInput(f"tensor: expected one of {', '.join(map(str, DTYPES))}, got {tensor.dtype}.")
    start, step, length = region
    if length < 1 or step < 0 or start < 0 or start + (tensor.numel() - 1) // length * step + length > 1 << 64:
        raise BadInput(f"elements: expected runs of indices in [0, 2**64), got {start=}, {step=}, {length=}.")


def _fill(values: torch.Tensor, key: Key, law: Law, region: _Region, begin: int) -> None:
    """The values of positions from `begin` on, into contiguous memory."""
    flat = values.detach().view(-1)
    run, rest = divmod(begin, region.length)
    region = region._replace(start=region.start + run * region.step)
    if rest + len(flat) <= region.length:
        _launch(flat, key, law, _Region(region.start + rest, 0, 0), 0)
    elif region.length < _LONG:
        _launch(flat, key, law, region, rest)
    else:
        for here in range(-rest, len(flat), region.length):
            piece = flat[max(here, 0) : here + region.length]
            _fill(piece, key, law, region, max(here, 0) + rest)


def _launch(flat: torch.Tensor, key: Key, law: Law, region: _Region, rest: int) -> None:
    """One launch, from `rest` elements into a run on; a length of 0 stands for one run without an end."""
    from fanin.frameworks.torch.writing import gpu_kernels

    start, step, length = region
    skipped = 0 if length else start & 3
    whole = not length or (start | step | length | rest) & 3 == 0
    units = len(flat)
    if whole:  # by blocks of four elements: an element alone costs a block of its own
        start, step, length, rest = start >> 2, step >> 2, length >> 2, rest >> 2
        units = -(-(units + skipped) // 4)
    kind, first, within, lowest, highest, unit, shift = law
    if kind == TRUNCATED and within == 1 << 32:
        kind, within = NORMAL, 0  # the cuts lie beyond what any word stands for
    wide = flat.dtype == torch.float64
    gpu_kernels.fill[(-(-units // gpu_kernels.UNITS),)](
        flat.view(torch.int16) if flat.dtype == torch.bfloat16 else flat,
        _table(flat.device),
        len(flat),
        *(_int32(word) for word in (*key, skipped, *_two(start), *_two(step), length, rest)),
        *(_int32(word) for word in (first, within, lowest, highest, *_pattern(unit, wide), *_pattern(shift, wide), 0)),
        KIND=kind,
        SHIFTED=shift != 0,
        WHOLE=whole,
        RUNS=length > 0,
        SKIPS=skipped > 0,
        TILE=gpu_kernels.UNITS,
        num_warps=gpu_kernels.WARPS,
        enable_fp_fusion=False,
    )


@cache
def _table(device: torch.device) -> torch.Tensor:
    return torch.from_numpy(TABLE.view(np.int64)).to(device)


def _pattern(value: float, wide: bool) -> tuple[int, int]:
    """The words of a number, rounded to float32 unless it is wide."""
    return _two(int(np.float64(value).view(np.uint64)) if wide else int(np.float32(value).view(np.uint32)))


def _two(number: int) -> tuple[int, int]:
    return number & 0xFFFFFFFF, number >> 32


def _int32(word: int) -> int:
    """The integer in [−2^31, 2^31) with the same 32 bits: of one type to Triton, whatever its value."""
    return (word + 0x80000000 & 0xFFFFFFFF) - 0x80000000
