"""DeepScaleLM: moments kept through a thousand transformer layers."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fanin.errors import BadInput
from fanin.graph import Graph, Parameter, Role
from fanin.initializers import Normal, VarianceScaling, lecun_normal
from fanin.plans.by_role import PLAIN, by_role
from fanin.plans.depth import Stack, attending_branches, stacks
from fanin.plans.model import Decision
from fanin.plans.packed import PACKED, of_attention

SOURCE = "Kedia et al. 2024 (DeepScaleLM)"


def deepscale(
    graph: Graph, *, dropout: float = 0.1, correlation: float = 0.227, branch_weight: float = 2.0
) -> Mapping[str, Decision]:
    """Feed-forward Var = √((1−p)/2)/fan_in; value and output √((1−p)/r)/fan_in; query, key, readout 1/fan_in.

    r is the correlation of two tokens where the branch leaves the stream, followed from layer to layer. Embeddings have
    Var = (1−p)/3 each, three of them added. It presumes λ x + β f(x) with β² = branch_weight/N in N layers,
    λ² = 1 − β²: a recipe cannot put λ and β into the model.

    Args:
        dropout: p, of the model in training.
        correlation: of two tokens' embeddings; 0.227 is that of text of 32,000 words with segment embeddings.
        branch_weight: k.

    For: transformers with dropout whose stream and branches are weighted by λ and β.
    Not for: other transformers; ReLU is presumed in the feed-forward layers. For a cross attention the paper has no r:
    that of the embeddings is taken.
    Reference: Kedia et al. 2024, "Transformers get stable: an end-to-end signal propagation theory".
    """
    if not (0 <= dropout < 1 and 0 < correlation <= 1 and branch_weight > 0):
        raise BadInput(
            "deepscale: expected 0 ≤ dropout < 1, 0 < correlation ≤ 1 and branch_weight > 0; "
            f"got {dropout!r}, {correlation!r} and {branch_weight!r}."
        )
    kept = 1 - dropout
    belongs = stacks(graph, "deepscale")
    met = {
        (stack.stream, index): r
        for stack in set(belongs.values())
        for index, r in _correlations(graph, stack, kept, correlation, branch_weight).items()
    }

    def weight(p: Parameter) -> Decision:
        plain = Decision(lecun_normal(), "Var(w) = 1/fan_in", SOURCE)
        stack = belongs.get(p.path)
        if stack is None:
            return plain
        beta = math.sqrt(branch_weight / stack.layers)
        presumes = f"presuming λ x + β f(x) with β = {beta:.4g}"
        roles = set(p.roles)
        if (PACKED | {Role.ATTENTION_OUT}) & roles:
            r = met.get((stack.stream, p.branch.index if p.branch else -1), correlation)
            why = f"Var(w) = √({kept:g}/{r:.4g})/fan_in, {r:.4g} the correlation of tokens here, {presumes}"
            value = Decision(VarianceScaling((kept / r) ** 0.25), why, SOURCE)
            return of_attention(p, plain, value) if PACKED & roles else value
        return Decision(
            VarianceScaling((kept / 2) ** 0.25), f"feed-forward: Var(w) = √({kept:g}/2)/fan_in, {presumes}", SOURCE
        )

    def embedding(p: Parameter) -> Decision:
        return Decision(Normal(math.sqrt(kept / 3)), f"Var = {kept:g}/3: three are added, then dropout", SOURCE)

    tables = dict.fromkeys((Role.EMBEDDING, Role.POSITION), embedding)
    return by_role(graph, {**PLAIN, **tables, Role.WEIGHT: weight})


def _correlations(graph: Graph, stack: Stack, kept: float, start: float, k: float) -> dict[int, float]:
    """Branch → the correlation r of two tokens where it leaves the stream, whose variance is 1 throughout.

    An attention's result has correlation 1 but for dropout, (1−p); that of a feed-forward net with ReLU
    (1−p)(r + (√(1−r²) − r arccos r)/π). The stream then has λ² r + β² r'.
    """
    if stack.layers <= k:
        raise BadInput(
            f"deepscale weighs branches by β² = {k:g}/N and the stream by 1 − β², and {graph.model} has N = "
            f"{stack.layers} layers, too few. Give a smaller weight, deepscale(branch_weight={stack.layers / 2:g}), "
            "or use lecun or auto: so shallow a model needs no scheme for depth."
        )
    share, r, found = k / stack.layers, start, {}
    attending = attending_branches(graph)
    indices = {p.branch.index for p in graph.parameters if p.branch and p.branch.stream == stack.stream}
    for index in sorted(indices):
        found[index] = r
        bent = r + (math.sqrt(max(1 - r * r, 0.0)) - r * math.acos(min(r, 1.0))) / math.pi
        r = (1 - share) * r + share * kept * (1.0 if (stack.stream, index) in attending else bent)
    return found
