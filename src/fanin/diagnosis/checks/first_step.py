"""With this optimizer and learning rate, the first step is out of proportion to the weights.

## What it does
Puts the root mean square of the first step of each weight beside that of the weight itself: learning rate × gradient
for SGD, the learning rate itself for optimizers that go by the gradient's sign at first, such as Adam. What an
optimizer does is seen by letting one of its class take a step on a few numbers. Biases, norms, tables and weights that
start at 0 are not judged; a weight that starts smaller than 1/√fan_in is held against that.

## Why it is bad
A step as large as the weight replaces the start instead of improving it, and what a layer computes changes by much more
than its weights do: all elements of a row move for the same samples. A step below a millionth of every weight learns
nothing in any number of steps that one can wait for, and one that is less than half a unit in the last place of the
weight is rounded away: bfloat16 has three digits.

## Example
    torch.optim.Adam(model.parameters(), lr=0.1)     # weights of standard deviation 0.05

## Remedy
Another learning rate, or a warmup that begins with a smaller one; for weights in half precision a copy in float32, as
torch.amp keeps it. No start helps.

## Known exceptions
A learning rate that a schedule has only begun to raise is not too small. Steps that are fitted to each weight, as LAMB
and Muon fit theirs, are not judged.

## Source
Karpathy 2022, nn-zero-to-hero, "building makemore 3": about 10⁻³ in the middle of training. You et al. 2017 (LARS),
section 4, for the ratio itself.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.graph import Parameter
from fanin.graph.paths import WEIGHTS
from fanin.signals.circumstances import Training
from fanin.signals.model import RANDOM_COTANGENT

# 162 runs: perceptrons of 2, 4 and 8 layers of 64 and 256 units, 200 batches of digits, Adam, RMSprop and SGD at
# nine rates. With a largest ratio below 0.25 the second loss is at most 6 times the first, and all learn whose rate is
# not too small; up to 1 it is up to 360 times the first, and 5 of 18 end above a loss of 1; beyond 2, 35 of 40 do.
LARGE: Final = 0.3
WHOLE: Final = 1.0
SMALL: Final = 1e-6  # a million steps in one direction for one weight
# A value moves if the step is over half a unit in its last place, between ε/4 and ε/2 of it. At ε/32 of the root mean
# square those of a normal law that move are the one in ten nearest to 0.
LOST: Final = 1 / 32
EPSILONS: Final = {"float16": 2**-10, "bfloat16": 2**-7, "float32": 2**-23, "float64": 2**-52}


class Step(NamedTuple):
    """Of one weight: the first step's root mean square over the weight's."""

    parameter: Parameter
    ratio: float
    rate: float


def find(check: Check, evidence: Evidence) -> Finding | None:
    """Too large for the weight where it is largest, or too small for all of them."""
    training = evidence.training
    if training is None or training.fitted or not evidence.measured:
        return None
    if not training.signed and evidence.signals.loss_name == RANDOM_COTANGENT:
        return None  # the gradient is not that of a task
    steps = sorted(_steps(evidence, training), key=lambda step: step.ratio)
    if not steps:
        return None
    largest = steps[-1]
    if largest.ratio > LARGE:
        return _too_large(check, evidence, training, [step for step in steps if step.ratio > LARGE])
    lost = [step for step in steps if step.ratio < max(SMALL, LOST * EPSILONS.get(step.parameter.dtype, 0.0))]
    if len(lost) == len(steps) and not training.rising:
        return _too_small(check, evidence, training, largest)
    return None


def _steps(evidence: Evidence, training: Training) -> list[Step]:
    found = []
    for seen in evidence.layers:
        parameter, weight = evidence.graph.by_path[seen.layer.weight], evidence.weight(seen.layer)
        rate, gradient = training.rates.get(parameter.path), weight.gradient
        if rate is None or not gradient or not gradient.second_moment or parameter.role not in WEIGHTS:
            continue
        if parameter.frozen or parameter.fans is None or not weight.value.second_moment:
            continue
        moves = math.sqrt(1 - gradient.zeros) if training.signed else math.sqrt(gradient.second_moment)
        size = max(math.sqrt(weight.value.second_moment), parameter.fans.fan_in**-0.5)
        found.append(Step(parameter, rate * training.first * moves / size, rate))
    return [step for step in found if math.isfinite(step.ratio)]


def _too_large(check: Check, evidence: Evidence, training: Training, steps: list[Step]) -> Finding:
    worst = steps[-1]
    allowed = _rounded_down(worst.rate * LARGE / worst.ratio)
    return check.finding(
        evidence,
        Severity.ERROR if worst.ratio > WHOLE else Severity.WARNING,
        worst.parameter,
        what=f"the first step of {training.optimizer} changes {worst.parameter.path} by {worst.ratio:.2g} of its size "
        f"(learning rate {worst.rate:.3g}), and {len(steps)} weight(s) by more than {LARGE:g}",
        why=_why(training),
        also=[step.parameter.path for step in steps[:-1]],
        advice=f"a learning rate of at most {allowed:.1g}, or a warmup that begins there",
        step_over_weight=worst.ratio,
        learning_rate=worst.rate,
    )


def _rounded_down(x: float) -> float:
    """To one digit."""
    unit = 10.0 ** math.floor(math.log10(x))
    return math.floor(x / unit) * unit


def _too_small(check: Check, evidence: Evidence, training: Training, largest: Step) -> Finding:
    dtype = largest.parameter.dtype
    rounded = largest.ratio >= SMALL
    why = f"most of it is rounded away: {dtype} has steps of {EPSILONS[dtype]:.1g} of a value" if rounded else ""
    copy = f", or a copy of the weights in float32 that moves, since {dtype} is too coarse" if rounded else ""
    wanted = largest.rate * 1e-3 / largest.ratio
    return check.finding(
        evidence,
        Severity.WARNING,
        largest.parameter,
        what=f"the first step of {training.optimizer} changes no weight by more than {largest.ratio:.1g} of its size "
        f"(learning rate {largest.rate:.3g})",
        why=why or _why(training),
        advice=f"a learning rate of about {wanted:.0e}, which moves this weight by a thousandth{copy}",
        step_over_weight=largest.ratio,
        learning_rate=largest.rate,
    )


def _why(training: Training) -> str:
    times = f"{training.first:.3g} × " if not 0.9 < training.first < 1.1 else ""
    if training.signed:
        return f"at first it moves each element by {times}the learning rate, however small the gradient"
    return f"it moves each element by {times}the learning rate times the gradient"


CHECK = Check(
    code="B03",
    name="update out of proportion",
    summary="With this optimizer and learning rate, the first step is out of proportion to the weights.",
    page=__doc__,
    find=find,
    advice="change the learning rate",
    needs="an optimizer",
)
