"""T-Fixup: transformers without layer norm and without warm-up."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import Normal, glorot_uniform
from fanin.plans.by_role import PLAIN, by_role
from fanin.plans.depth import stacks
from fanin.plans.model import Decision
from fanin.plans.packed import PACKED, of_attention

SOURCE = "Huang et al. 2020 (T-Fixup)"
ENCODER = 0.67  # × N^(−1/4)


def t_fixup(graph: Graph) -> Mapping[str, Decision]:
    """Glorot uniform; values and outputs × 0.67 N^(−1/4) in an encoder, × (9N)^(−1/4) in a decoder of N layers.

    Scaled are the value and output of each attention and both layers of the feed-forward net, not query and key.
    Embeddings N(0, 1/d) × (9N)^(−1/4). A stack without cross attention is taken for an encoder.

    For: transformers whose layer norms are taken out.
    Not for: models with norms; other residual networks.
    Reference: Huang et al. 2020, "Improving transformer optimization through better initialization" (T-Fixup).
    """
    belongs = stacks(graph, "t_fixup")
    deepest = max(stack.layers for stack in belongs.values())

    def weight(p: Parameter) -> Decision:
        plain = Decision(glorot_uniform(), "Glorot uniform, not scaled", SOURCE)
        stack = belongs.get(p.path)
        if stack is None:
            return plain
        n = stack.layers
        factor = (9 * n) ** -0.25 if stack.decodes else ENCODER * n**-0.25
        formula = f"(9 · {n})^(−1/4)" if stack.decodes else f"{ENCODER} · {n}^(−1/4)"
        place = "a decoder" if stack.decodes else "an encoder"
        scaled = Decision(glorot_uniform(factor), f"in {place} of {n} layers: Glorot uniform × {formula}", SOURCE)
        return of_attention(p, plain, scaled) if PACKED & set(p.roles) else scaled

    def embedding(p: Parameter) -> Decision:
        factor = (9 * deepest) ** -0.25
        why = f"N(0, 1/d) × (9 · {deepest})^(−1/4), by the layers of the deepest stack"
        return Decision(Normal(p.shape[-1] ** -0.5 * factor), why, SOURCE)

    return by_role(graph, {**PLAIN, Role.WEIGHT: weight, Role.EMBEDDING: embedding})
