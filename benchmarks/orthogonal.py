"""How fast orthogonal matrices are drawn: fanin's float64 reflections beside PyTorch's float32 QR, in one run.

    python benchmarks/orthogonal.py

Each time is the median of interleaved rounds on all cores; method="qr", LAPACK's of NumPy in float64, is timed once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from fanin import Orthogonal
from fanin.initializers import Target
from fanin.stream import orthogonal
from fanin.stream.parallel import cores

SHAPES = ((256, 256), (1024, 1024), (2048, 2048), (4096, 1024), (1024, 4096), (2048, 512), (512, 2048))
ROUNDS, SLOW = 7, "qr"


def seconds(contenders: dict[str, Callable[[], object]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat in range(ROUNDS + 1):
        for name, call in contenders.items():
            if repeat and name == SLOW:
                continue
            start = time.perf_counter()
            call()
            if repeat or name == SLOW:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def row(rows: int, columns: int) -> str:
    tensor, target = torch.empty(rows, columns), Target("weight", (rows, columns))
    eighth = range(rows * columns // 8)
    t = seconds(
        {
            "all": lambda: Orthogonal().draw(target, 0),
            "shard": lambda: Orthogonal().draw(target, 0, eighth),
            "qr": lambda: Orthogonal(method="qr").draw(target, 0),
            "torch": lambda: torch.nn.init.orthogonal_(tensor),
        }
    )
    times = " | ".join(f"{t[name] * 1e3:.1f}" for name in ("all", "shard", "qr", "torch"))
    return f"| {rows} × {columns} | {times} | {t['torch'] / t['all']:.2f} |"


def table() -> None:
    torch.set_num_threads(cores())
    orthogonal(0, "weight", 1024, 1024)  # the kernels start before anything is timed
    print("| matrix | all ms | first eighth of the rows ms | method qr ms | torch orthogonal_ ms | lead over torch × |")
    print("|---|---|---|---|---|---|")
    for shape in SHAPES:
        print(row(*shape), flush=True)


if __name__ == "__main__":
    table()
