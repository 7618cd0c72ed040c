"""What PyTorch's own constructors draw, from fanin's stream."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import Normal, Uniform, Zeros, torch_uniform
from fanin.plans.by_role import BESIDE_LAYERS, NORMS_AT_IDENTITY, Rule, always, by_role
from fanin.plans.model import Decision

LINEAR = "torch.nn.Linear.reset_parameters: kaiming_uniform_(a=√5)"
RECURRENT = "torch.nn.RNNBase.reset_parameters"
EMBEDDING = "torch.nn.Embedding.reset_parameters"


def torch_default(graph: Graph) -> Mapping[str, Decision]:
    """U(±1/√fan_in) for weights and biases, as `torch.nn.Linear` and `Conv` do: a third of LeCun's variance.

    With true fans: for transposed and grouped convolutions PyTorch itself takes others (pytorch/pytorch#23854).
    For parameters of no layer, such as positions, tokens and scales, PyTorch has no default, and fanin's is taken.

    For: comparing with what a model has if nobody initializes it.
    Not for: deep nets without norms, which vanish with it.
    Reference: torch.nn, `Linear.reset_parameters`, `RNNBase.reset_parameters`, `Embedding.reset_parameters`.
    """
    fan_in = {p.node: p.fans.fan_in for p in graph.parameters if p.role is Role.WEIGHT and p.fans}
    hidden = {p.node: p.fans.fan_out for p in graph.parameters if p.role is Role.RECURRENT and p.fans}
    beside: dict[Role, Rule] = {role: rule for role, rule in BESIDE_LAYERS.items() if role is not Role.STEP_BIAS}

    def recurrent(p: Parameter) -> Decision:
        return Decision(_within(hidden[p.node]), "U(±1/√hidden) for all of a recurrent layer", RECURRENT)

    def weight(p: Parameter) -> Decision:
        if p.node in hidden:
            return recurrent(p)
        return Decision(torch_uniform(), "U(±1/√fan_in), variance 1/(3 fan_in)", LINEAR)

    def bias(p: Parameter) -> Decision:
        if p.node in hidden:
            return recurrent(p)
        if fan_in.get(p.node):
            return Decision(_within(fan_in[p.node]), "U(±1/√fan_in) of its layer", LINEAR)
        return Decision(Zeros(), "no fan_in is known for this bias: zero", LINEAR)

    table = always(Normal(), "N(0, 1)", EMBEDDING)

    def position(p: Parameter) -> Decision:
        return table(p) if p.role is Role.EMBEDDING else beside[Role.POSITION](p)

    return by_role(
        graph,
        {
            **beside,
            **NORMS_AT_IDENTITY,
            Role.WEIGHT: weight,
            Role.RECURRENT: recurrent,
            Role.BIAS: bias,
            Role.EMBEDDING: table,
            Role.POSITION: position,
        },
    )


def _within(fan: float) -> Uniform:
    return Uniform(-1 / math.sqrt(fan), 1 / math.sqrt(fan))
