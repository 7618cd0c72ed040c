"""How close predicted signals come to measured ones: small models of many families, one after the other.

    python benchmarks/predict.py                     all of them, within ten minutes
    python benchmarks/predict.py --only vit mixer    these
    python benchmarks/predict.py --only vit --nodes  every node, worst first
    python benchmarks/predict.py --write             also the table of docs/signals.md

Each architecture is traced and predicted once, and measured with several seeds, each with its own weights and inputs;
the gradient is that of ⟨output, v⟩/batch with a fixed random v. A ratio is that of the predicted second moment to the
mean of the measured ones. They are measured in double precision, so that a gradient that is exactly zero, as that of a
bias before a batch norm, is seen to be, and left out. transformers' own models take part where it is installed.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import zoo
from page import Section
from torch.utils import _pytree as pytree

import fanin
from fanin.frameworks.torch import observe, trace
from fanin.frameworks.torch.predict import predict
from fanin.signals import Comparison, Signals, Summary, averaged
from fanin.signals.compare_text import node_cells

PAGE = Path(__file__).parents[1] / "docs" / "signals.md"
SEEDS = 8
HEAD = (
    *("architecture", "start", "nodes", "sampled", "forward ×", "signed", "backward ×", "signed", "parameters ×"),
    *("first layer ×", "in band", "typical ×", "zero", "trace s", "predict s"),
)


@dataclass(frozen=True)
class Result:
    """An architecture's prediction beside the mean of its measurements."""

    architecture: zoo.Architecture
    predicted: Signals
    measured: tuple[Signals, ...]
    trace_seconds: float
    predict_seconds: float

    @cached_property
    def comparison(self) -> Comparison:
        return self.predicted.compare(averaged(self.measured))

    @cached_property
    def typical(self) -> Comparison:
        """With exp E ln q for the measured q: without norms, few draws carry the mean."""
        return self.predicted.compare(averaged(self.measured, of_logarithms=True))

    @property
    def sampled(self) -> str:
        """How many nodes had no rule, and which operations they are."""
        graph = self.predicted.graph
        assert graph is not None
        ops = Counter(graph.by_name[name].op for name in self.predicted.sampled)
        return f"{ops.total()}: {', '.join(f'{op} {n}' for op, n in ops.most_common())}" if ops else "0"

    def cells(self) -> Iterator[str]:
        graph, seen = self.predicted.graph, self.comparison
        assert graph is not None
        yield from (self.architecture.name, self.architecture.init, str(len(graph.nodes)), self.sampled)
        for moments in (seen.values, seen.gradients):
            yield from (factors(moments, 3), short(moments.signed))
        yield factors(seen.parameter_gradients, 2)
        yield short(seen.first_layer.ratio) if seen.first_layer else "–"
        plain = not self.architecture.normalised
        yield f"{seen.values.inside:.0%}" if plain and seen.values.inside is not None else "–"
        yield f"{short(self.typical.values.median)}, {short(self.typical.gradients.median)}" if plain else "–"
        yield str(seen.values.zeros + seen.gradients.zeros + seen.parameter_gradients.zeros)
        yield from (f"{self.trace_seconds:.1f}", f"{self.predict_seconds:.2f}")


def measure(architecture: zoo.Architecture, seeds: int) -> Result:
    """Trace and predict with the first seed's model, measure with all."""
    model, example = built(architecture, 0, None)
    plan = None if architecture.init == zoo.OWN else fanin.plan(model, *example, recipe=architecture.init)
    model, example = built(architecture, 0, plan)
    start = time.perf_counter()
    traced = trace(model, *example)
    traced_at = time.perf_counter()
    predicted = predict(traced, model, example, plan)
    predicted_at = time.perf_counter()
    measured = []
    for seed in range(seeds):
        own, batch = built(architecture, seed, plan)
        measured.append(observe(traced, own, batch))
        gc.collect()  # what autograd keeps in cycles is large
    return Result(architecture, predicted, tuple(measured), traced_at - start, predicted_at - traced_at)


def built(architecture: zoo.Architecture, seed: int, plan: fanin.Plan | None) -> tuple[torch.nn.Module, Any]:
    """The model with this seed's weights, and this seed's batch."""
    torch.manual_seed(seed)
    model = architecture.make().to(architecture.dtype)
    if plan is not None:
        fanin.initialize_(model, recipe=plan, seed=seed)
    example = architecture.example(torch.Generator().manual_seed(1000 + seed))
    return model, pytree.tree_map(lambda t: t.to(architecture.dtype) if t.is_floating_point() else t, example)


def factors(seen: Summary, how_many: int) -> str:
    return " / ".join(map(short, (seen.median, seen.p90, seen.largest)[:how_many]))


def short(x: float) -> str:
    return "–" if math.isnan(x) else f"{x:.3f}" if 0.1 <= x < 9.9 else f"{x:.3g}"


def line(cells: Iterator[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def overall(results: list[Result]) -> str:
    """The bars, and how many architectures are above each."""
    bars = {
        "forward median ≤ 1.02": lambda r: r.comparison.values.median <= 1.02,
        "forward p90 ≤ 1.10": lambda r: r.comparison.values.p90 <= 1.10,
        "backward median ≤ 1.25": lambda r: r.comparison.gradients.median <= 1.25,
        "backward p90 ≤ 2": lambda r: r.comparison.gradients.p90 <= 2,
        "parameter gradients median ≤ 1.25": lambda r: r.comparison.parameter_gradients.median <= 1.25,
        "parameter gradients p90 ≤ 2": lambda r: r.comparison.parameter_gradients.p90 <= 2,
        "first layer within × 2": lambda r: r.comparison.first_layer and r.comparison.first_layer.factor <= 2,
    }
    normalised = [r for r in results if r.architecture.normalised]
    plain = [r for r in results if not r.architecture.normalised]
    lines = ["| with norms | reached | not by |", "|---|---|---|"]
    for bar, reached in bars.items():
        not_by = [r.architecture.name for r in normalised if not reached(r)]
        lines.append(f"| {bar} | {len(normalised) - len(not_by)} of {len(normalised)} | {', '.join(not_by)} |")
    outside = [r.architecture.name for r in plain if (r.comparison.values.inside or 0.0) < 0.9]
    bar, reached_by = "without norms: ≥ 90 % of nodes in the band", len(plain) - len(outside)
    lines.append(f"| {bar} | {reached_by} of {len(plain)} | {', '.join(outside)} |")
    return "\n".join(lines)


def nodes(result: Result) -> str:
    """Every node, worst first."""
    seen = result.comparison
    cells = (node_cells(kind, row) for kind, row in seen.worst(10**9))
    return "\n".join("  ".join(each) for each in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=zoo.ARCHITECTURES, default=tuple(zoo.ARCHITECTURES), metavar="NAME"
    )
    parser.add_argument("--nodes", action="store_true", help="every node, worst first")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="measured with so many")
    parser.add_argument("--write", action="store_true", help=f"also docs/{PAGE.name}")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # transformers' advice on faster kernels
    results: list[Result] = []
    failed: list[str] = []
    section = Section("predict", "numpy", "torch", "transformers", page=PAGE)
    section.say(f"{line(HEAD)}\n|{'---|' * len(HEAD)}")
    for name in asked.only:
        if name in zoo.MISSING:
            print(f"{name} is left out: {zoo.MISSING[name]}", file=sys.stderr)
            continue
        start = time.perf_counter()
        try:
            results.append(measure(zoo.ARCHITECTURES[name], asked.seeds))
        except Exception:  # noqa: BLE001  # the others are still to be seen
            failed.append(name)
            traceback.print_exc()
            continue
        section.say(line(results[-1].cells()))
        print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
        if asked.nodes:
            print(nodes(results[-1]))
    section.say(f"\n{overall(results)}")
    if failed:
        sys.exit(f"Nothing is written, as {', '.join(failed)} failed.")
    if asked.write:
        section.write()


if __name__ == "__main__":
    main()
