"""Each query attends to one key or two: the logits are too large for the softmax.

## What it does
Looks at the softmax of each attention, query by query: its entropy as a share of that of uniform attention over the
keys that the query can see, and the standard deviation of the logits over those keys. Reports the first attention whose
average is below 0.25 with logits that spread by more than 3.

## Why it is bad
A softmax near one-hot has no slope: which key is attended to was decided by the start, and the gradient of queries and
keys is nearly 0. Where it is not, it is large: training becomes unstable when the entropy collapses.

## Example
    torch.nn.init.normal_(attention.in_proj_weight)          # std 1: logits of std √width³ or so

## Remedy
Query and key weights that give logits of variance 1 or less, with the division by √head width. Uniform attention is a
good start: it is what small logits give, and it is never reported.

## Known exceptions
A bias that is meant to be sharp, such as ALiBi's for the steepest heads, counts as part of the logits. Queries and keys
that pass a norm are scaled by it, not by their weights: change its gain, or what multiplies the logits.

## Source
Zhai et al. 2023; Vaswani et al. 2017, section 3.2.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.graph import Role
from fanin.graph.attention import Attention
from fanin.graph.layers import goes_to_a_norm
from fanin.initializers import Target
from fanin.initializers.scaled import can_be_scaled, scaled
from fanin.plans import Plan
from fanin.plans.model import Decision
from fanin.plans.recipes.auto import auto
from fanin.signals import AttentionDetail

# Gaussian logits of std 1 leave 0.9 of the entropy, of std 4 a third, of std 6 a fifth, be there 8 keys or 1000.
COLLAPSED: Final = 0.25
HOT: Final = 3.0  # from here on it is the logits; a mask leaves few keys and is not counted
LOGIT_STD: Final = 1.0  # as auto has it, by unit queries and keys


def _collapsed(evidence: Evidence) -> list[tuple[Attention, AttentionDetail]]:
    seen = [
        (a, evidence.signals.attention[a.output]) for a in evidence.attentions if a.output in evidence.signals.attention
    ]
    return [(a, d) for a, d in seen if d.entropy < COLLAPSED and d.logit_std > HOT]


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The first attention that has collapsed."""
    found = _collapsed(evidence)
    if not found:
        return None
    (first, detail), graph = found[0], evidence.graph
    values = evidence.signals.values
    sizes = [
        f"{what} of second moment {values[name].second_moment:.3g}"
        for what, name in (("queries", first.query), ("keys", first.key))
        if name in values
    ]
    return check.finding(
        evidence,
        Severity.WARNING,
        graph.by_name[first.softmax],
        what=f"a query gives {detail.largest:.2f} to one of {detail.keys:.0f} keys, on average; the entropy is "
        f"{detail.entropy:.0%} of that of uniform attention; {len(found)} attention(s) are so",
        why=f"the logits have a standard deviation of {detail.logit_std:.3g}: {' and '.join(sizes) or 'too large'}",
        also=[graph.by_name[a.softmax].module for a, _ in found],
        largest_weight=detail.largest,
        entropy_share=detail.entropy,
        logit_std=detail.logit_std,
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Query and key weights that would have given logits of std 1; of packed ones, those that are of unit gain."""
    decisions, graph = auto(evidence.graph), evidence.graph
    changed: dict[str, Decision] = {}
    for attention, detail in _collapsed(evidence):
        weights = [_weight_behind(evidence, name) for name in (attention.query, attention.key)]
        for path in dict.fromkeys(w for w in weights if w):
            p, decided = graph.by_path[path], decisions[path]
            normed = any(s.layer.weight == path and goes_to_a_norm(graph, s.layer) for s in evidence.layers)
            if p.frozen or normed or path in changed:
                continue
            law = decided.initializer.law(Target(path, p.shape, fans=p.fans, parts=p.parts))
            now = math.sqrt(evidence.signals.parameters[path].value.second_moment)
            wanted = now * math.sqrt(LOGIT_STD / detail.logit_std)
            if Role.VALUE not in p.roles and can_be_scaled(decided.initializer) and law.std > 0:
                why = f"logits had a standard deviation of {detail.logit_std:.3g}: so wide that it is {LOGIT_STD:g}"
                decided = Decision(scaled(decided.initializer, wanted / law.std), why, "Zhai et al. 2023")
            changed[path] = decided
    return plan.decide(changed)


def _weight_behind(evidence: Evidence, name: str) -> str | None:
    """The weight that makes queries or keys, seen through what has one input."""
    paths = evidence.paths
    while name not in paths.weights:
        sources: Sequence[str] = paths.sources.get(name, ())
        if not sources:
            return None
        name = sources[0]
    return paths.weights[name][0]


CHECK = Check(
    code="A01",
    name="collapsed attention",
    summary="Each query attends to one key or two: the logits are too large for the softmax.",
    page=__doc__,
    find=find,
    remedy=remedy,
    advice="give the query and key weights unit gain (recipe auto), and divide the logits by √head width",
    needs="a measurement",
    worse="larger",
)
