"""Vision transformers as the original JAX code starts them, by way of timm."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import (
    Constant,
    Normal,
    Zeros,
    glorot_uniform,
    lecun_truncated_normal,
    torch_truncated_normal,
)
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.convolution import is_convolution
from fanin.plans.depth import require_roles
from fanin.plans.model import Decision
from fanin.plans.packed import PACKED

SOURCE = "timm init_weights_vit_jax"
ATTENTION = frozenset({Role.QUERY, Role.KEY, Role.VALUE, Role.ATTENTION_OUT})


def timm_jax(graph: Graph, *, head_bias: float = 0.0) -> Mapping[str, Decision]:
    """Var(w) = 2/(fan_in + fan_out), uniform; the head 0; biases of MLPs N(0, 1e-6²); convolutions 1/fan_in.

    A packed query, key and value whose layout is known is drawn part by part; else with the fans of the whole, as timm
    does it. A bias of an MLP is that of a layer in a residual branch outside attention.

    Args:
        head_bias: of the head; −log(classes) begins at the prior of a sigmoid loss.

    For: training vision transformers from nothing.
    Not for: language models, whose readout at 0 makes the first gradients of all other weights 0.
    Reference: Dosovitskiy et al. 2021, appendix; timm, models/vision_transformer.py, `init_weights_vit_jax`.
    """
    require_roles(graph, "timm_jax", "which weights are the head, and which are in an MLP")
    read = {p.node: p for p in graph.parameters if p.role is Role.WEIGHT and p.node}

    def weight(p: Parameter) -> Decision:
        if is_convolution(graph, p):
            return Decision(lecun_truncated_normal(), "a convolution: Var(w) = 1/fan_in, cut at ±2σ", SOURCE)
        why = "Var(w) = 2/(fan_in + fan_out), uniform"
        if set(p.roles) >= PACKED:
            why += ", part by part" if p.parts else "; fans of query, key and value together: their layout is not known"
        return Decision(glorot_uniform(), why, SOURCE)

    def bias(p: Parameter) -> Decision:
        layer = read.get(p.node or "")
        if layer is not None and Role.READOUT in layer.roles:
            return Decision(Constant(head_bias) if head_bias else Zeros(), "the head's bias", SOURCE)
        if layer is not None and layer.branch and not ATTENTION & set(layer.roles) and len(layer.shape) == 2:
            return Decision(Normal(1e-6), "of an MLP: N(0, 1e-6²)", SOURCE)
        return Decision(Zeros(), "zero", SOURCE)

    return by_role(
        graph,
        {
            **PLAIN,
            Role.WEIGHT: weight,
            Role.READOUT: always(Zeros(), "the head starts at 0: every class alike", SOURCE),
            Role.BIAS: bias,
            Role.TOKEN: always(Normal(1e-6), "N(0, 1e-6²)", "timm VisionTransformer.init_weights"),
            Role.POSITION: always(torch_truncated_normal(0.02), "N(0, 0.02²)", "timm VisionTransformer.init_weights"),
        },
    )
