"""Llama as Meta's torchtitan trains it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import CutNormal, Initializer, Normal, Ones, torch_truncated_normal
from fanin.plans.by_role import PLAIN, always, by_role, tied
from fanin.plans.depth import require_roles
from fanin.plans.model import Decision

SOURCE = "torchtitan Llama 3, Transformer.init_weights, FeedForward.init_weights"
CUT = 3.0  # sigmas, of the readout


def llama(graph: Graph, *, std: float = 0.02, by_layer: bool = True) -> Mapping[str, Decision]:
    """N(0, std²) cut at ±2; branch outputs and the gated value std/√(2 (layer + 1)); readout N(0, 1/d) cut at ±3σ.

    Embeddings N(0, 1). A tied table has the readout's law, as torchtitan writes it last. Two branches make a layer.

    Args:
        std: of a weight before depth counts. The cut at ±2 is 100 of it: none.
        by_layer: scale with the number of the layer, from 1; False: with the number of all layers.

    For: decoders with RMSNorm before each branch and gated feed-forward layers.
    Not for: post-norm, or models without a norm before the readout.
    Reference: torchtitan, models/llama3, `init_weights` with `depth_init`.
    """
    require_roles(graph, "llama", "which weights end a residual branch, are gates, or make the output")
    plain = always(torch_truncated_normal(std), f"N(0, {std:g}²), cut at ±2", SOURCE)

    def deep(p: Parameter) -> Decision:
        if p.branch is None:
            return plain(p)
        layer = p.branch.index // 2 + 1 if by_layer else (p.branch.count + 1) // 2
        what = "its layer is number" if by_layer else "layers:"
        return Decision(
            torch_truncated_normal(std / math.sqrt(2 * layer)),
            f"its result enters the residual stream; {what} {layer}: {std:g}/√(2 · {layer})",
            SOURCE,
        )

    def gate(p: Parameter) -> Decision:
        if Role.UP not in p.roles:
            return plain(p)
        why = "packs a gate and the value that it gates in a layout that the graph does not show: not scaled by depth"
        return plain(p)._replace(why=f"N(0, {std:g}²), cut at ±2; {why}")

    def embedding(p: Parameter) -> Decision:
        if tied(p):
            return Decision(_readout(p.shape[-1]), "tied to the readout: std 1/√d, cut at ±3σ", SOURCE)
        return Decision(Normal(), "N(0, 1), as torchtitan draws it", SOURCE)

    def readout(p: Parameter) -> Decision:
        fan_in = p.fans.fan_in if p.fans else p.shape[-1]
        return Decision(_readout(fan_in), "std 1/√d, cut at ±3σ: logits near 1", SOURCE)

    return by_role(
        graph,
        {
            **PLAIN,
            **dict.fromkeys((Role.WEIGHT, Role.RECURRENT, Role.ROUTER), plain),
            Role.GATE: gate,
            Role.RESIDUAL_OUT: deep,
            Role.UP: deep,
            Role.READOUT: readout,
            Role.EMBEDDING: embedding,
            Role.NORM_SCALE: always(Ones(), "a norm starts as plain normalisation", SOURCE),
        },
    )


def _readout(fan_in: float) -> Initializer:
    std = 1 / math.sqrt(fan_in)
    return CutNormal(std, 0.0, -CUT * std, CUT * std)
