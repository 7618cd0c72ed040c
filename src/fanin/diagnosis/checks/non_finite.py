"""A value, a gradient or the loss is infinite or not a number.

## What it does
Names the operation that first made an infinity or a NaN, in the order of execution; if the forward pass is finite, the
one whose backward rule first did. A row of scores that a mask hides as a whole is told from a mask that is as it should
be: the softmax makes NaN of it.

## Why it is bad
One NaN reaches every parameter at the first update, and nothing brings them back.

## Example
    torch.nn.init.normal_(layer.weight)          # 60 layers of width 512: the signal passes 1e38
    x.square().sum(-1).sqrt()                    # its slope is 1/(2 √0) where a sample is all zeros: infinite

## Remedy
If weights made it, scale them so that each layer keeps its signal's second moment. If a single operation did (log of 0,
division by 0, sqrt at 0, a mask of -inf over a whole row), guard that operation: no start helps.

## Known exceptions
An infinity that is part of the computation, such as a mask of -inf before a softmax: as long as the loss and every
parameter's gradient are finite, nothing is reported. NaN in the data is said to be the data's fault, and is no finding.

## Source
Goodfellow, Bengio & Courville 2016, Deep Learning, section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.remedies import fit_all_to_activations
from fanin.graph import Node
from fanin.graph.attention import FUSED, SOFTMAX
from fanin.plans import Plan

# What an operation does at an end of its domain, and how it is kept from it: forward, and on the way back.
FORWARD: Final[Mapping[str, tuple[str, str]]] = {
    "log": ("log is −∞ at 0 and not a number below", "add a small ε, or clamp(min=ε), before the log"),
    "log2": ("log2 is −∞ at 0 and not a number below", "add a small ε, or clamp(min=ε), before the log"),
    "sqrt": ("sqrt is not a number below 0", "clamp(min=0) before the sqrt"),
    "rsqrt": ("1/√x is infinite at 0", "add a small ε before the rsqrt"),
    "reciprocal": ("1/x is infinite at 0", "add a small ε to what is divided by"),
    "div": ("a division by 0", "add a small ε to what is divided by, or divide where it is not 0 (torch.where twice)"),
    "exp": ("exp is infinite above 88 in float32 and above 11 in float16", "subtract the largest value, or clamp"),
    "pow": ("a power left the range of its dtype or its domain", "clamp what is raised"),
}
BACKWARD: Final[Mapping[str, tuple[str, str]]] = {
    "sqrt": ("the slope of sqrt is infinite at 0, and 0 · ∞ is no number", "add a small ε before the sqrt"),
    "log": ("the slope of log is infinite at 0, and 0 · ∞ is no number", "add a small ε before the log"),
    "pow": ("the slope of a power below 1 is infinite at 0", "add a small ε before the power"),
    "div": ("the slope of 1/x is infinite at 0", "add a small ε to what is divided by"),
    "acos": ("the slope of acos is infinite at ±1", "clamp to within ±(1 − ε)"),
    "asin": ("the slope of asin is infinite at ±1", "clamp to within ±(1 − ε)"),
}
MASKED: Final = (
    "every score of a row is masked, and a softmax over nothing is not a number",
    "let each query see at least one key, or take the result of such rows as 0 (torch.where)",
)
GREW: Final = 1e8  # a second moment before the operation beyond which the weights are to blame: 1e4 in amplitude


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The operation that first made it."""
    signals = evidence.signals
    gradients = [p.gradient for p in signals.parameters.values() if p.gradient]
    if math.isfinite(signals.loss) and all(g.non_finite == 0 for g in gradients):
        return None
    share, advice, why, node = 1.0, "", "the operation left the range of its dtype or its domain", None
    if forward := _first_that_lasts(evidence):
        share, node = signals.values[forward.name].non_finite, forward
        what = f"{share:.2%} of the output of {forward.called} is infinite or not a number"
        why, advice = _reason(evidence, forward)
    elif not math.isfinite(signals.loss):
        what = f"the loss is {signals.loss}, though the model's output is finite"
        why, advice = _reason_of_the_loss(evidence)
    elif back := _first_going_back(evidence):
        receiver, node = back
        share = signals.gradients[receiver].non_finite
        sends = f"{share:.2%} of the gradient that {node.called} sends back"
        what = f"{sends} is infinite or not a number, forward all is finite"
        why, advice = BACKWARD.get(node.op, (why, ""))
    else:
        what = "a parameter's gradient is infinite or not a number, though what flows to it is finite"
    layer = next((s for s in evidence.layers if node and node.name in (s.layer.node.name, s.layer.output.name)), None)
    return check.finding(
        evidence,
        Severity.ERROR,
        layer or node,
        what=what,
        why=evidence.scale_sentence(layer.layer) if layer else why,
        advice=advice,
        non_finite_share=share,
        guard=float(bool(advice)),
    )


def _reason(evidence: Evidence, node: Node) -> tuple[str, str]:
    """Why an operation left the finite numbers, and what to do; no advice of its own where its inputs had grown."""
    values = evidence.signals.values
    if _hides_a_whole_row(evidence, node):
        return MASKED
    before = [values[name].second_moment for name in node.inputs if name in values]
    why, advice = FORWARD.get(node.op, ("the operation left the range of its dtype or its domain", ""))
    if any(not q < GREW for q in before):
        return f"{why}; what it is given has a second moment of {max(before):.2g}", ""
    return why, advice


def _reason_of_the_loss(evidence: Evidence) -> tuple[str, str]:
    """Where outputs had grown, or are for the loss to answer for."""
    seen = [evidence.signals.values[ref.name] for ref in evidence.graph.outputs if ref.name in evidence.signals.values]
    largest = max((one.second_moment for one in seen), default=0.0)
    if not largest < GREW:
        return f"the output has a second moment of {largest:.2g}, too much for {evidence.signals.loss_name}", ""
    return (
        f"{evidence.signals.loss_name} is not finite there: targets outside its domain, or a log or division in it",
        "look at the loss and the targets: values outside 0 … 1, log of 0, sqrt at 0, division by 0",
    )


def _first_that_lasts(evidence: Evidence) -> Node | None:
    """The first operation whose infinities or NaNs reach the output; those that a softmax makes finite do not."""
    graph, values = evidence.graph, evidence.signals.values
    lasting: dict[str, bool] = {}
    for node in reversed(graph.nodes):
        users = graph.users.get(node.name, ())
        broken = node.name in values and values[node.name].non_finite > 0
        lasting[node.name] = broken and (not users or any(lasting[user.name] for user in users))
    found = [node for node in graph.nodes if lasting[node.name]]
    masks = [node for node in found if values[node.name].mean == -math.inf]  # −∞ and no +∞, no NaN
    nans = (node for node in found if math.isnan(values[node.name].second_moment))
    hidden = next((node for node in nans if _hides_a_whole_row(evidence, node)), None)
    return hidden if hidden and found[0] in masks else next(iter(found), None)


def _hides_a_whole_row(evidence: Evidence, node: Node) -> bool:
    """A softmax that makes NaN of scores that are −∞ or finite."""
    values = evidence.signals.values
    if node.op in FUSED:
        return all(values[name].non_finite == 0 for name in node.inputs[:3] if name in values)
    given = [values[name] for name in node.inputs if name in values]
    return node.op in SOFTMAX and bool(given) and all(one.mean == -math.inf for one in given)


def _first_going_back(evidence: Evidence) -> tuple[str, Node] | None:
    """The first value, going back, whose gradient is not finite, and the operation whose backward rule made it so."""
    graph, gradients = evidence.graph, evidence.signals.gradients
    for node in reversed(graph.nodes):
        if node.name in gradients and gradients[node.name].non_finite:
            users = [u for u in graph.users.get(node.name, ()) if u.name in gradients]
            sound = sorted((u for u in users if not gradients[u.name].non_finite), key=lambda u: u.op not in BACKWARD)
            return node.name, next(iter(sound), node)
    return None


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Gains that keep the signal, in every layer; nothing where an operation is to be guarded."""
    return plan if finding.evidence["guard"] else fit_all_to_activations(plan, evidence)


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
