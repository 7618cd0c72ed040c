"""What recipes share: a rule for each role."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import (
    Constant,
    Initializer,
    Normal,
    Ones,
    S4DReal,
    StepBias,
    VarianceScaling,
    Zeros,
    lecun_normal,
)
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


def tied(p: Parameter) -> bool:
    """Whether an embedding's table is also a readout, under a second name or by the operation that reads it."""
    return bool(p.also) or Role.READOUT in p.roles


def unit_embedding(p: Parameter) -> Decision:
    """Vectors of unit second moment; where the table is also a readout, of unit length so that logits stay near 1."""
    if tied(p):
        return Decision(
            Normal(std=p.shape[-1] ** -0.5), "embedding tied to a readout: std 1/√d keeps the logits near 1"
        )
    return Decision(Normal(), "each lookup is one row: std 1 gives its elements second moment 1")


EMBEDDINGS_AT_ONE: Final[Mapping[Role, Rule]] = {Role.EMBEDDING: unit_embedding}

MAMBA: Final = "Gu & Dao 2023 (Mamba), §3.6"
# What stands beside the layers: a user's own parameters, which no published scheme for layers speaks of.
BESIDE_LAYERS: Final[Mapping[Role, Rule]] = {
    Role.POSITION: always(
        Normal(std=0.02), "small beside the signal that it is added to", "Devlin et al. 2019: std 0.02"
    ),
    Role.TOKEN: always(Normal(std=0.02), "one row of the sequence, small", "Touvron et al. 2021 (DeiT): std 0.02"),
    Role.LAYER_SCALE: always(Ones(), "the branch enters with all its strength, as if nothing scaled it"),
    Role.SCALE: always(Ones(), "1 leaves what it scales as it is"),
    Role.SLOPE: always(Constant(0.25), "the slope below 0", "He et al. 2015, §2.1"),
    Role.DECAY: always(S4DReal(), "S4D-Real, decays −1, −2, …, −N: memories of many lengths", MAMBA),
    Role.STEP_BIAS: always(StepBias(), "steps from 0.001 to 0.1 behind the softplus, log-uniform", MAMBA),
}

SMALL_ROUTER: Final[Mapping[Role, Rule]] = {
    Role.ROUTER: always(
        VarianceScaling(gain=math.sqrt(0.1)),
        "Var(w) = 0.1/fan_in: at first the experts are asked almost alike",
        "Fedus et al. 2022 (Switch Transformer), §2.4: initialization scale 0.1",
    )
}

PLAIN: Final[Mapping[Role, Rule]] = {
    **BESIDE_LAYERS,
    **SMALL_ROUTER,
    Role.RECURRENT: always(lecun_normal(), "unit gain through time, before the cell's activation and gates"),
    **NORMS_AT_IDENTITY,
    **ZERO_BIASES,
    **EMBEDDINGS_AT_ONE,
}


def by_role(graph: Graph, rules: Mapping[Role, Rule]) -> dict[str, Decision]:
    """The decision of the first of each parameter's roles that has a rule; those without one stay undecided.

    An embedding's table that is also a readout is an embedding: its rule knows that it is `tied`.
    """

    def asked(p: Parameter) -> Iterator[Role]:
        return (role for role in p.roles if role is not Role.READOUT or p.role is not Role.EMBEDDING)

    first = {p.path: (p, next((rules[role] for role in asked(p) if role in rules), None)) for p in graph.parameters}
    return {path: rule(p) for path, (p, rule) in first.items() if rule is not None}
