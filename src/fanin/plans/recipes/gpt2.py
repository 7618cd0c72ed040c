"""GPT-2: one standard deviation, smaller where a branch enters the residual stream."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import Normal
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.depth import require_roles
from fanin.plans.model import Decision

SOURCE = "Radford et al. 2019, §2.3; transformers GPT2PreTrainedModel._init_weights"


def gpt2(graph: Graph, *, std: float = 0.02) -> Mapping[str, Decision]:
    """N(0, std²); the last weights of residual branches N(0, std²/L), L branches: two a layer, 0.02/√(2 · layers).

    Where several weights end one branch, as experts do, each has the smaller scale. Positions as tokens, std.

    For: decoders with pre-norm, of GPT-2's widths (768 to 1600).
    Not for: much wider or narrower models: 0.02 is 1/√fan_in at width 2500.
    Reference: Radford et al. 2019, "Language models are unsupervised multitask learners", §2.3.
    """
    require_roles(graph, "gpt2", "which weights end a residual branch")
    plain = always(Normal(std), f"N(0, {std:g}²), blind to fan_in", SOURCE)

    def residual(p: Parameter) -> Decision:
        branches = p.branch.count if p.branch else 1
        why = f"ends one of {branches} residual branches: {std:g}/√{branches} keeps their sum at {std:g}"
        return Decision(Normal(std / math.sqrt(branches)), why, SOURCE)

    everywhere = (Role.WEIGHT, Role.RECURRENT, Role.EMBEDDING, Role.POSITION, Role.TOKEN, Role.ROUTER)
    return by_role(graph, {**PLAIN, **dict.fromkeys(everywhere, plain), Role.RESIDUAL_OUT: residual})
