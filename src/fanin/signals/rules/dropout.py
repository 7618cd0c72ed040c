"""Random masks of independent entries."""

from __future__ import annotations

from collections.abc import Sequence

from fanin.signals.distribution import Root
from fanin.signals.flow import Gradient
from fanin.signals.frozen import replace
from fanin.signals.gradient import total
from fanin.signals.state import gaussian
from fanin.signals.values import Call, NoRule, Outcome, Pulled


def dropout(call: Call) -> Outcome:
    """In training q/(1 − p), μ and covariances the same; back g/(1 − p).  Reference: Srivastava et al. 2014."""
    name = call.first
    x = call.state(name)
    p, train = call["p"], call["train"]
    if not train or not p:
        return Outcome((x, *[x] * (len(call.node.shapes) - 1)), lambda g: iter([(name, g[0])]))
    if not p < 1:
        raise NoRule("everything is dropped")
    keep = 1 - p
    out = replace(
        gaussian(
            x.axes,
            x.sizes,
            x.mean,
            x.second / keep,
            x.across_positions,
            x.across_samples,
            draws=x.draws,
            marks=x.marks,
            profile=x.profile,
        ),
        root=Root(),
    )
    if x.bins is not None:
        out = out.binned(x.bins.with_second(x.bins.second / keep))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        yield name, seen.scaled(1 / keep, 1.0, 1.0).flow()

    return Outcome((out, *[out] * (len(call.node.shapes) - 1)), pull)
