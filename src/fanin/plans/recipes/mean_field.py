"""The start of mean-field theory: one variance for all weights in units of 1/fan_in, one for all biases."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fanin.errors import BadInput
from fanin.graph import Graph, Role
from fanin.initializers import Normal, VarianceScaling, Zeros
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.model import Decision

SOURCE = "Poole et al. 2016, §2"


def mean_field(graph: Graph, *, weight_var: float = 1.0, bias_var: float = 0.0) -> Mapping[str, Decision]:
    """Var(w) = weight_var/fan_in, Var(b) = bias_var: the plane of order and chaos, where a net may stand anywhere.

    For: seeing how far a signal comes at a point of it; `fanin.mean_field` predicts that.
    Not for: starting a net: edge_of_chaos finds the weight_var that it needs.
    Reference: Poole et al. 2016, "Exponential expressivity in deep neural networks through transient chaos", §2.

    Raises:
        BadInput: a variance that is negative or not finite.
    """
    for name, given in (("weight_var", weight_var), ("bias_var", bias_var)):
        if not (isinstance(given, int | float) and math.isfinite(given) and given >= 0):
            raise BadInput(f"mean_field: {name} must be a variance, 0 or above and finite; got {given!r}.")
    rule = always(VarianceScaling(math.sqrt(weight_var)), f"σ_w² = {weight_var:g}, over fan_in", SOURCE)
    law = Normal(math.sqrt(bias_var)) if bias_var else Zeros()
    return by_role(graph, {**PLAIN, Role.WEIGHT: rule, Role.BIAS: always(law, f"σ_b² = {bias_var:g}", SOURCE)})
