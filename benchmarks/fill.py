"""How fast tensors fill: fanin's stream beside the generators of PyTorch, NumPy and JAX, on this machine, in one run.

    python benchmarks/fill.py              within ten minutes
    python benchmarks/fill.py --quick      about a minute: fewer sizes, no large model
    python benchmarks/fill.py --write      also docs/benchmarks.md and its plot (which needs matplotlib)

Each cell is the median of several rounds; in a round every contender fills once, in any order, so that what else the
machine does falls on all of them alike. Memory is allocated and touched before, but for JAX, whose arrays are new ones.
JAX takes part where it is installed.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import shapes
import torch

from fanin.stream import key, normal, truncated_normal, uniform
from fanin.stream.parallel import cores

try:
    import jax
except ImportError:
    jax = None

ROOT = Path(__file__).parents[1]
PAGE, PLOT = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "images" / "fill.svg"
START, END = "<!-- fill: written by benchmarks/fill.py --write -->", "<!-- end of fill -->"
SKELETON = f"""# Benchmarks

## Filling tensors
{START}
{END}

## Orthogonal matrices
"""

Contenders = dict[str, Callable[[], object]]
Seconds = dict[str, float]

KEY = key(0, "weight")
SMALL_TENSORS, SMALL_SIZE = 10_000, 64
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


def seconds(contenders: Contenders, size: int, rounds: int | None = None) -> Seconds:
    """Median time of one call of each, interleaved; in each round in another order, as one disturbs the next."""
    rounds, calls = rounds or (5 if size >= 1 << 24 else 9), max(1, (1 << 16) // size)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order, shuffle = list(contenders), random.Random(0).shuffle
    warm = rounds > 1  # by a round that does not count, unless one takes a minute
    for repeat in range(rounds + warm):
        shuffle(order)
        for name in order:
            call = contenders[name]
            start = time.perf_counter()
            for _ in range(calls):
                call()
            if repeat >= warm:
                times[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(values) for name, values in times.items()}


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


def small_tensors() -> Seconds:
    """A model of 10,000 tensors of 64 values; fanin's time includes a key for each name."""
    tensors = [torch.zeros(SMALL_SIZE) for _ in range(SMALL_TENSORS)]
    outs = [torch.zeros(SMALL_SIZE).numpy() for _ in range(SMALL_TENSORS)]
    names = [f"layers.{i}.norm.weight" for i in range(SMALL_TENSORS)]
    indices = range(SMALL_SIZE)

    def ours() -> None:
        for name, out in zip(names, outs, strict=True):
            normal(key(0, name), indices, 0.02, out=out)

    def theirs() -> None:
        for tensor in tensors:
            torch.nn.init.normal_(tensor, 0.0, 0.02)

    return seconds({"ours": ours, "theirs": theirs}, 1 << 16)


def whole_model(weights: list[shapes.Weight], dtype: str, rounds: int) -> Seconds:
    """Every parameter of a model, one after the other in the same memory, by both."""
    memory = torch.zeros(max(math.prod(w.shape) for w in weights), dtype=getattr(torch, dtype))
    tensors = [memory[: math.prod(w.shape)].view(w.shape) for w in weights]
    outs = [as_array(memory)[: math.prod(w.shape)] for w in weights]

    def ours() -> None:
        for (name, _, law, scale), tensor, out in zip(weights, tensors, outs, strict=True):
            if law == "constant":
                tensor.fill_(scale)
            else:
                draw = normal if law == "normal" else uniform
                draw(key(0, name), range(out.size), scale, dtype=dtype, out=out)

    def theirs() -> None:
        for (_, _, law, scale), tensor in zip(weights, tensors, strict=True):
            if law == "constant":
                torch.nn.init.constant_(tensor, scale)
            elif law == "normal":
                torch.nn.init.normal_(tensor, 0.0, scale)
            else:
                torch.nn.init.uniform_(tensor, -scale, scale)

    return seconds({"ours": ours, "theirs": theirs}, 1 << 28, rounds)


def machine() -> str:
    """The processor, the versions, and the command."""
    peers = f"NumPy {np.__version__}, torch {torch.__version__}" + (f", jax {jax.__version__}" if jax else "")
    return (
        f"{processor()}, {cores()} cores of {os.cpu_count()}, {platform.system()} {platform.machine()}\n"
        f"Python {platform.python_version()}, numba {numba.__version__}, {peers}; torch on {torch.get_num_threads()} "
        f"threads\nload average at the start {os.getloadavg()[0]:.1f}\n"
        f"python benchmarks/{' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}"
    )


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


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


def write_page(text: str) -> None:
    """Its own part of the page; the others stay as they are."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else SKELETON
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{START}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer sizes, no large model")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and its plot")
    arguments = parser.parse_args()
    quick = arguments.quick
    torch.set_num_threads(cores())
    said: list[str] = []

    def say(line: str) -> None:
        print(line, flush=True)
        said.append(line)

    say(f"```\n{machine()}\n```\n")
    say("Ratios above 1 are fanin's lead over the peer: medians of interleaved rounds, memory touched before. The")
    say("last column is the time of a normal draw, in times of writing as much memory; `trunc_normal_` is timed up to")
    say("2^22 values.\n")
    for dtype in ("float32", "bfloat16"):  # the kernels start before anything is timed
        normal(KEY, range(1 << 23), 0.02, dtype=dtype)
    measured: dict[tuple[str, int], Seconds] = {}
    say(head())
    for dtype in ("float32", "bfloat16"):
        for exponent in (10, 14, 18, 20, 22, 24) if quick else range(10, 29, 2):
            size = 1 << exponent
            measured[dtype, size] = seconds(contenders(size, dtype), size, 3 if size > 1 << 24 else None)
            say(row(dtype, size, measured[dtype, size]))
    if arguments.write:
        draw_plot(measured)
        say("\n![fanin's lead over torch.nn.init, by size of the tensor](images/fill.svg)")
    say("\n| whole model | parameters | dtype | fanin | torch.nn.init | ratio |\n|---|---|---|---|---|---|")
    t = small_tensors()
    count = f"{SMALL_TENSORS:,} tensors of {SMALL_SIZE} values | {SMALL_TENSORS * SMALL_SIZE:,}"
    say(f"| {count} | float32 | {t['ours']:.3f} s | {t['theirs']:.3f} s | {t['theirs'] / t['ours']:.2f} |")
    models = [("GPT-2 small", shapes.gpt2_small(), "float32", 3), ("ResNet-50", shapes.resnet50(), "float32", 5)]
    if not quick:
        models.append(("Llama 3 8B", shapes.llama_8b(), "bfloat16", 1))
    for name, weights, dtype, rounds in models:
        t = whole_model(weights, dtype, rounds)
        count = f"{sum(math.prod(w.shape) for w in weights):,}"
        say(f"| {name} | {count} | {dtype} | {t['ours']:.2f} s | {t['theirs']:.2f} s | {t['theirs'] / t['ours']:.2f} |")
    say("\nA small tensor's time is that of its key, of the checks and of the call, in Python. The models are filled")
    say("one parameter after the other in the same memory, with the laws of transformers and torchvision.")
    if arguments.write:
        write_page("\n".join(said))


if __name__ == "__main__":
    main()
