"""Most units of a layer are 0 for every sample, so that no gradient passes them.

## What it does
Counts the units behind an activation that is flat at 0, such as ReLU, whose output is 0 for all samples and positions.
Weights that are drawn symmetrically about 0 leave at most half of them so, and that only if all samples look alike; a
layer with more than chance gives of half, or with more than half where negative biases explain it, is reported: as an
error if no unit is left, as a warning above three quarters, else as a note.

## Why it is bad
Where ReLU is 0, so is its slope. A unit that is 0 for all data gets no gradient and never changes; a layer of such
units passes on nothing and ends learning in all layers before it.

## Example
    torch.nn.init.constant_(layer.bias, -5.0)            # z is about N(-5, 1)

## Remedy
Biases of zero, and weights of mean 0 with the activation's gain.

## Known exceptions
Units that are 0 because what they are given is 0, as behind a branch that starts closed: that begins elsewhere. With
few samples, many units of a healthy layer are 0 by chance, each with probability ½ for one sample: never reported.

## Source
Lu, Shin, Su & Karniadakis 2019, "Dying ReLU and initialization: theory and numerical examples".
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from fanin.activations import activation
from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.remedies import fit_to_activations
from fanin.errors import UnknownName
from fanin.graph import ActivationCall, Role
from fanin.initializers import Zeros
from fanin.plans import Decision, Plan
from fanin.signals import LayerSignal

# Of a layer of which each unit is dead with probability ½. That needs samples that are all alike; a model of 50 such
# layers, which already is not healthy, has a false alarm in 200 then.
CHANCE: Final = 1e-4
EXACT: Final = 1024  # coins, beyond which the normal law is as good
FEW_LEFT: Final = 0.75  # share of dead units from which on the layer is much narrower than it was meant; below, a note
DRAGGED: Final = 2.0  # std of z without its mean: biases so far below 0 are no chance, whatever the number of units


class _Dead(NamedTuple):
    """A layer whose units are mostly 0, with the biases on the way to its activation."""

    layer: LayerSignal
    share: float
    units: int
    biases: tuple[str, ...]
    bias: float

    @property
    def severity(self) -> Severity:
        if self.share == 1:
            return Severity.ERROR
        return Severity.WARNING if self.share > FEW_LEFT else Severity.NOTE


def _dead_layers(evidence: Evidence) -> list[_Dead]:
    return [found for seen in evidence.layers if (found := _dead(evidence, seen)) is not None]


def _dead(evidence: Evidence, seen: LayerSignal) -> _Dead | None:
    detail = evidence.signals.details.get(seen.layer.output.name)
    if detail is None or not detail.units or detail.dead is None or not 0.5 < detail.dead <= 1:
        return None
    if not _is_flat_at_zero(seen.layer.activation) or _is_given_nothing(evidence, seen):
        return None
    biases = _biases(evidence, seen)
    bias = math.fsum(evidence.signals.parameters[path].value.mean for path in biases)
    z = evidence.signals.values.get(seen.layer.output.inputs[0])
    spread = math.sqrt(max(z.second_moment - z.mean**2, 0.0)) if z else math.inf
    many = round(detail.dead * detail.units)
    if not (-bias > DRAGGED * spread or _tail(detail.units, many) < CHANCE):
        return None
    return _Dead(seen, detail.dead, detail.units, biases, bias)


def _tail(n: int, k: int) -> float:
    """P(K ≥ k) of n fair coins; of many, by the normal law."""
    if n > EXACT:
        return math.erfc((2 * k - n) / math.sqrt(2 * n)) / 2
    return float(sum(math.comb(n, i) for i in range(k, n + 1)) / 2**n)


def _is_flat_at_zero(phi: ActivationCall | None) -> bool:
    """Whether φ is 0 for all z that are negative enough."""
    if phi is None:
        return False
    try:
        known = activation(phi.name, **phi.parameters)
    except UnknownName:
        return False
    return not known([-8.0, -64.0]).any()


def _is_given_nothing(evidence: Evidence, seen: LayerSignal) -> bool:
    """What the layer reads is 0: where that begins, another layer is reported, or none."""
    values = evidence.signals.values
    read = [values[name] for name in evidence.paths.sources[seen.layer.node.name] if name in values]
    return bool(read) and all(moments.second_moment == 0 for moments in read)


def _biases(evidence: Evidence, seen: LayerSignal) -> tuple[str, ...]:
    """What is added to z on the way from the weight to the activation: biases, and the shifts of norms."""
    found: list[str] = []
    node = evidence.graph.by_name.get(seen.layer.output.inputs[0])
    while node is not None:
        read = (evidence.graph.by_path.get(name) for name in node.inputs)
        found += [p.path for p in read if p is not None and p.role in (Role.BIAS, Role.NORM_SHIFT)]
        sources = evidence.paths.sources[node.name]
        node = evidence.graph.by_name.get(sources[0]) if node.name != seen.layer.node.name and sources else None
    return tuple(found)


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The first such layer, those without any unit left before the others."""
    found = _dead_layers(evidence)
    if not found:
        return None
    first = min(found, key=lambda dead: (dead.share < 1, dead.layer.layer.index))
    weight = evidence.weight(first.layer.layer).value
    if first.bias < 0 and first.biases:
        why = f"{' and '.join(first.biases)} averages {first.bias:.3g}, below what the weights add"
    elif weight.second_moment == 0:
        why = f"{first.layer.layer.weight} is 0, where the activation's slope is 0 too"
    else:
        why = f"{first.layer.layer.weight} has mean {weight.mean:.3g}, so that its units all lean to one side"
    return check.finding(
        evidence,
        first.severity,
        first.layer,
        what=f"{first.share:.0%} of {first.units} units are 0 for every sample behind {first.layer.layer.activation}; "
        f"{len(found)} layer(s) are so",
        why=why,
        also=[dead.layer.layer.module for dead in found],
        dead_share=first.share,
        units=first.units,
        dead_layers=len(found),
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Biases of zero on the way, and weights that are centred."""
    found = _dead_layers(evidence)
    zero = Decision(Zeros(), "a bias that holds no unit below 0")
    biases = [path for dead in found for path in dead.biases if not evidence.graph.by_path[path].frozen]
    plan = fit_to_activations(plan, evidence, [dead.layer.layer.weight for dead in found])
    return plan.decide(dict.fromkeys(biases, zero))


CHECK = Check(
    code="U03",
    name="dead units",
    summary="Most units of a layer are 0 for every sample, so that no gradient passes them.",
    page=__doc__,
    find=find,
    remedy=remedy,
    needs="a measurement",
    advice="start these biases at zero and centre the weights, with the activation's gain (recipe auto)",
    worse="larger",
)
