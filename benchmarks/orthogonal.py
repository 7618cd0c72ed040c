"""How fast orthogonal matrices are drawn: fanin's float64 reflections beside PyTorch's float32 QR, in one run.

    python benchmarks/orthogonal.py             half a minute
    python benchmarks/orthogonal.py --write     also docs/benchmarks.md

Each time is the median of interleaved rounds on all cores.
"""

from __future__ import annotations

import torch
from page import Section, arguments, medians

from fanin import Orthogonal
from fanin.initializers import Target
from fanin.stream import orthogonal
from fanin.stream.parallel import cores

SHAPES = ((256, 256), (1024, 1024), (2048, 2048), (4096, 1024), (1024, 4096), (2048, 512), (512, 2048))
ROUNDS = 7
WHAT_IS_SHOWN = """\
Medians of interleaved rounds on all cores. fanin computes in float64, rounds once and returns new float32 memory;
`method="qr"` is LAPACK's through NumPy, in float64; `orthogonal_` LAPACK's through torch, in float32, in place.
"""


def row(rows: int, columns: int) -> str:
    tensor, target = torch.empty(rows, columns), Target("weight", (rows, columns))
    eighth = range(rows * columns // 8)
    t = medians(
        {
            "all": lambda: Orthogonal().draw(target, 0),
            "shard": lambda: Orthogonal().draw(target, 0, eighth),
            "qr": lambda: Orthogonal(method="qr").draw(target, 0),
            "torch": lambda: torch.nn.init.orthogonal_(tensor),
        },
        ROUNDS,
    )
    times = " | ".join(f"{t[name] * 1e3:.1f}" for name in ("all", "shard", "qr", "torch"))
    return f"| {rows} × {columns} | {times} | {t['torch'] / t['all']:.2f} |"


def main() -> None:
    asked = arguments(__doc__).parse_args()
    torch.set_num_threads(cores())
    section = Section("orthogonal", "numba", "numpy", "torch")
    section.say(WHAT_IS_SHOWN)
    orthogonal(0, "weight", 1024, 1024)  # the kernels start before anything is timed
    section.say(
        "| matrix | all ms | first eighth of the rows ms | method qr ms | torch orthogonal_ ms | lead over torch |"
    )
    section.say("|---|---|---|---|---|---|")
    for shape in SHAPES:
        section.say(row(*shape))
    if asked.write:
        section.write()


if __name__ == "__main__":
    main()
