"""A weight is scaled by a fan that its operation does not have.

## What it does
Where a weight's scale has no name in terms of its operation's fans, compares it with the usual laws (Glorot, He, LeCun,
PyTorch's) taken with the fans that its shape alone suggests, as `torch.nn.init` takes them: of grouped convolutions,
fan_out counts all groups; of transposed ones, fan_in and fan_out change places, and the stride is forgotten; of a
packed weight, fan_out counts all parts; of an embedding, the vocabulary is a fan. A warning where that is off by ×2 and
more in the standard deviation and no norm undoes it, else a note.

## Why it is bad
The second moment of what the layer makes is off by the ratio of the fans: He's law in mode fan_out leaves a depthwise
convolution of 64 channels an eighth of its scale.

## Example
    torch.nn.init.kaiming_normal_(depthwise.weight, mode="fan_out")      # fan_out = 64 · 9, where 9 is meant

## Remedy
The law with the operation's own fans.

## Known exceptions
What PyTorch and published models do is a note: `torch.nn.MultiheadAttention` gives a packed weight Glorot's law (0.71
of the scale), `torch.nn.ConvTranspose2d` has fan_in from the wrong axis, tutorials give embeddings Glorot's law, and
torchvision's depthwise convolutions, which norms follow, have mode fan_out.

## Source
pytorch/pytorch#23854 (fans of transposed and grouped convolutions); `torch.nn.init._calculate_fan_in_and_fan_out`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.remedies import fit_to_activations
from fanin.graph import Fans, Parameter, Role
from fanin.graph.layers import goes_to_a_norm
from fanin.initializers import Initializer, Normal, PerPart, TruncatedNormal, Uniform, initializer
from fanin.plans import Entry, Plan
from fanin.plans.recognition.names import BOUNDS, RARE_STDS, STDS

OFF: Final = 2.0  # in the standard deviation, ×4 in the second moment: what one gain mistaken for another never is
SIGMAS: Final = 4.0  # standard errors within which a scale is one of those below
# gain and mode of √(gain²/fan), and the name by which it is known. Few, so that a scale seldom fits by chance.
NORMAL_LAWS: Final = (
    (math.sqrt(2), "fan_in", "kaiming_normal_"),
    (math.sqrt(2), "fan_out", "kaiming_normal_(mode='fan_out')"),
    (1.0, "fan_avg", "xavier_normal_"),
    (1.0, "fan_in", "lecun_normal_"),
)
TORCH: Final = "PyTorch's default, U(±1/√fan_in)"
UNIFORM_LAWS: Final = (
    (1 / math.sqrt(3), "fan_in", TORCH),
    (1.0, "fan_avg", "xavier_uniform_"),
    (math.sqrt(2), "fan_in", "kaiming_uniform_"),
    (math.sqrt(2), "fan_out", "kaiming_uniform_(mode='fan_out')"),
)


class _Mistaken(NamedTuple):
    """A weight, the law whose scale it has with the fans of its shape, and how far that is from its own fans'."""

    entry: Entry
    mode: str
    name: str
    ratio: float
    harmful: bool


def _mistaken(evidence: Evidence) -> Iterator[_Mistaken]:
    for entry in evidence.laws or ():
        p, seen = entry.parameter, entry.measured
        law = _plain(entry.initializer)
        if p.frozen or seen is None or len(p.shape) < 2 or not isinstance(law, (Normal, TruncatedNormal, Uniform)):
            continue
        if _is_round(law) or abs(seen.mean) > SIGMAS * seen.std / math.sqrt(seen.count):
            continue
        wrong, right = fans_of_shape(p.shape), _without_stride(evidence, p)
        table = p.role is Role.EMBEDDING
        if right is None and not table:
            continue
        uniform = isinstance(law, Uniform)
        if uniform and right and _is_recurrent_default(entry, right):
            continue
        for gain, mode, name in UNIFORM_LAWS if uniform else NORMAL_LAWS:
            if table and mode != "fan_avg":  # the other modes do not see the vocabulary
                continue
            std, fan = gain / math.sqrt(wrong.of(mode)), right.of(mode) if right and not table else 1.0
            if fan and wrong.of(mode) != fan and _fits(entry, std, uniform):
                ratio = std / (gain / math.sqrt(fan))
                yield _Mistaken(entry, mode, name, ratio, _harmful(evidence, p, ratio, name))
                break


def _without_stride(evidence: Evidence, p: Parameter) -> Fans | None:
    """The operation's fans, as all laws for convolutions are written: a stride does not make fan_out smaller."""
    seen = evidence.layer_of.get(p.path)
    if p.fans is None or seen is None or "transpose" in seen.layer.node.op:
        return p.fans
    stride = seen.layer.node.arguments.get("stride", 1)
    steps = [stride] if isinstance(stride, int) else list(stride)
    step = math.prod(steps) if len(steps) > 1 else math.prod(steps) ** (len(p.shape) - 2)
    return Fans(p.fans.fan_in, p.fans.fan_out * step)


def fans_of_shape(shape: tuple[int, ...]) -> Fans:
    """What `torch.nn.init` takes for fans: axis 1 is in, axis 0 is out, the rest is a kernel.

    Example:
        >>> fans_of_shape((64, 1, 3, 3))  # a depthwise convolution's fan_out is 9
        Fans(fan_in=9, fan_out=576)
    """
    kernel = math.prod(shape[2:])
    return Fans(shape[1] * kernel, shape[0] * kernel)


def _plain(what: Initializer) -> Initializer:
    """Of a packed weight, the law that all parts have."""
    return initializer(what.each) if isinstance(what, PerPart) and not what.but else what


def _is_round(law: Normal | TruncatedNormal | Uniform) -> bool:
    """A number that libraries write, whatever the shape."""
    return law.high in BOUNDS if isinstance(law, Uniform) else law.std in (*STDS, *RARE_STDS)


def _fits(entry: Entry, std: float, uniform: bool) -> bool:
    seen = entry.measured
    assert seen  # or it is not asked
    if not uniform:
        return seen.has_std(std, 3.0, SIGMAS)
    bound, largest = math.sqrt(3) * std, max(seen.high, -seen.low)
    return bound * (1 - 20.7 / seen.count) - seen.rounding <= largest <= bound * (1 + 1e-6) + seen.rounding


def _is_recurrent_default(entry: Entry, fans: Fans) -> bool:
    """U(±1/√hidden), which `nn.LSTM` and the like draw from, is that of no other law, even where numbers coincide."""
    return entry.parameter.parts is not None and _fits(entry, 1 / math.sqrt(3 * fans.fan_out), uniform=True)


def _harmful(evidence: Evidence, p: Parameter, ratio: float, name: str) -> bool:
    """Off by much, seen by what follows, and no default of PyTorch's own."""
    seen = evidence.layer_of.get(p.path)
    if seen is None or 1 / OFF < ratio < OFF or goes_to_a_norm(evidence.graph, seen.layer):
        return False
    return name != TORCH


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The weight whose scale is off by most, harmful ones before the others."""
    found = list(_mistaken(evidence))
    if not found:
        return None
    tables = {one.entry.parameter.path for one in found if one.entry.parameter.role is Role.EMBEDDING}
    first = max(
        found,
        key=lambda one: (one.harmful, one.entry.parameter.path not in tables, abs(math.log(one.ratio))),
    )
    p, paths = first.entry.parameter, [one.entry.parameter.path for one in found]
    if p.role is Role.EMBEDDING:
        what = f"{p.path} has std {first.entry.std:.3g}, that of {first.name} for a matrix of {p.shape}"
        why = f"each lookup is one row: how many words there are, {p.shape[0]}, does not change what it gives"
        return check.finding(evidence, Severity.NOTE, p, what, why, also=paths, ratio=first.ratio, mistaken=len(found))
    wrong, right = fans_of_shape(p.shape), _without_stride(evidence, p)
    assert right  # or it has no fans to be mistaken
    return check.finding(
        evidence,
        Severity.WARNING if first.harmful else Severity.NOTE,
        p,
        what=f"{p.path} has std {first.entry.std:.3g}, ×{first.ratio:.3g} of what {first.name} gives; "
        f"{len(found)} weight(s) are so",
        why=f"shape {p.shape} was read as {first.mode} {wrong.of(first.mode):g}, where the operation has "
        f"{right.of(first.mode):g}",
        also=paths,
        ratio=first.ratio,
        mistaken=len(found),
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """What each feeds decides its law, with the operation's fans; where that is no matter, it stays."""
    return fit_to_activations(plan, evidence, [one.entry.parameter.path for one in _mistaken(evidence) if one.harmful])


CHECK = Check(
    code="W03",
    name="fan mistaken",
    summary="A weight is scaled by a fan that its operation does not have.",
    page=__doc__,
    find=find,
    remedy=remedy,
    advice="scale it by the fans of its operation (recipe auto, or he, xavier and lecun of fanin)",
    worse="farther from 1",
)
