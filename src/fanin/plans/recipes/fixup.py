"""Fixup: residual networks without normalisation."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import Zeros, he_normal
from fanin.initializers.variance_scaling import VarianceScaling
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.depth import attending_branches, require_branches
from fanin.plans.model import Decision

SOURCE = "Zhang, Dauphin & Ma 2019, §3, rules 1 to 3"
ATTENTION_LAYERS = 2  # that a self-attention counts beyond value and output: query and key multiply, too: m = 4


def fixup(graph: Graph) -> Mapping[str, Decision]:
    """He's std × L^(−1/(2m−2)) within the L branches of m layers; the last layer of each and the readout 0.

    Scalar multipliers 1, biases 0. A self-attention has m = 4 layers: query, key, value and output.

    For: residual networks whose norms are taken out, with a scalar bias before each layer and a multiplier a branch.
    Not for: networks with norms, which it makes slow to begin.
    Reference: Zhang, Dauphin & Ma 2019, "Fixup initialization", §3.
    """
    require_branches(graph, "fixup")
    attending = attending_branches(graph)

    def weight(p: Parameter) -> Decision:
        if p.branch is None:
            return Decision(he_normal(), "in no residual branch: He's rule", SOURCE)
        within = (p.branch.stream, p.branch.index) in attending
        m = p.branch.steps + (ATTENTION_LAYERS if within else 0)
        if m < 2:
            return Decision(Zeros(), "the only layer of its branch: 0", SOURCE)
        factor = p.branch.count ** (-1 / (2 * m - 2))
        why = f"one of m = {m} layers in one of L = {p.branch.count} branches: He's std × L^(−1/{2 * m - 2})"
        return Decision(VarianceScaling(he_normal().gain * factor), why, SOURCE)

    last = always(Zeros(), "the last layer of its branch: 0, so that the branch starts as nothing", SOURCE)
    return by_role(
        graph,
        {
            **PLAIN,
            Role.WEIGHT: weight,
            Role.RESIDUAL_OUT: last,
            Role.READOUT: always(Zeros(), "the readout starts at 0", SOURCE),
        },
    )
