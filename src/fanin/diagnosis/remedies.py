"""Steps from plan to plan that several checks share."""

from __future__ import annotations

from collections.abc import Iterable

from fanin.diagnosis.evidence import Evidence
from fanin.graph import Role
from fanin.plans import Plan
from fanin.plans.recipes.auto import auto


def fit_to_activations(plan: Plan, evidence: Evidence, weights: Iterable[str]) -> Plan:
    """Give these weights the law that the activation they feed asks for; frozen ones and all other parameters stay."""
    decisions = auto(evidence.graph)
    return plan.decide({path: decisions[path] for path in weights if not evidence.graph.by_path[path].frozen})


def fit_all_to_activations(plan: Plan, evidence: Evidence) -> Plan:
    """The same for the weights of every layer: a signal over depth is the product of all of them."""
    return fit_to_activations(plan, evidence, dict.fromkeys(seen.layer.weight for seen in evidence.layers))


def fit_all_and_biases(plan: Plan, evidence: Evidence) -> Plan:
    """The biases of all layers too: what they add is the same for every sample and position."""
    read = {name for seen in evidence.layers for name in seen.layer.node.inputs}
    biases = [p.path for p in evidence.graph.parameters if p.role is Role.BIAS and read & {p.path, *p.also}]
    return fit_to_activations(fit_all_to_activations(plan, evidence), evidence, biases)
