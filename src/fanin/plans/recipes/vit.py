"""Vision transformers as DeiT and timm start them."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import lecun_truncated_normal, torch_truncated_normal
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.convolution import is_convolution
from fanin.plans.model import Decision

SOURCE = "timm init_weights_vit_timm; Touvron et al. 2021 (DeiT), _init_weights"
PATCHES = "timm init_weights_vit_jax: lecun_normal_ for convolutions"


def vit(graph: Graph, *, std: float = 0.02) -> Mapping[str, Decision]:
    """Matrices, positions and tokens N(0, std²) cut at ±2; convolutions, the patch embedding first, Var(w) = 1/fan_in.

    The cut at ±2 is 100 std: none. Query, key and value, packed or not, have one law.

    For: vision transformers with pre-norm.
    Not for: convolutional nets with a few linear layers: use he or auto.
    Reference: Touvron et al. 2021, "Training data-efficient image transformers"; timm, `init_weights_vit_timm`.
    """
    small = always(torch_truncated_normal(std), f"N(0, {std:g}²), cut at ±2", SOURCE)

    def weight(p: Parameter) -> Decision:
        if is_convolution(graph, p):
            return Decision(lecun_truncated_normal(), "a convolution: Var(w) = 1/fan_in, cut at ±2σ", PATCHES)
        return small(p)

    everywhere = (Role.RECURRENT, Role.EMBEDDING, Role.POSITION, Role.TOKEN, Role.ROUTER)
    return by_role(graph, {**PLAIN, **dict.fromkeys(everywhere, small), Role.WEIGHT: weight})
