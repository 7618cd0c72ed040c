"""What the checks ask of logits: which weights make them, and how to make these smaller."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fanin.diagnosis.evidence import Evidence
from fanin.graph import Node, Parameter
from fanin.graph.layers import NORMS
from fanin.initializers import Normal, Target
from fanin.initializers.scaled import can_be_scaled, scaled
from fanin.plans import Decision, Plan
from fanin.plans.model import writes
from fanin.plans.recipes.auto import auto
from fanin.signals import LayerSignal


def readouts(evidence: Evidence) -> tuple[str, ...]:
    """Paths of the last weights or tables on the way to the logits; none behind a norm, which undoes their scale."""
    paths, chance = evidence.paths, evidence.chance
    if chance is None or chance.name not in paths.position:
        return ()

    def onward(name: str) -> Sequence[str]:
        return () if name in paths.weights else paths.sources[name]

    passed = paths.back(chance.name, onward)
    if any((node := paths.node(name)) and node.op in NORMS for name in passed):
        return ()
    return tuple(dict.fromkeys(path for name in passed for path in paths.weights.get(name, ())))


def place_of_logits(evidence: Evidence) -> LayerSignal | Parameter | Node | None:
    """The readout, or the operation that makes them."""
    found = readouts(evidence)
    layer = next((evidence.layer_of[path] for path in found if path in evidence.layer_of), None)
    if layer or found:
        return layer or evidence.graph.by_path[found[0]]
    return evidence.graph.by_name.get(evidence.chance.name) if evidence.chance else None


def why_of_logits(evidence: Evidence) -> str:
    """How much the logits differ between classes, and the scale of the weight that makes them."""
    chance, at = evidence.chance, place_of_logits(evidence)
    assert chance is not None
    said = []
    if chance.spread is not None:
        said.append(f"the logits of one sample differ by a standard deviation of {math.sqrt(chance.spread):.3g}")
    elif chance.logits:
        said.append(f"the outputs have a root mean square of {math.sqrt(chance.logits.second_moment):.3g}")
    if isinstance(at, LayerSignal):
        said.append(evidence.scale_sentence(at.layer))
    return "; ".join(said) or "what the model says at first is far from nothing"


def with_smaller_readout(plan: Plan, evidence: Evidence, by: float) -> Plan:
    """The readout's weights drawn anew, `by` times as wide as they are now.

    Where the plan starts other weights anew as well, what reaches the readout is no longer what was measured: then it
    gets the law of recipe auto, which is made for a signal of second moment 1.
    """
    found = [path for path in readouts(evidence) if not evidence.graph.by_path[path].frozen]
    decisions = auto(evidence.graph)
    others = any(writes(entry) for entry in plan if entry.parameter.path not in found)
    if others:
        return plan.decide({path: decisions[path] for path in found})
    return plan.decide({path: _narrowed(evidence, path, decisions[path], by) for path in found})


def _narrowed(evidence: Evidence, path: str, decided: Decision, by: float) -> Decision:
    """The law that auto would draw it from, of the standard deviation that it is to have."""
    parameter = evidence.graph.by_path[path]
    wanted = by * math.sqrt(evidence.signals.parameters[path].value.second_moment)
    law = decided.initializer.law(Target(path, parameter.shape, parameter.dtype, parameter.fans, parameter.parts))
    why = f"× {by:.3g} of what it was, so that the logits have a variance of about ¼"
    if can_be_scaled(decided.initializer) and law.std > 0:
        return Decision(scaled(decided.initializer, wanted / law.std), why, decided.source)
    return Decision(Normal(wanted), why)
