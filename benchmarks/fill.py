"""How fast tensors fill: fanin's stream beside PyTorch's and NumPy's generators, on this machine, in one run.

    python benchmarks/fill.py            a few minutes
    python benchmarks/fill.py --quick    half a minute, fewer sizes

Each cell is the median of several rounds; in a round every contender fills once, so that what else the machine does
falls on all of them alike. Memory is allocated and touched before.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import torch

from fanin.stream import key, normal, truncated_normal, uniform
from fanin.stream.parallel import cores

Contenders = dict[str, Callable[[], object]]

KEY = key(0, "weight")
SMALL_TENSORS, SMALL_SIZE = 10_000, 64


def seconds(contenders: Contenders, size: int) -> dict[str, float]:
    """Median time of one call of each, interleaved."""
    rounds, calls = (5 if size >= 1 << 24 else 9), max(1, (1 << 16) // size)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat in range(rounds + 1):
        for name, call in contenders.items():
            start = time.perf_counter()
            for _ in range(calls):
                call()
            if repeat:  # the first round warms up
                times[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(values) for name, values in times.items()}


def contenders(size: int, dtype: str) -> Contenders:
    tensor = torch.empty(size, dtype=getattr(torch, dtype))
    ours = torch.empty_like(tensor)
    out = ours.view(torch.uint16).numpy() if dtype == "bfloat16" else ours.numpy()
    single, generator = np.empty(size, np.float32), np.random.default_rng(0)
    indices = range(size)
    everyone: Contenders = {
        "normal": lambda: normal(KEY, indices, 0.02, dtype=dtype, out=out),
        "truncated": lambda: truncated_normal(KEY, indices, 0.02, -2.0, 2.0, dtype=dtype, out=out),
        "uniform": lambda: uniform(KEY, indices, 0.05, dtype=dtype, out=out),
        "torch normal_": lambda: torch.nn.init.normal_(tensor, 0.0, 0.02),
        "torch uniform_": lambda: torch.nn.init.uniform_(tensor, -0.05, 0.05),
        "memory": lambda: out.fill(0),
    }
    if size <= 1 << 22:  # beyond, a call takes seconds, and its time is proportional to the size
        everyone["torch trunc_normal_"] = lambda: torch.nn.init.trunc_normal_(tensor, 0.0, 0.02, -0.04, 0.04)
    if dtype == "float32":
        everyone["numpy standard_normal"] = lambda: generator.standard_normal(size, np.float32, single)
        everyone["numpy random"] = lambda: generator.random(size, np.float32, single)
    return everyone


def small_tensors() -> dict[str, float]:
    """A model of 10,000 tensors of 64 values; fanin's time includes a key for each name."""
    tensors = [torch.empty(SMALL_SIZE) for _ in range(SMALL_TENSORS)]
    outs = [torch.empty(SMALL_SIZE).numpy() for _ in range(SMALL_TENSORS)]
    names = [f"layers.{i}.norm.weight" for i in range(SMALL_TENSORS)]
    indices = range(SMALL_SIZE)

    def ours() -> None:
        for name, out in zip(names, outs, strict=True):
            normal(key(0, name), indices, 0.02, out=out)

    def theirs() -> None:
        for tensor in tensors:
            torch.nn.init.normal_(tensor, 0.0, 0.02)

    return seconds({"normal": ours, "torch normal_": theirs}, 1 << 16)


def row(size: int, dtype: str) -> str:
    t = seconds(contenders(size, dtype), size)
    rates = [f"{size / t[law] / 1e9:.2f}" for law in ("normal", "truncated", "uniform")]
    pairs = [
        ("torch normal_", "normal"),
        ("torch trunc_normal_", "truncated"),
        ("torch uniform_", "uniform"),
        ("numpy standard_normal", "normal"),
        ("numpy random", "uniform"),
    ]
    ratios = [f"{t.get(other, math.nan) / t[law]:.1f}" for other, law in pairs] + [f"{t['normal'] / t['memory']:.1f}"]
    return " | ".join(["", dtype, f"2^{size.bit_length() - 1}", *rates, *ratios, ""]).strip().replace("nan", "–")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(cores())
    for dtype in ("float32", "bfloat16"):  # the kernels start before anything is timed
        normal(KEY, range(1 << 23), 0.02, dtype=dtype)
    print(f"{processor()}, {cores()} cores of {os.cpu_count()}, {platform.system()} {platform.machine()}")
    versions = f"NumPy {np.__version__}, numba {numba.__version__}, torch {torch.__version__}"
    print(f"Python {platform.python_version()}, {versions}")
    print(f"python {' '.join(sys.argv)}\n")
    print("| dtype | values | normal G/s | truncated G/s | uniform G/s ", end="")
    print("| normal_ × | trunc_normal_ × | uniform_ × | NumPy normal × | NumPy uniform × | time of a memory fill × |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for dtype in ("float32", "bfloat16"):
        for power in (10, 14, 18, 22, 26) if quick else range(10, 27, 2):
            print(row(1 << power, dtype), flush=True)
    t = small_tensors()
    print(
        f"\n{SMALL_TENSORS:,} tensors of {SMALL_SIZE} values: {t['normal'] / SMALL_TENSORS * 1e6:.1f} µs each, ", end=""
    )
    print(f"torch normal_ {t['torch normal_'] / SMALL_TENSORS * 1e6:.1f} µs: {t['torch normal_'] / t['normal']:.2f} ×")


if __name__ == "__main__":
    main()
