"""DeepNorm: post-norm transformers of a thousand layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import glorot_normal
from fanin.plans.by_role import PLAIN, by_role
from fanin.plans.depth import Stack, stacks
from fanin.plans.model import Decision
from fanin.plans.packed import PACKED, of_attention

SOURCE = "Wang et al. 2022 (DeepNet), Figure 2"


class _Scale(NamedTuple):
    """β of the weights with its formula, and the α that the architecture must have."""

    beta: float
    formula: str
    alpha: float


def deepnorm(graph: Graph) -> Mapping[str, Decision]:
    """Glorot normal × β for values, attention outputs and feed-forward layers; query and key × 1.

    β = (8N)^(−1/4) in an encoder or decoder alone; with both, 0.87 (N⁴M)^(−1/16) in the encoder of N layers and
    (12M)^(−1/4) in the decoder of M. It presumes LN(α x + f(x)) with α = (2N)^(1/4); 0.81 (N⁴M)^(1/16) and (3M)^(1/4):
    a recipe cannot put α into the model. (torchscale multiplies by 1.15 (N⁴M)^(−1/16) where the paper has 0.87.)

    For: post-norm transformers with the stream weighted by α.
    Not for: pre-norm, or post-norm without α: branches are then too weak.
    Reference: Wang et al. 2022, "DeepNet: Scaling transformers to 1,000 layers", Figure 2.
    """
    belongs = stacks(graph, "deepnorm")
    found = {stack.stream: stack for stack in belongs.values()}
    scales = {stream: _scale(stack, found.values()) for stream, stack in found.items()}

    def weight(p: Parameter) -> Decision:
        plain = Decision(glorot_normal(), "Glorot normal, not scaled", SOURCE)
        stack = belongs.get(p.path)
        if stack is None:
            return plain
        beta, formula, alpha = scales[stack.stream]
        why = f"Glorot normal × β = {formula} = {beta:.4g}, presuming LN(α x + f(x)) with α = {alpha:.4g}"
        scaled = Decision(glorot_normal(beta), why, SOURCE)
        return of_attention(p, plain, scaled) if PACKED & set(p.roles) else scaled

    return by_role(graph, {**PLAIN, Role.WEIGHT: weight})


def _scale(stack: Stack, every: Collection[Stack]) -> _Scale:
    decoder = next((s for s in every if s.decodes), None)
    n = stack.layers
    if decoder is None:
        return _Scale((8 * n) ** -0.25, f"(8 · {n})^(−1/4)", (2 * n) ** 0.25)
    m = decoder.layers
    if stack.decodes:
        return _Scale((12 * n) ** -0.25, f"(12 · {n})^(−1/4)", (3 * n) ** 0.25)
    product = n**4 * m
    return _Scale(0.87 * product ** (-1 / 16), f"0.87 · ({n}⁴ · {m})^(−1/16)", 0.81 * product ** (1 / 16))
