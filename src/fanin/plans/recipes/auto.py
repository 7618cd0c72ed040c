"""What follows each weight decides its law: an activation, a sum, a softmax, a norm, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fanin.activations import activation
from fanin.graph import Branch, Graph, Layer, Parameter, Parts, Role, layers
from fanin.graph.attention import logit_scale
from fanin.graph.chains import Link, links
from fanin.graph.layers import goes_to_a_norm
from fanin.initializers import (
    Chrono,
    Orthogonal,
    VarianceScaling,
    forget_gate_bias,
    glorot_normal,
    he_normal,
    lecun_normal,
)
from fanin.initializers.parts import LSTM_GATES
from fanin.initializers.scaled import scaled
from fanin.plans.by_role import PLAIN, by_role
from fanin.plans.dot_products import factors
from fanin.plans.feeding import gain_for
from fanin.plans.isometry import chain_is_deep, keeps_isometry
from fanin.plans.model import Decision
from fanin.plans.tuned import LOGITS

LECUN: Final = "LeCun et al. 1998, §4.6"
NEARLY: Final = 0.7  # a gain nearer to 1 is no matter of √head width
LONG: Final = 100  # steps, beyond which a forget gate of ½ or ¾ remembers nothing


def auto(graph: Graph) -> Mapping[str, Decision]:
    """Gain from the activation that each weight really feeds, branches by depth, long chains isometric. The default.

    Then widths are tuned on what the graph predicts (docs/plans.md).

    For: any model.
    Not for: reproducing a paper, whose recipe may have its own name here.
    Reference: each decision names its own; docs/adr/0009-plans.md.
    """
    feeding = {layer.weight: layer for layer in reversed(layers(graph))}  # the first use decides
    chains = links(graph)
    normed = {layer.weight for layer in feeding.values() if goes_to_a_norm(graph, layer)}

    logits = _gains_of_queries(graph)

    def weight(p: Parameter) -> Decision:
        return _weight(p, feeding.get(p.path), chains.get(p.path), p.path in normed, logits.get(p.path, 1.0))

    rules = {
        **PLAIN,
        Role.WEIGHT: weight,
        Role.RECURRENT: lambda _: Decision(
            Orthogonal(), "unit gain through time, for every direction", "Saxe et al. 2014"
        ),
    }
    return by_role(graph, rules) | _gates(graph) | factors(graph)


def _gains_of_queries(graph: Graph) -> dict[str, float]:
    """Of weights that make queries alone, where nothing divides the logits by √head width, as in T5: 1/(s √d)."""
    structure, found = graph.structure, dict[str, float]()
    for attention in structure.attentions:
        scale = logit_scale(structure.paths, attention)
        width = graph.by_name[attention.query].shape[-1:]
        gain = 1 / (scale * width[0] ** 0.5) if scale and width else 1.0
        behind = structure.paths.to_weight(attention.query)
        for path in structure.paths.weights[behind[-1]] if behind and gain < NEARLY else ():
            if not {Role.KEY, Role.VALUE} & set(graph.by_path[path].roles):
                found[path] = gain
    return found


def _weight(p: Parameter, layer: Layer | None, link: Link | None, normed: bool, logits: float) -> Decision:
    """In the order of what says most: a deep chain, attention, a branch's end, the readout, what is fed."""
    if layer is None:  # the second of an operation's weights: stacked LSTMs
        return Decision(lecun_normal(), "not the first weight of its operation: unit gain", LECUN)
    isometric = keeps_isometry(p, link) if link is not None and chain_is_deep(link) else None
    asks = bool({Role.QUERY, Role.KEY} & set(p.roles))
    if isometric is not None:
        decided = isometric
    elif p.branch and p.branch.normed and (not asks or Role.VALUE in p.roles):
        decided = _behind_norms(p.branch, layer)
    elif logits != 1:
        why = f"queries of gain {logits:.3g}, as nothing divides the logits by √head width: their variance is about 1"
        decided = Decision(VarianceScaling(gain=logits), why, "Raffel et al. 2020; Vaswani et al. 2017, §3.2.1")
    elif asks:
        decided = Decision(lecun_normal(), "unit queries and keys, logits of variance about 1", LECUN)
    elif Role.RESIDUAL_OUT in p.roles and p.branch and not normed:
        n = p.branch.count
        why = f"ends one of {n} branches: gain 1/√{n}, so that all of them together add what the stream has"
        decided = Decision(VarianceScaling(gain=n**-0.5), why, "Radford et al. 2019, §2.3; De & Smith 2020, §3")
    else:
        decided = weight_for(layer)
    return _small_readout(decided) if Role.READOUT in p.roles and layer.activation is None else decided


def _small_readout(decided: Decision) -> Decision:
    """Logits of second moment ¼: a loss of about ⅛ above chance. Smaller ones cost the layers behind their gradient."""
    why = f"{decided.why}; readout: × ½, so that the first loss is about what chance gives"
    return Decision(scaled(decided.initializer, LOGITS**0.5), why, decided.source)


def _behind_norms(branch: Branch, layer: Layer) -> Decision:
    """A norm on the skip divides the gradient by 1 + E f² at every addition: E f² of 0.63/√N, shared by the weights."""
    n, m = branch.count, branch.steps
    gain = (0.63 / n**0.5) ** (1 / m) * gain_for(layer.activation)
    why = (
        f"step {branch.step} of {m} in one of {n} branches with a norm behind the sum: "
        f"gain {gain:.3g}, so that the norms leave the gradient its size"
    )
    return Decision(VarianceScaling(gain=gain), why, "Huang et al. 2020 (T-Fixup), §4.2; Xiong et al. 2020")


def weight_for(layer: Layer) -> Decision:
    """Four cases: nothing follows, a rectifier, an activation that saturates, or any other."""
    phi = layer.activation
    if phi is None:
        follows = "it makes the output" if layer.next_op == "output" else f"no activation follows, {layer.next_op} does"
        return Decision(lecun_normal(), f"{follows}: unit gain", LECUN)
    if phi.name in RECTIFIERS:
        rectifier = he_normal(dict(phi.parameters).get("negative_slope", RECTIFIERS[phi.name]))
        why = f"feeds {phi}: gain 1/√E[φ²] = {rectifier.gain:.4g} gives back what it takes"
        return Decision(rectifier, why, "He et al. 2015, eq. 10 and 15")
    known, gain = activation(phi.name, **phi.parameters), gain_for(phi)
    if known.saturates and known.slope_at_zero:
        # Near 0 the net is linear with slope φ'(0). If φ(0) = 0, this is the gain at which, without biases, neither the
        # signal nor the gradient grows or shrinks exponentially (χ = 1 at q* = 0).
        but = "" if known(0.0) == 0 else f"; {phi.name} is not 0 at 0, so depth still costs gradient"
        why = f"feeds {phi}, which saturates: gain 1/|φ'(0)| = {gain:.4g}{but}"
        return Decision(glorot_normal(gain), why, "Glorot & Bengio 2010, eq. 12; Schoenholz et al. 2017, §3")
    why = f"feeds {phi}: gain 1/√E[φ²] = {gain:.4g} gives back what it takes"
    return Decision(VarianceScaling(gain=gain), why, "He et al. 2015, eq. 10, for any activation")


RECTIFIERS: Final = {"relu": 0.0, "leaky_relu": 0.01, "prelu": 0.25}  # their slopes below 0, unless the call says


def _gates(graph: Graph) -> dict[str, Decision]:
    """An LSTM's biases: of the two that torch adds, the first opens the forget gates."""
    found: dict[str, Decision] = {}
    for node in graph.nodes:
        biases = [p for n in node.inputs if (p := graph.by_path.get(n)) and p.parts == Parts(LSTM_GATES)]
        biases = [p for p in biases if p.role is Role.BIAS]
        steps = _steps(graph, node.name)
        for first in biases[::2]:
            if steps >= LONG:
                why = f"{steps} steps: forget gates open for memories of up to as many"
                found[first.path] = Decision(Chrono(float(steps)), why, "Tallec & Ollivier 2018, eq. 16")
            else:
                why = "forget gates start open, the others at 0"
                found[first.path] = Decision(forget_gate_bias(), why, "Jozefowicz et al. 2015, §5")
    return found


def _steps(graph: Graph, name: str) -> int:
    """How many steps a recurrent layer runs on the example."""
    node = graph.by_name[name]
    return node.shape[1 if node.arguments.get("batch_first") else 0] if len(node.shape) == 3 else 1
