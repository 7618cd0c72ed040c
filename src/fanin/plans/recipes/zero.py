"""ZerO: identities and Hadamard matrices, nothing random."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import Dirac, ZerO, Zeros, lecun_normal
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.convolution import groups_of
from fanin.plans.depth import require_roles
from fanin.plans.model import Decision

SOURCE = "Zhao, Schäfer & Anandkumar 2022, Algorithms 1 and 2"


def zero(graph: Graph) -> Mapping[str, Decision]:
    """The identity where a layer keeps or lowers its width, a Hadamard matrix where it raises it; branches end in 0.

    At the center of a kernel; a grouped convolution hands its channels on. Embeddings and routers stay random, as the
    paper has none. Experts start alike: only the router tells them apart.

    For: residual networks; the same start on every machine without a seed.
    Not for: plain deep nets without norms; see `zeros` for a start that is all zeros.
    Reference: Zhao, Schäfer & Anandkumar 2022, "ZerO initialization", Algorithms 1 and 2.
    """
    require_roles(graph, "zero", "which weights end a residual branch")

    def weight(p: Parameter) -> Decision:
        groups = groups_of(graph, p)
        if groups > 1:
            return Decision(Dirac(groups), "a grouped convolution: each channel is handed on", SOURCE)
        if len(p.shape) < 2:
            return Decision(lecun_normal(), "a vector, which the paper does not have: Var(w) = 1/fan_in")
        alike = "; experts alike" if Role.EXPERT in p.roles else ""
        return Decision(ZerO(), f"identity, or Hadamard where the width grows{alike}", SOURCE)

    last = always(Zeros(), "the last weight of its branch: 0", SOURCE)
    return by_role(graph, {**PLAIN, Role.WEIGHT: weight, Role.RECURRENT: weight, Role.RESIDUAL_OUT: last})
