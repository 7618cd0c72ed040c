"""The additions of residual branches with the sizes of what is added: what F05 and F06 look at."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.remedies import fit_to_activations
from fanin.graph import Node, Parameter
from fanin.graph.residual import ResidualBranch
from fanin.plans import Plan


@dataclass(frozen=True)
class Addition:
    """One x + f(x), in second moments.

    Attributes:
        stream: of x, which goes on beside the branch.
        added: of f(x).
        result: of the sum.
    """

    branch: ResidualBranch
    node: Node
    stream: float
    added: float
    result: float

    @property
    def ratio(self) -> float:
        """Of the branch to the stream; infinite where there is no stream."""
        return self.added / self.stream if self.stream else math.inf


def additions_of(evidence: Evidence) -> dict[int, list[Addition]]:
    """Stream by stream, in the order they run; those with a value that is not known or not finite are left out."""
    found: dict[int, list[Addition]] = {}
    values = evidence.signals.values
    for branch in evidence.branches:
        seen = [values[name].second_moment for name in (branch.skip, branch.end, branch.add) if name in values]
        if len(seen) == 3 and all(math.isfinite(q) for q in seen):
            node = evidence.graph.by_name[branch.add]
            found.setdefault(branch.stream, []).append(Addition(branch, node, *seen))
    return found


def parameters_in(evidence: Evidence, branch: ResidualBranch) -> list[Parameter]:
    """All that the operations of a branch read."""
    read = [
        name
        for node in evidence.paths.nodes_in(branch.members)
        if node in evidence.graph.by_name
        for name in evidence.graph.by_name[node].inputs
    ]
    return list({p.path: p for name in read if (p := evidence.graph.by_path.get(name))}.values())


def fit_branches(plan: Plan, evidence: Evidence, additions: list[Addition]) -> Plan:
    """The weights of these branches as auto has them: gains of what they feed, and 1/√N at the end."""
    weights = {seen.layer.weight for seen in evidence.layers}
    inside = [p.path for a in additions for p in parameters_in(evidence, a.branch) if p.path in weights]
    return fit_to_activations(plan, evidence, dict.fromkeys(inside))
