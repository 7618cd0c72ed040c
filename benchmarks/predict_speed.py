"""How long predictions take: nets of 500 layers and a GPT of 24 blocks, beside a plain pass of the same net.

    python benchmarks/predict_speed.py              about three minutes
    python benchmarks/predict_speed.py --layers 50  about half a minute
    python benchmarks/predict_speed.py --write      also the table in docs/signals.md

Seconds are of the CPU, on one thread, and medians of interleaved rounds: what else the machine does hardly counts. A
neighbour on the same core does: it makes all of them up to twice as long, and leaves their ratios.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from page import Section, arguments
from predict_large import GPT
from torch import nn

from fanin.frameworks.torch import predict, trace
from fanin.frameworks.torch.model.call import call_of
from fanin.frameworks.torch.predicting.known import known_tensors
from fanin.frameworks.torch.predicting.loops import loop_runner
from fanin.frameworks.torch.predicting.seeds import of_fixed_noise
from fanin.frameworks.torch.predicting.surrogate import sampler
from fanin.frameworks.torch.predicting.weights import weights_of
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.plans import Plan, make_plan
from fanin.signals.propagate import backward, forward
from fanin.signals.rules import RULES

PAGE = Path(__file__).parents[1] / "docs" / "signals.md"
ROUNDS, WIDTH, BATCH = 9, 256, 32
TRACE, PROPAGATE = 10.0, 0.3  # seconds that are aimed at
HEAD = "| net | operations | trace s | propagate s | predict s | forward and backward s | predict over pass × |"


class Net(NamedTuple):
    """What is predicted: a name, the model, its input, and how it starts."""

    name: str
    model: nn.Module
    x: torch.Tensor
    recipe: str


def nets(layers: int) -> Iterator[Net]:
    """Of each kind one; 24 blocks are to 500 layers as `layers` asks."""
    for activation, recipe in ((nn.ReLU, "he"), (nn.Tanh, "lecun"), (nn.GELU, "he"), (nn.SiLU, "he")):
        stack = [m for _ in range(layers) for m in (nn.Linear(WIDTH, WIDTH), activation())]
        yield Net(f"{layers} × Linear, {activation.__name__}", nn.Sequential(*stack), torch.randn(BATCH, WIDTH), recipe)
    blocks = max(24 * layers // 500, 1)
    model = GPT(width=WIDTH, layers=blocks, heads=4, vocabulary=1000, length=64)
    yield Net(f"GPT, {blocks} blocks", model, torch.randint(0, 1000, (2, 64)), "normal(std=0.02)")


def propagated(traced: Traced, net: Net, plan: Plan) -> Callable[[], None]:
    """Both sweeps over the graph, and nothing else."""
    weights = weights_of(traced.graph, net.model, plan)
    known = {**weights, **known_tensors(traced, call_of(net.model, (net.x,)))}

    def sweep() -> None:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = forward(traced.graph, known, RULES, sampler(traced), run_loop=loop_runner(traced))
            backward(traced.graph, found, of_fixed_noise(traced, found, known)[1])

    return sweep


def passed(net: Net) -> Callable[[], None]:
    """A plain forward and backward pass."""

    def run() -> None:
        net.model(net.x).sum().backward()
        net.model.zero_grad()

    return run


def seconds(call: Callable[[], object]) -> float:
    """Of the CPU."""
    start = time.process_time()
    call()
    return time.process_time() - start


def row(net: Net) -> tuple[str, float, float]:
    """A line of the table, with the seconds that have a bar: tracing, and propagating."""
    start = time.process_time()
    traced = trace(net.model, net.x)
    tracing = time.process_time() - start
    plan = make_plan(traced.graph, net.recipe)
    contenders: dict[str, Callable[[], Any]] = {
        "propagate": propagated(traced, net, plan),
        "predict": lambda: predict(traced, net.model, (net.x,), plan),
        "pass": passed(net),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order, shuffle = list(contenders), random.Random(0).shuffle
    for _ in range(ROUNDS):
        shuffle(order)
        for name in order:
            times[name].append(seconds(contenders[name]))
    t = {name: statistics.median(found) for name, found in times.items()}
    cells = (
        *(net.name, len(traced.graph.nodes), f"{tracing:.1f}"),
        *(f"{t[name]:.2f}" for name in contenders),
        f"{t['predict'] / t['pass']:.1f}",
    )
    return f"| {' | '.join(map(str, cells))} |", tracing, t["propagate"]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--layers", type=int, default=500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    section = Section("predict_speed", "numpy", "torch", page=PAGE)
    section.say(f"{HEAD}\n|{'---|' * (HEAD.count('|') - 1)}")
    tracing, propagating = [], []
    for net in nets(given.layers):
        line, traced_in, propagated_in = row(net)
        tracing.append(traced_in)
        propagating.append(propagated_in)
        section.say(line)
    section.say(
        f"\nAimed at, for 500 layers: tracing within {TRACE:g} s, reached by {sum(t <= TRACE for t in tracing)} of "
        f"{len(tracing)}; propagating within {PROPAGATE:g} s, reached by "
        f"{sum(t <= PROPAGATE for t in propagating)} of {len(propagating)}."
    )
    if given.write:
        section.write()


if __name__ == "__main__":
    main()
