"""Units of a layer have the same weights, so that they compute the same feature.

## What it does
Looks for weights whose rows (one for each unit) are equal to the last bit: all rows, with gradients that are equal too
(an error); some rows, with gradients that are equal too; or at least one row in eight of a random weight that is a copy
of another row (warnings).

## Why it is bad
Units that start alike and are pushed alike stay alike. However wide the layer is, it computes one feature, and gradient
descent cannot tell its units apart; with all weights zero only the last bias learns. Copies of random rows do part, if
what reads them differs, but the layer starts with so many features fewer than it has units.

## Example
    torch.nn.init.constant_(layer.weight, 0.0)
    shard = torch.randn(128, 256, generator=torch.Generator().manual_seed(0))   # the same on each of two ranks

## Remedy
Draw the weight at random; any law with some variance breaks the symmetry. Biases may stay zero. Of a sharded weight,
draw each shard from its own part of one stream, as `fanin.initialize_` does.

## Known exceptions
A last layer, or a residual branch's last layer, that starts at zero on purpose is not reported: its rows are equal, but
their gradients differ, so they part at the first step. Nor are embeddings, experts that start alike, depthwise kernels,
rows of fewer than 8 values, which may be equal by chance, and rows that are equal before a pixel shuffle (ICNR).
Copies that are meant so, as after widening a trained net, can be ignored by their place.

## Source
Goodfellow, Bengio & Courville 2016, Deep Learning, section 8.4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.remedies import fit_to_activations
from fanin.graph import Parameter, Role
from fanin.plans import Plan
from fanin.signals import LayerSignal, ParameterSignal

COPIES: Final = 1 / 8  # of the rows: a shard drawn twice is at least so much on eight ranks; one pair harms nobody
SHORTEST: Final = 8  # values in a row; of bfloat16's some 2^10 likely numbers, so many agree in one of 2^80 pairs
SHUFFLES: Final = frozenset({"pixel_shuffle"})  # ICNR starts the channels of one pixel alike, on purpose


class _Alike(NamedTuple):
    """Units that are equal: all of them or some, with their gradients or by their weights alone."""

    layer: LayerSignal
    units: int
    distinct: int
    forever: bool

    @property
    def severity(self) -> Severity:
        return Severity.ERROR if self.forever and self.distinct == 1 else Severity.WARNING


def _symmetric_layers(evidence: Evidence) -> list[LayerSignal]:
    def alike(seen: LayerSignal) -> bool:
        weight = evidence.weight(seen.layer)
        return weight.same_rows and (weight.same_gradient_rows or weight.gradient is None)

    return [seen for seen in evidence.layers if alike(seen)]


def _partly_symmetric(evidence: Evidence) -> Iterator[_Alike]:
    """Some units equal others; where a closed branch sends no gradient at all, that says nothing of them."""
    for seen in evidence.layers:
        parameter, weight = evidence.graph.by_path[seen.layer.weight], evidence.weight(seen.layer)
        rows, units = weight.distinct_rows, weight.distinct_units
        if rows is None or units is None or weight.same_rows or _by_design(evidence, seen):
            continue
        count = parameter.shape[0]
        if math.prod(parameter.shape[1:]) < SHORTEST or count - rows < max(2, COPIES * count):
            continue
        arrives = weight.gradient is not None and weight.gradient.second_moment > 0
        without_zero_rows = weight.value.zeros * count < 1
        if arrives and count - units >= COPIES * count:
            yield _Alike(seen, count, units, forever=True)
        elif without_zero_rows and not _copied_parts(parameter, weight):
            yield _Alike(seen, count, rows, forever=False)


def _by_design(evidence: Evidence, seen: LayerSignal) -> bool:
    parameter, users = evidence.graph.by_path[seen.layer.weight], evidence.graph.users
    ends = {seen.layer.next_op, *(user.op for user in users.get(seen.layer.output.name, ()))}
    roles = {Role.EXPERT, Role.DEPTHWISE} & set(parameter.roles)
    return bool(roles or ends & SHUFFLES) or bool(parameter.parts and parameter.parts.slices)


def _copied_parts(parameter: Parameter, weight: ParameterSignal) -> bool:
    """Whole parts are equal, such as query and key: identical layers (U04)."""
    parts = parameter.parts.of(parameter.shape) if parameter.parts else ()
    return weight.distinct_parts is not None and weight.distinct_parts < len(parts)


def _all(evidence: Evidence) -> list[_Alike]:
    whole = _symmetric_layers(evidence)
    found = [_Alike(seen, evidence.graph.by_path[seen.layer.weight].shape[0], 1, forever=True) for seen in whole]
    found += _partly_symmetric(evidence)
    return sorted(found, key=lambda alike: (alike.severity is not Severity.ERROR, alike.layer.layer.index))


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The first such layer, those in which all units are alike before the others."""
    found = _all(evidence)
    if not found:
        return None
    first, path = found[0], found[0].layer.layer.weight
    value = evidence.weight(first.layer.layer).value
    constant = "0" if value.second_moment == 0 else f"{value.mean:.3g}"
    if first.severity is Severity.ERROR:
        what = f"all {first.units} units have the same weights and the same gradients"
        why = f"{path} starts with equal rows (mean {constant}), so nothing tells its units apart"
    elif first.forever:
        what = f"of {first.units} units only {first.distinct} differ in weights or gradients"
        why = f"rows of {path} are copies of others, and so is all that acts on them: they stay alike"
    else:
        what = f"of {first.units} units only {first.distinct} have weights of their own"
        why = f"rows of {path} are copies of others, as where two shards draw the same numbers"
    return check.finding(
        evidence,
        first.severity,
        first.layer,
        what=f"{what}, in {len(found)} layer(s)",
        why=why,
        also=[alike.layer.layer.module for alike in found],
        symmetric_layers=len(found),
        units=first.units,
        distinct_units=first.distinct,
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Random weights for the layers that are alike."""
    return fit_to_activations(plan, evidence, [alike.layer.layer.weight for alike in _all(evidence)])


CHECK = Check(
    code="U01",
    name="symmetric units",
    summary="Units of a layer have the same weights, so that they compute the same feature.",
    page=__doc__,
    find=find,
    remedy=remedy,
    worse="larger",
    advice="draw these weights at random, with the gain of the activation that they feed (recipe auto)",
)
