"""A value, a gradient or the loss is infinite or not a number.

## What it does
Names the first operation, in the order of execution, whose output holds an infinity or a NaN; if the forward pass is
finite, the first one met going backward.

## Why it is bad
One NaN reaches every parameter at the first update, and nothing brings them back.

## Example
    torch.nn.init.normal_(layer.weight)          # 60 layers of width 512: the signal passes 1e38

## Remedy
If weights made it, scale them so that each layer keeps its signal's second moment. If a single operation did (log of 0,
division by 0, sqrt at 0, a mask of -inf over a whole row), guard that operation.

## Known exceptions
An infinity that is part of the computation, such as a mask of -inf before a softmax: as long as the loss and every
parameter's gradient are finite, nothing is reported.

## Source
Goodfellow, Bengio & Courville 2016, Deep Learning, section 4.1.
"""

from __future__ import annotations

import math

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.remedies import fit_all_to_activations
from fanin.graph import Node
from fanin.plans import Plan


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The operation that first made it."""
    signals, nodes = evidence.signals, evidence.graph.nodes
    forward = _first_that_lasts(evidence)
    backward = next(
        (n for n in reversed(nodes) if n.name in signals.gradients and signals.gradients[n.name].non_finite), None
    )
    gradients = [p.gradient for p in signals.parameters.values() if p.gradient]
    if math.isfinite(signals.loss) and all(g.non_finite == 0 for g in gradients):
        return None
    if not forward and not math.isfinite(signals.loss):
        what, node, share = f"the loss is {signals.loss}, though the model's output is finite", None, 1.0
    elif forward:
        share = signals.values[forward.name].non_finite
        what, node = f"{share:.2%} of the output of {forward.op} is infinite or not a number", forward
    elif backward:
        share = signals.gradients[backward.name].non_finite
        what, node = f"{share:.2%} of the gradient at {backward.op} is infinite or not a number", backward
    else:
        what, node, share = "a parameter's gradient is infinite or not a number", None, 1.0
    layer = next((s for s in evidence.layers if node and node.name in (s.layer.node.name, s.layer.output.name)), None)
    left = "the operation left the range of its dtype or its domain"
    return check.finding(
        evidence,
        Severity.ERROR,
        layer or node,
        what=what,
        why=evidence.scale_sentence(layer.layer) if layer else left,
        non_finite_share=share,
    )


def _first_that_lasts(evidence: Evidence) -> Node | None:
    """The first operation whose infinities or NaNs reach the output; those that a softmax makes finite do not."""
    graph, values = evidence.graph, evidence.signals.values
    lasting: dict[str, bool] = {}
    for node in reversed(graph.nodes):
        users = graph.users.get(node.name, ())
        broken = node.name in values and values[node.name].non_finite > 0
        lasting[node.name] = broken and (not users or any(lasting[user.name] for user in users))
    return next((node for node in graph.nodes if lasting[node.name]), None)


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Gains that keep the signal, in every layer."""
    return fit_all_to_activations(plan, evidence)


CHECK = Check(
    code="N01",
    name="non-finite values",
    summary="A value, a gradient or the loss is infinite or not a number.",
    page=__doc__,
    find=find,
    remedy=remedy,
    worse="larger",
    advice="scale the weights so that each layer keeps its signal (recipe auto), or guard the operation named",
)
