"""µP: the initial part of the maximal update parametrization, for Adam."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.errors import BadInput
from fanin.graph import Graph, Parameter, Role
from fanin.initializers import Normal, Zeros, lecun_normal
from fanin.plans.by_role import PLAIN, always, by_role, tied
from fanin.plans.depth import require_roles
from fanin.plans.model import Decision

SOURCE = "Yang et al. 2022 (Tensor Programs V), Table 3 and App. D.2"


def mup(graph: Graph, *, base_width: float | None = None) -> Mapping[str, Decision]:
    """Var(w) = 1/fan_in for hidden and input weights; readout Var = base_width/fan_in², or 0 without a base_width.

    Embeddings N(0, 1), whatever the width. It presumes learning rates by width, which an initializer cannot set: with
    Adam η for input weights, embeddings, biases and norms, η · base_width/fan_in for hidden weights and the readout;
    and attention scores divided by d rather than √d. A table tied to the readout presumes that logits are multiplied by
    base_width/d.

    Args:
        base_width: the fan_in at which hyperparameters were tuned; there, the readout is LeCun's. None: readout 0.

    For: models of several widths that are to share one learning rate.
    Not for: training without those learning rates.
    Reference: Yang et al. 2022, "Tensor Programs V", Table 3; zero readout: App. D.2.
    """
    require_roles(graph, "mup", "which weights are inputs, hidden, and the readout")
    if base_width is not None and not base_width > 0:
        raise BadInput(f"mup: base_width must be above 0, the fan_in at which you tune; got {base_width!r}.")
    base = base_width or "base"

    def weight(p: Parameter) -> Decision:
        rate = "η" if Role.FIRST in p.roles else f"η · {base}/fan_in"
        return Decision(lecun_normal(), f"Var(w) = 1/fan_in; presumes Adam at {rate}", SOURCE)

    def readout(p: Parameter) -> Decision:
        if base_width is None:
            return Decision(
                Zeros(), "readout 0: the first outputs show no width; presumes Adam at η · base/fan_in", SOURCE
            )
        fan_in = p.fans.fan_in if p.fans else p.shape[-1]
        why = f"readout: std √{base_width:g}/fan_in; presumes Adam at η · {base_width:g}/fan_in"
        return Decision(Normal(base_width**0.5 / fan_in), why, SOURCE)

    def embedding(p: Parameter) -> Decision:
        logits = f", and logits multiplied by {base}/{p.shape[-1]}" if tied(p) else ""
        return Decision(Normal(), f"N(0, 1) at every width; presumes Adam at η{logits}", SOURCE)

    return by_role(
        graph,
        {
            **PLAIN,
            Role.WEIGHT: weight,
            Role.READOUT: readout,
            Role.EMBEDDING: embedding,
            Role.BIAS: always(Zeros(), "zero; presumes Adam at η", SOURCE),
        },
    )
