"""How fast tensors fill: fanin's stream beside the generators of PyTorch, NumPy and JAX, on this machine, in one run.

    python benchmarks/fill.py              within ten minutes
    python benchmarks/fill.py --quick      about a minute: fewer sizes
    python benchmarks/fill.py --write      also docs/benchmarks.md and its plot (which needs matplotlib)

Each cell is the median of several rounds; in a round every contender fills once, in any order, so that what else the
machine does falls on all of them alike. Memory is allocated and touched before, but for JAX, whose arrays are new ones.
JAX takes part where it is installed. Whole models: `models.py`; orthogonal matrices: `orthogonal.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from page import PAGE, Seconds, Section, arguments, medians

from fanin.stream import key, normal, truncated_normal, uniform
from fanin.stream.parallel import cores

try:
    import jax
except ImportError:
    jax = None

PLOT = PAGE.parent / "images" / "fill.svg"

Contenders = dict[str, Callable[[], object]]

KEY = key(0, "weight")
LAWS = {"normal": "normal_", "truncated": "trunc_normal_", "uniform": "uniform_"}  # ours, and torch.nn.init's
COLUMNS = {
    "torch normal_": "normal",
    "torch trunc_normal_": "truncated",
    "torch uniform_": "uniform",
    "NumPy normal": "normal",
    "NumPy uniform": "uniform",
    "JAX normal": "normal",
    "JAX truncated": "truncated",
    "JAX uniform": "uniform",
}
"""Of the table: the peer, and the law of ours that it is compared with."""
WHAT_IS_SHOWN = """\
Ratios above 1 are fanin's lead over the peer: medians of interleaved rounds, memory touched before. The
last column is the time of a normal draw, in times of writing as much memory; `trunc_normal_` is timed up to
2^22 values.
"""


def seconds(size: int, dtype: str) -> Seconds:
    rounds = 3 if size > 1 << 24 else 5 if size == 1 << 24 else 9
    return medians(contenders(size, dtype), rounds, calls=max(1, (1 << 16) // size))


def contenders(size: int, dtype: str) -> Contenders:
    tensor = torch.zeros(size, dtype=getattr(torch, dtype))
    out = as_array(torch.zeros_like(tensor))
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
        single, generator = np.zeros(size, np.float32), np.random.default_rng(0)
        everyone["NumPy normal"] = lambda: generator.standard_normal(size, np.float32, single)
        everyone["NumPy uniform"] = lambda: generator.random(size, np.float32, single)
    return everyone | (in_jax(size, dtype) if jax else {})


def in_jax(size: int, dtype: str) -> Contenders:
    seed, shape, form = jax.random.key(0), (size,), jax.numpy.dtype(dtype)
    compiled: dict[str, Any] = {
        "JAX normal": jax.jit(lambda seed: 0.02 * jax.random.normal(seed, shape, form)),
        "JAX truncated": jax.jit(lambda seed: 0.02 * jax.random.truncated_normal(seed, -2.0, 2.0, shape, form)),
        "JAX uniform": jax.jit(lambda seed: jax.random.uniform(seed, shape, form, -0.05, 0.05)),
    }
    return {name: lambda draw=draw: draw(seed).block_until_ready() for name, draw in compiled.items()}


def as_array(tensor: torch.Tensor) -> Any:
    return tensor.view(torch.uint16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def head() -> str:
    names = ["dtype", "values", *(f"{law} G/s" for law in LAWS), *(f"{peer} ×" for peer in COLUMNS), "memory fill ×"]
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def row(dtype: str, size: int, t: Seconds) -> str:
    rates = [f"{size / t[law] / 1e9:.2f}" for law in LAWS]
    ratios = [f"{t[peer] / t[law]:.1f}" if peer in t else "–" for peer, law in COLUMNS.items()]
    ratios.append(f"{t['normal'] / t['memory']:.1f}")
    return f"| {' | '.join([dtype, power(size), *rates, *ratios])} |"


def power(size: int) -> str:
    return f"2^{size.bit_length() - 1}"


def draw_plot(measured: dict[tuple[str, int], Seconds]) -> None:
    """fanin's lead over torch.nn.init, by size."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "fanin"  # the same drawing is the same file
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for color, (law, peer) in enumerate(LAWS.items()):
        for dtype, style in (("float32", "-o"), ("bfloat16", "--s")):
            points = {
                size: t[f"torch {peer}"] / t[law]
                for (form, size), t in measured.items()
                if form == dtype and f"torch {peer}" in t
            }
            axes.plot(list(points), list(points.values()), style, color=f"C{color}", label=f"{peer} {dtype}", ms=4)
    axes.axhline(1.0, color="gray", lw=0.8)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=10)
    axes.set_yticks([1, 2, 5, 10, 20, 50], labels=["1", "2", "5", "10", "20", "50"])
    axes.set(xlabel="values in the tensor", ylabel="time of torch.nn.init / time of fanin")
    axes.set_title(f"Filling a tensor on {cores()} cores", fontsize=11)
    axes.legend(fontsize=8, ncols=3)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer sizes")
    asked = parser.parse_args()
    torch.set_num_threads(cores())
    section = Section("fill", "numba", "numpy", "torch", "jax")
    section.say(WHAT_IS_SHOWN)
    for dtype in ("float32", "bfloat16"):  # the kernels start before anything is timed
        normal(KEY, range(1 << 23), 0.02, dtype=dtype)
    measured: dict[tuple[str, int], Seconds] = {}
    section.say(head())
    for dtype in ("float32", "bfloat16"):
        for exponent in (10, 14, 18, 20, 22, 24) if asked.quick else range(10, 29, 2):
            size = 1 << exponent
            measured[dtype, size] = seconds(size, dtype)
            section.say(row(dtype, size, measured[dtype, size]))
    if asked.write:
        draw_plot(measured)
        section.say("\n![fanin's lead over torch.nn.init, by size of the tensor](images/fill.svg)")
        section.write()


if __name__ == "__main__":
    main()
