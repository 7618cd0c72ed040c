"""What the checks ask of logits: which weights make them, and how to make these smaller."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fanin.diagnosis.evidence import Evidence
from fanin.graph import Node, Parameter, Role
from fanin.graph.layers import NORMS
from fanin.initializers import Normal, Target, Zeros
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
    """What makes most of them: a readout, a table, or an operation of several signals."""
    if evidence.chance is None:
        return None
    name = _largest_term(evidence, evidence.chance.name)
    found = evidence.paths.weights.get(name, ())
    layer = next((evidence.layer_of[path] for path in found if path in evidence.layer_of), None)
    if layer or found:
        return layer or evidence.graph.by_path[found[0]]
    return evidence.graph.by_name.get(name)


def _largest_term(evidence: Evidence, name: str) -> str:
    """From here against the flow, at sums to the largest of their terms; a term without weights is named as it is."""
    paths, values, term = evidence.paths, evidence.signals.values, name
    while name not in paths.weights and (sources := paths.sources.get(name)):
        node = paths.node(name)
        if len(sources) > 1 and not (node and node.op == "add"):
            return term
        name = max(sources, key=lambda one: values[one].second_moment if one in values else 0.0)
        term = name if len(sources) > 1 else term
    return name


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
        said.append(_bias_sentence(evidence, at) or evidence.scale_sentence(at.layer))
    elif isinstance(at, Node) and at.name in evidence.signals.values:
        size = evidence.signals.values[at.name].second_moment
        said.append(f"most of it is what {at.called} makes, of second moment {size:.3g}, with no weight behind it")
    return "; ".join(said) or "what the model says at first is far from nothing"


def _bias_sentence(evidence: Evidence, at: LayerSignal) -> str:
    """Of a layer whose bias is most of what it gives."""
    bias = _large_bias(evidence, at)
    if bias is None:
        return ""
    size = evidence.signals.parameters[bias.path].value.second_moment
    return f"most of it is {bias.path}, of second moment {size:.3g}, which zeros would take away"


def _large_bias(evidence: Evidence, at: LayerSignal) -> Parameter | None:
    node = at.layer.node.name
    seen = evidence.signals.values.get(node)
    biases = [p for p in evidence.graph.parameters if p.node == node and p.role is Role.BIAS]
    sizes = [(evidence.signals.parameters[p.path].value.second_moment, p) for p in biases]
    return next((p for size, p in sizes if seen and size > seen.second_moment / 2), None)


def with_smaller_readout(plan: Plan, evidence: Evidence, by: float) -> Plan:
    """The readout's weights drawn anew, `by` times as wide as they are now; or its bias zero, where that is most of it.

    Where the plan starts other weights anew as well, what reaches the readout is no longer what was measured: then it
    gets the law of recipe auto, which is made for a signal of second moment 1.
    """
    at = place_of_logits(evidence)
    bias = _large_bias(evidence, at) if isinstance(at, LayerSignal) else None
    if bias is not None and not bias.frozen:
        return plan.decide({bias.path: Decision(Zeros(), "most of the logits was this bias")})
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
