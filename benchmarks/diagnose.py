"""How often the checks see what is planted, cry wolf over what is well, and repair what they name.

    python benchmarks/diagnose.py                    all parts
    python benchmarks/diagnose.py --only faults      planted faults: recall, precision, repairs
    python benchmarks/diagnose.py --only wolf        well-started models of many families: false alarms
    python benchmarks/diagnose.py --only cost        seconds beside the plain forward and backward pass
    python benchmarks/diagnose.py --only cost --device cuda    the same on a GPU
    python benchmarks/diagnose.py --write            also the tables of docs/diagnosis.md

Faults are those of `fanin.testing.zoo`. Well started are its healthy twins, and every architecture of
`benchmarks/zoo` and of fanin's own nets after recipe "auto" and, where norms hold the signal, as its original starts.
A note is no alarm. Repairs are those of `fanin.repair_`. A fault counts as repaired if no error or warning of its code
is left, and one that is a note from the start, which `repair_` leaves unless its code is named, if with its code named
it is gone.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import zoo
from page import Section
from torch.utils import _pytree as pytree

import fanin
from fanin.diagnosis import CHECKS, Diagnosis, Severity
from fanin.experiments.data import DATA
from fanin.experiments.nets import NETS
from fanin.frameworks.torch import observe, predict, trace
from fanin.testing.zoo import ZOO, Case, Situation

PAGE = Path(__file__).parents[1] / "docs" / "diagnosis.md"
PARTS = ("faults", "wolf", "cost")
SINGLE = torch.float32
OWN_NETS = {  # net: data
    "autoencoder": "reconstruction",
    "mixture_of_experts": "text",
    "perceptron": "digits",
    "plain_cnn": "pictures",
    "recurrent": "copy",
    "residual_cnn": "pictures",
    "transformer": "text",
}
ENCODERS = ((12, 256, 8, 128), (12, 512, 8, 256))  # blocks, width, samples, tokens: where operations outweigh calls
COSTLY = ("resnet-18", "vit", "gpt-pre-6", "llama", "mlp-relu-50")


def alarms(found: Diagnosis) -> set[str]:
    """Codes of warnings and errors."""
    return {f.code for f in found if f.severity is not Severity.NOTE}


def examined(there: Situation) -> Diagnosis:
    return fanin.diagnose(there.model, *there.example, loss=there.loss, **there.options)


@dataclass(frozen=True)
class Outcome:
    """What was found in one case of the zoo, and what `repair_` left of it."""

    case: Case
    codes: frozenset[str]  # notes as well
    alarms: frozenset[str]
    left: frozenset[str] | None  # codes that the repair did not repair; None where nothing was planted

    @property
    def seen(self) -> frozenset[str]:
        return self.case.faults & self.codes

    @property
    def false(self) -> frozenset[str]:
        return self.alarms - self.case.faults - self.case.consequences


def outcome(case: Case) -> Outcome:
    there = case.build()
    before = examined(there)
    codes = frozenset(f.code for f in before)
    left = left_of(there, case.faults & codes - alarms(before)) if case.faults else None
    return Outcome(case, codes, frozenset(alarms(before)), left)


def left_of(there: Situation, notes: frozenset[str]) -> frozenset[str]:
    """Errors and warnings that a repair leaves, and those of the notes that are there after one that names them."""
    after = fanin.repair_(there.model, *there.example, loss=there.loss, **there.options).after
    if notes := notes & {f.code for f in after}:
        options = {**there.options, "select": sorted(notes)}
        notes &= {f.code for f in fanin.repair_(there.model, *there.example, loss=there.loss, **options).after}
    return frozenset(alarms(after)) | notes


def faults(section: Section) -> None:
    """Planted faults: a row a check, and the sums."""
    outcomes = [outcome(case) for case in counted("faults", ZOO.values(), len(ZOO))]
    section.say("| check | planted | found | repaired | could be | false alarms |\n|---|---|---|---|---|---|")
    for code, check in CHECKS.items():
        planted = [o for o in outcomes if code in o.case.faults]
        found = [o for o in planted if code in o.codes]
        curable = [o for o in found if not o.case.hopeless and check.remedy]
        repaired = [o for o in curable if code not in (o.left or ())]
        wrong = sum(code in o.false for o in outcomes)
        section.say(
            f"| {code} {check.name} | {len(planted)} | {len(found)} | {len(repaired)} | {len(curable)} | {wrong} |"
        )
    planted, found = (sum(len(part(o)) for o in outcomes) for part in (lambda o: o.case.faults, lambda o: o.seen))
    true = sum(len(o.alarms - o.false) for o in outcomes)
    false = sum(len(o.false) for o in outcomes)
    healthy = [o for o in outcomes if o.case.healthy]
    faulty = [o for o in outcomes if not o.case.healthy]
    curable = [o for o in faulty if not o.case.hopeless]
    well = [o for o in curable if not (o.case.faults & (o.left or frozenset()))]
    section.say(
        f"\n{len(outcomes)} pairs of model and start, {len(faulty)} faulty and {len(healthy)} healthy: recall "
        f"{found / planted:.3f} ({found} of {planted} planted), precision {true / (true + false):.3f} "
        f"({false} false of {true + false} alarms), repaired {len(well)} of the {len(curable)} faulty models that a "
        "start can help."
    )
    for o in outcomes:
        if o.case.faults - o.codes or o.false:
            missed, wrong = sorted(o.case.faults - o.codes), sorted(o.false)
            section.say(f"- {o.case.name}: missed {', '.join(missed) or 'none'}; false {', '.join(wrong) or 'none'}")
        elif o.left is not None and not o.case.hopeless and o.case.faults & o.left:
            section.say(f"- {o.case.name}: not repaired, {', '.join(sorted(o.case.faults & o.left))} left")


def wolf(section: Section) -> None:
    """Well-started models: those with an alarm are named."""
    starts = list(well_started())
    wrong: dict[str, str] = {}
    for name, build in counted("wolf", starts, len(starts)):
        try:
            found = examined(build())
        except fanin.FaninError:
            traceback.print_exc()
            wrong[name] = "raised"
            continue
        if alarms(found):
            wrong[name] = "; ".join(f"{f.code} {f.what}" for f in found if f.severity is not Severity.NOTE)
        gc.collect()
    section.say(f"\n{len(starts)} well-started models, {len(wrong)} with a false alarm.")
    for name, what in wrong.items():
        section.say(f"- {name}: {what}")


def well_started() -> Iterator[tuple[str, Callable[[], Situation]]]:
    """By name: healthy twins, own nets, and architectures in their own start and in that of "auto"."""
    yield from ((case.name, case.build) for case in ZOO.values() if case.healthy)
    yield from ((f"{net}, auto", own_net(net, data)) for net, data in OWN_NETS.items())
    for name, architecture in zoo.ARCHITECTURES.items():
        if name not in zoo.MISSING:
            if architecture.normalised:
                yield f"{name}, {architecture.init}", started(architecture, None)
            yield f"{name}, auto", started(architecture, "auto")


def own_net(net: str, data: str) -> Callable[[], Situation]:
    def build() -> Situation:
        torch.manual_seed(0)
        task = DATA[data]()
        model = NETS[net](task)
        x = torch.from_numpy(task.inputs[:32])
        fanin.initialize_(model, x, seed=0)
        return Situation(model, (x,))

    return build


def started(architecture: zoo.Architecture, recipe: str | None) -> Callable[[], Situation]:
    def build() -> Situation:
        torch.manual_seed(0)
        model = architecture.make().to(SINGLE)
        example = architecture.example(torch.Generator().manual_seed(1000))
        example = pytree.tree_map(lambda t: t.to(SINGLE) if t.is_floating_point() else t, example)
        chosen = recipe or (None if architecture.init == zoo.OWN else architecture.init)
        if chosen:
            fanin.initialize_(model, *example, recipe=chosen, seed=0)
        return Situation(model, example)

    return build


def cost(section: Section, device: str = "cpu") -> None:
    """Seconds of the measured pass and of all of `diagnose`, over those of the plain forward and backward pass."""
    if device != "cpu":
        section.say(f"\non {torch.cuda.get_device_name(device)}")
    section.say(
        "\n| model | plain pass ms | measured × | with a closer look × | trace s | predict s | all of diagnose s |"
    )
    section.say("|---|---|---|---|---|---|---|")
    models = {name: started(zoo.ARCHITECTURES[name], None) for name in COSTLY}
    models |= {f"encoder, {n} × {w}, {b} × {t} tokens": encoder(n, w, b, t) for n, w, b, t in ENCODERS}
    for name, build in counted("cost", models.items(), len(models)):
        there = build()
        model, example = there.model.to(device), pytree.tree_map(lambda t: t.to(device), there.example)

        def plain(model: Any = model, example: Any = example) -> None:
            result = model(*example)
            leaves = [t for t in pytree.tree_leaves(result) if isinstance(t, torch.Tensor) and t.requires_grad]
            torch.autograd.grad(
                sum(t.float().square().mean() for t in leaves), list(model.parameters()), allow_unused=True
            )

        traced, tracing = timed(lambda m=model, x=example: trace(m, *x))
        seen, predicting = timed(lambda m=model, x=example, t=traced: predict(t, m, x))
        passes = {
            "plain": plain,
            "measured": lambda m=model, x=example, t=traced: observe(t, m, x),
            "closer": lambda m=model, x=example, t=traced, s=seen: observe(t, m, x, None, s.axes),
        }
        for call in passes.values():
            call()  # the first may compile, or fill a cache
        rounds = [{key: timed(call)[1] for key, call in passes.items()} for _ in range(7)]  # in turn: loads change
        took = {key: statistics.median(times[key] for times in rounds) for key in passes}
        _, whole = timed(lambda m=model, x=example: fanin.diagnose(m, *x))
        section.say(
            f"| {name} | {1000 * took['plain']:.0f} | {took['measured'] / took['plain']:.1f} | "
            f"{took['closer'] / took['plain']:.1f} | {tracing:.1f} | {predicting:.2f} | {whole:.1f} |"
        )


def encoder(blocks: int, width: int, samples: int, tokens: int) -> Callable[[], Situation]:
    def build() -> Situation:
        torch.manual_seed(0)
        block = torch.nn.TransformerEncoderLayer(
            width, width // 64, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        model = torch.nn.TransformerEncoder(block, blocks, enable_nested_tensor=False)
        return Situation(model, (torch.randn(samples, tokens, width),))

    return build


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def counted(part: str, things: Any, count: int) -> Iterator[Any]:
    """With a line of progress on a terminal."""
    for i, thing in enumerate(things, 1):
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{part}: {i} of {count} ")
        yield thing
    if sys.stderr.isatty():
        sys.stderr.write("\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--write", action="store_true", help="also docs/diagnosis.md")
    parser.add_argument("--device", default="cpu", help="on which the cost is measured: cpu or cuda")
    chosen = parser.parse_args()
    section = Section("diagnose", "torch", "transformers", page=PAGE)
    for part in PARTS:
        if part in chosen.only:
            {"faults": faults, "wolf": wolf, "cost": partial(cost, device=chosen.device)}[part](section)
    if chosen.write:
        section.write()


if __name__ == "__main__":
    main()
