"""A norm is given a signal whose variance is not above its ε, so that it does not normalise.

## What it does
A norm divides by √(σ² + ε). Its output, with its gain and shift taken out, has a second moment of σ²/(σ² + ε), which is
1 if all is well. Reports the first norm where it is less than a half: σ² < ε. Batch norm in evaluation is not judged.

## Why it is bad
The signal behind the norm has not the size that the norm is there to give, and the gradient before it is multiplied by
up to 1/√ε, 316 for ε = 1e-5, at a point where values mean little: small steps change everything in front of it.

## Example
    torch.nn.init.normal_(layer.weight, std=1e-4)          # before a LayerNorm

## Remedy
Weights before the norm that give it a variance well above ε: their own gain.

## Known exceptions
A norm that is given exact zeros, by a branch that starts at zero, is a note: after one step it sees very little, and
with a small ε its gradient is large. A norm over a single value always sees variance 0: change the architecture.

## Source
Ioffe & Szegedy 2015, algorithm 1; Ba, Kiros & Hinton 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.remedies import fit_to_activations
from fanin.graph import Node, Ref
from fanin.graph.layers import NORMS
from fanin.plans import Plan

LEAST: Final = 0.5  # σ² = ε
EPSILON: Final = 1e-5  # where an operation names none


def _starved(evidence: Evidence) -> list[tuple[Node, float]]:
    """Norms with σ²/(σ² + ε) < ½."""
    found = []
    for node in evidence.graph.nodes:
        share = _share(evidence, node) if node.op in NORMS else None
        if share is not None and share < LEAST:
            found.append((node, share))
    return found


def _share(evidence: Evidence, node: Node) -> float | None:
    """The second moment of the normalised signal, before gain and shift; None where it cannot be told."""
    on_its_own = node.arguments.get("training", node.arguments.get("use_input_stats", node.op != _EVALUATION))
    out = evidence.signals.values.get(node.name)
    if not on_its_own or out is None or out.non_finite:
        return None
    gain, shift = (_second_moment(evidence, node, name) for name in ("weight", "bias"))
    if gain == 0:
        return None
    return max(out.second_moment - (shift or 0.0), 0.0) / (1.0 if gain is None else gain)


_EVALUATION: Final = "_native_batch_norm_legit_no_training"


def _second_moment(evidence: Evidence, node: Node, argument: str) -> float | None:
    ref = node.arguments.get(argument)
    parameter = evidence.graph.by_path.get(ref.name) if isinstance(ref, Ref) else None
    seen = evidence.signals.parameters.get(parameter.path) if parameter else None
    return seen.value.second_moment if seen else None


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The first norm that is given almost nothing; one that is given exact zeros only if all are."""
    found = _starved(evidence)
    if not found:
        return None
    given = [(node, share) for node, share in found if share > 0]
    (node, share), same = (given or found)[0], given or found
    epsilon = float(node.arguments.get("eps") or EPSILON)
    weights = ", ".join(_weights_before(evidence, node)) or "what comes before it"
    return check.finding(
        evidence,
        Severity.WARNING if given else Severity.NOTE,
        node,
        what=f"{node.called} is given a variance of {epsilon * share / (1 - share):.2g}, with an ε of {epsilon:.2g}: "
        f"its output has {share:.2g} of the second moment it should have; {len(same)} norm(s) are so",
        why=f"made too small by {weights}"
        if given
        else "it is given a constant: by design, if a branch starts at zero",
        also=[n.module for n, _ in same],
        advice="" if given else "nothing, if it is meant so; a larger ε keeps the first gradients small",
        share=share,
        epsilon=epsilon,
        norms=len(same),
    )


def _weights_before(evidence: Evidence, node: Node) -> list[str]:
    """The first weights that a walk back from the norm's input meets on each way."""
    paths = evidence.paths

    def onward(name: str) -> Sequence[str]:
        return () if name in paths.weights else paths.sources.get(name, ())

    seen = paths.back(paths.sources[node.name][0], onward) if paths.sources[node.name] else {}
    return list(dict.fromkeys(path for name in seen for path in paths.weights.get(name, ())))


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """The gains that the weights before these norms ask for."""
    weights = [p for node, share in _starved(evidence) if share > 0 for p in _weights_before(evidence, node)]
    return fit_to_activations(plan, evidence, dict.fromkeys(weights))


CHECK = Check(
    code="F07",
    name="norm fed with almost nothing",
    summary="A norm is given a signal whose variance is not above its ε, so that it does not normalise.",
    page=__doc__,
    find=find,
    remedy=remedy,
    advice="widen the weights before the norm to their own gain (recipe auto)",
    worse="smaller",
)
