"""How close predicted signals come to measured ones: small models of many families, one after the other.

    python benchmarks/predict.py                     all of them, within half an hour
    python benchmarks/predict.py --only vit mixer    these
    python benchmarks/predict.py --only vit --nodes  every node, worst first
    python benchmarks/predict.py --write             also the table of docs/signals.md
    python benchmarks/predict.py --only vit --write  also this row of the table; the others stay, each as of its day

Each architecture is traced and predicted once, and measured with several seeds, each with its own weights and inputs:
with 8, and with twice as many, up to 64, or 512 of a scan, as long as the mean over them is not known at nine nodes of
ten (the standard error of ln q over seeds is above 0.05). What is predicted is what the plan, or the constructor,
draws, and not what the first seed's values are. The gradient is that of ⟨output, v⟩/batch with a fixed random v.

A ratio is that of the predicted second moment to the mean of the measured ones. They are measured in double precision,
so that a gradient that is exactly zero, as that of a bias before a batch norm, is seen to be, and left out.
transformers' own models take part where it is installed.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import zoo
from page import Section
from torch.utils import _pytree as pytree

import fanin
from fanin.frameworks.torch import observe, on_meta, trace
from fanin.frameworks.torch.predicting.predict import predict
from fanin.signals import Comparison, Signals, Summary, averaged
from fanin.signals.compare_text import node_cells

PAGE = Path(__file__).parents[1] / "docs" / "signals.md"
SEEDS = 8
KNOWN = 0.05  # standard error of ln q, so that a factor of 1.10 means something
HEAD = (
    *("architecture", "start", "nodes", "sampled", "forward ×", "signed", "backward ×", "signed", "parameters ×"),
    *("first layer ×", "in band", "typical ×", "left out", "trace s", "predict s", "as of"),
    *("draws in band", "seeds"),
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

    @cached_property
    def draws_inside(self) -> tuple[float, float]:
        """Of the nodes of single seeds, the shares of values and of gradients in the bands, which promise 80 %."""
        each = [self.predicted.compare(one) for one in self.measured]
        shares = [(c.values.inside or 0.0, c.gradients.inside or 0.0) for c in each]
        values, gradients = (math.fsum(of) / len(shares) for of in zip(*shares, strict=True))
        return values, gradients

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
        yield str(sum(s.left_out for s in (seen.values, seen.gradients, seen.parameter_gradients)))
        yield from (f"{self.trace_seconds:.1f}", f"{self.predict_seconds:.2f}", date.today().isoformat())
        yield " / ".join(f"{share:.0%}" for share in self.draws_inside) if plain else "–"
        yield str(len(self.measured))


def measure(architecture: zoo.Architecture, seeds: int | None) -> Result:
    """Trace and predict with the first seed's model, measure with all; with as many as it takes, if none are given."""
    model, example = built(architecture, 0, None)
    plan = None if architecture.init == zoo.OWN else fanin.plan(model, *example, recipe=architecture.init)
    model, example = built(architecture, 0, plan)
    start = time.perf_counter()
    traced = trace(model, *example)
    traced_at = time.perf_counter()
    if plan is None:  # seeds differ in what the constructor draws: that is what their mean is of
        with on_meta() as recorded:
            unallocated = architecture.make().to(architecture.dtype)
        recorded_at = time.perf_counter()
        predicted = predict(traced, unallocated, example, recorded)
    else:
        recorded_at = traced_at
        predicted = predict(traced, model, example, plan)
    predicted_at = time.perf_counter()
    measured: list[Signals] = []
    while len(measured) < seeds if seeds else not enough(measured, architecture.most_seeds):
        own, batch = built(architecture, len(measured), plan)
        measured.append(observe(traced, own, batch))
        gc.collect()  # what autograd keeps in cycles is large
    return Result(architecture, predicted, tuple(measured), traced_at - start, predicted_at - recorded_at)


def enough(measured: Sequence[Signals], most: int) -> bool:
    """Whether the mean over seeds is known at nine nodes of ten; asked again when there are twice as many."""
    n = len(measured)
    if n < SEEDS or n & (n - 1):
        return False
    if n >= most:
        return True
    logs = np.array([[m.second_moment for m in one.values.values()] for one in measured])
    logs = np.log(logs[:, (logs > 0).all(0) & np.isfinite(logs).all(0)])
    errors = logs.std(0, ddof=1) / math.sqrt(n)
    return not errors.size or float(np.quantile(errors, 0.9)) <= KNOWN


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


class Row(NamedTuple):
    """A line of the table, read again."""

    name: str
    forward: tuple[float, ...]
    backward: tuple[float, ...]
    parameters: tuple[float, ...]
    first_layer: float
    inside: float
    draws_inside: tuple[float, ...]

    @classmethod
    def of(cls, text: str) -> Row:
        """From its text; a cell without a number is NaN."""
        cells = dict(zip(HEAD, (cell.strip() for cell in text.strip("|\n ").split("|")), strict=False))
        known = {name: tuple(map(_number, cell.split("/"))) for name, cell in cells.items()}
        return cls(
            cells["architecture"],
            *(known[name] for name in ("forward ×", "backward ×", "parameters ×")),
            known["first layer ×"][0],
            known["in band"][0],
            known.get("draws in band", (math.nan,)),
        )


def _number(text: str) -> float:
    try:
        return float(text.strip().rstrip("%"))
    except ValueError:
        return math.nan


BARS: dict[str, Callable[[Row], bool]] = {
    "forward median ≤ 1.02": lambda r: r.forward[0] <= 1.02,
    "forward p90 ≤ 1.10": lambda r: r.forward[1] <= 1.10,
    "backward median ≤ 1.25": lambda r: r.backward[0] <= 1.25,
    "backward p90 ≤ 2": lambda r: r.backward[1] <= 2,
    "parameter gradients median ≤ 1.25": lambda r: r.parameters[0] <= 1.25,
    "parameter gradients p90 ≤ 2": lambda r: r.parameters[1] <= 2,
    "first layer within × 2": lambda r: 0.5 <= r.first_layer <= 2,
}


# A band promises 8 draws of 10. The nodes of a draw go up and down together: of 8 draws, 7 to 10 of 10 may be in it.
BANDS: dict[str, Callable[[Row], bool]] = {
    "without norms: ≥ 90 % of nodes have the mean in the band": lambda r: r.inside >= 90,
    "without norms: ≥ 70 % of values of single draws in the band": lambda r: r.draws_inside[0] >= 70,
    "without norms: ≥ 70 % of gradients of single draws in the band": lambda r: r.draws_inside[-1] >= 70,
}


def overall(rows: list[Row]) -> str:
    """The bars, and how many architectures are above each."""
    normalised = [r for r in rows if zoo.ARCHITECTURES[r.name].normalised]
    plain = [r for r in rows if not zoo.ARCHITECTURES[r.name].normalised]
    lines = ["| with norms | reached | not by |", "|---|---|---|"]
    for bar, reached in BARS.items():
        not_by = [r.name for r in normalised if not reached(r)]
        lines.append(f"| {bar} | {len(normalised) - len(not_by)} of {len(normalised)} | {', '.join(not_by)} |")
    for bar, reached in BANDS.items():
        not_by = [r.name for r in plain if not reached(r)]
        lines.append(f"| {bar} | {len(plain) - len(not_by)} of {len(plain)} | {', '.join(not_by)} |")
    return "\n".join(lines)


def written(page: str) -> dict[str, str]:
    """The lines of the table that the page has, by architecture."""
    found = (text for text in page.splitlines() if text.startswith("| "))
    lines = {text.strip("| ").split(" | ")[0]: text for text in found}
    return {name: text for name, text in lines.items() if name in zoo.ARCHITECTURES}


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
    parser.add_argument("--seeds", type=int, help="measured with so many; otherwise with as many as it takes")
    parser.add_argument("--write", action="store_true", help=f"also docs/{PAGE.name}")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # transformers' advice on faster kernels
    failed: list[str] = []
    section = Section("predict", "numpy", "torch", "transformers", page=PAGE)
    section.say(f"{line(HEAD)}\n|{'---|' * len(HEAD)}")
    partly = asked.write and len(asked.only) < len(zoo.ARCHITECTURES)
    lines: dict[str, str] = {}
    for name in asked.only:
        if name in zoo.MISSING:
            print(f"{name} is left out: {zoo.MISSING[name]}", file=sys.stderr)
            continue
        start = time.perf_counter()
        try:
            result = measure(zoo.ARCHITECTURES[name], asked.seeds)
        except Exception:  # noqa: BLE001  # the others are still to be seen
            failed.append(name)
            traceback.print_exc()
            continue
        lines[name] = line(result.cells())
        print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
        if partly:
            print(lines[name])
        else:
            section.say(lines[name])
        if asked.nodes:
            print(nodes(result))
    if partly:  # read last, so that two that run side by side keep each other's rows
        lines = written(PAGE.read_text(encoding="utf-8")) | lines
    ordered = [lines[name] for name in zoo.ARCHITECTURES if name in lines]
    if partly:
        section.say("\n".join(ordered))
    section.say(f"\n{overall([Row.of(text) for text in ordered])}")
    if failed:
        sys.exit(f"Nothing is written, as {', '.join(failed)} failed.")
    if asked.write:
        section.write()


if __name__ == "__main__":
    main()
