"""What Flax's own layers draw."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import Constant, Normal, Orthogonal, lecun_truncated_normal
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.model import Decision

KERNEL = "flax.linen.Dense, Conv: kernel_init=lecun_normal(), truncated at ±2σ"
RECURRENT = "flax.linen.LSTMCell, GRUCell: recurrent_kernel_init=orthogonal()"
EMBEDDING = "flax.linen.Embed: variance_scaling(1.0, 'fan_in', 'normal', out_axis=0)"


def flax_default(graph: Graph) -> Mapping[str, Decision]:
    """Var(w) = 1/fan_in, truncated at ±2σ; recurrent weights orthogonal, embeddings N(0, 1/d), biases 0.

    For: reproducing a Flax model; layers that a norm follows.
    Not for: deep ReLU nets without norms, which vanish with it.
    Reference: LeCun et al. 1998, §4.6; the defaults of flax.linen.
    """
    kernel = always(lecun_truncated_normal(), "Var(w) = 1/fan_in after the cut at ±2σ", KERNEL)

    def embedding(p: Parameter) -> Decision:
        return Decision(Normal(std=p.shape[-1] ** -0.5), "N(0, 1/d): rows of length near 1", EMBEDDING)

    return by_role(
        graph,
        {
            **PLAIN,
            Role.WEIGHT: kernel,
            Role.ROUTER: kernel,
            Role.RECURRENT: always(Orthogonal(), "orthogonal, gate by gate: keeps norms through time", RECURRENT),
            Role.EMBEDDING: embedding,
            Role.SLOPE: always(Constant(0.01), "the slope below 0", "flax.linen.PReLU: negative_slope_init=0.01"),
        },
    )
