"""What recipes share: a rule for each role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import Initializer, Normal, Ones, Zeros, lecun_normal
from fanin.plans.model import Decision

Rule = Callable[[Parameter], Decision]


def always(what: Initializer, why: str, source: str = "") -> Rule:
    """The same decision for every parameter of the role."""
    return lambda _: Decision(what, why, source)


NORMS_AT_IDENTITY: Final[Mapping[Role, Rule]] = {
    Role.NORM_SCALE: always(Ones(), "a norm starts as plain normalisation"),
    Role.NORM_SHIFT: always(Zeros(), "a norm starts as plain normalisation"),
}

ZERO_BIASES: Final[Mapping[Role, Rule]] = {
    Role.BIAS: always(Zeros(), "zero is safe: random weights already tell the units apart"),
}


def unit_embedding(p: Parameter) -> Decision:
    """Vectors of unit second moment; where the table is also a readout, of unit length so that logits stay near 1."""
    if p.also:
        return Decision(
            Normal(std=p.shape[-1] ** -0.5), "embedding tied to a readout: std 1/√d keeps the logits near 1"
        )
    return Decision(Normal(), "each lookup is one row: std 1 gives its elements second moment 1")


EMBEDDINGS_AT_ONE: Final[Mapping[Role, Rule]] = {Role.EMBEDDING: unit_embedding}

PLAIN: Final[Mapping[Role, Rule]] = {
    Role.RECURRENT: always(lecun_normal(), "unit gain through time, before the cell's activation and gates"),
    **NORMS_AT_IDENTITY,
    **ZERO_BIASES,
    **EMBEDDINGS_AT_ONE,
}


def by_role(graph: Graph, rules: Mapping[Role, Rule]) -> dict[str, Decision]:
    """The decision of the first of each parameter's roles that has a rule; those without one stay undecided."""
    first = {p.path: (p, next((rules[role] for role in p.roles if role in rules), None)) for p in graph.parameters}
    return {path: rule(p) for path, (p, rule) in first.items() if rule is not None}
