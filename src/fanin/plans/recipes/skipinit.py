"""SkipInit and ReZero: every residual branch starts as nothing."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import VarianceScaling, Zeros
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.depth import require_branches
from fanin.plans.feeding import activations_fed, gain_for, says_what_it_feeds
from fanin.plans.model import Decision

SOURCE = "De & Smith 2020 (SkipInit); Bachlechner et al. 2021 (ReZero)"


def skipinit(graph: Graph) -> Mapping[str, Decision]:
    """Branches start as nothing, x + α f(x) with α = 0: their learned scale if they have one, else their last weight.

    Other weights: gain of the activation that they feed, Var(w) = gain²/fan_in.

    For: residual networks without norms (SkipInit), transformers without norms (ReZero).
    Not for: plain networks; branches whose norm comes last, which has its own scale.
    Reference: De & Smith 2020, "Batch normalization biases residual blocks towards the identity function" (SkipInit);
    Bachlechner et al. 2021, "ReZero is all you need".
    """
    require_branches(graph, "skipinit")
    fed = activations_fed(graph)

    def weight(p: Parameter) -> Decision:
        phi = fed.get(p.path)
        return Decision(VarianceScaling(gain_for(phi)), says_what_it_feeds(phi))

    def last(p: Parameter) -> Decision:
        scale = _scale_behind(graph, p)
        if scale:
            decided = weight(p)
            return decided._replace(why=f"{decided.why}; its branch starts as nothing by {scale}")
        return Decision(Zeros(), "the last weight of its branch: 0, so that the branch starts as nothing", SOURCE)

    return by_role(
        graph,
        {
            **PLAIN,
            Role.WEIGHT: weight,
            Role.RESIDUAL_OUT: last,
            Role.LAYER_SCALE: always(Zeros(), "α = 0: its branch starts as nothing", SOURCE),
        },
    )


def _scale_behind(graph: Graph, p: Parameter) -> str:
    """The layer scale between the last weight of a branch and the addition; "" if there is none."""
    pending = [p.node or ""]
    seen: set[str] = set()
    while pending:
        for user in graph.users.get(pending.pop(), ()):
            read = [graph.by_path[name] for name in user.inputs if name in graph.by_path]
            if scale := next((q.path for q in read if Role.LAYER_SCALE in q.roles), ""):
                return scale
            weights = any(q.role in {Role.WEIGHT, Role.RECURRENT} for q in read)
            if user.op != "add" and not weights and user.name not in seen:
                seen.add(user.name)
                pending.append(user.name)
    return ""
