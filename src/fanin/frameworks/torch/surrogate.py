"""Run an operation for real on tensors that are distributed as its arguments are."""

from __future__ import annotations

from fanin.frameworks.torch.trace import Traced
from fanin.signals.axes import Kind, count, usual
from fanin.signals.propagate import Rule
from fanin.signals.state import gaussian
from fanin.signals.values import Call, Outcome


def sampler(traced: Traced) -> Rule:
    def sample(call: Call) -> Outcome:
        out = []
        for shape in call.node.shapes:
            axes = usual(shape)
            out.append(
                gaussian(axes, [max(count(axes, Kind.FEATURE), 1)], 0.0, 1.0, 0.0, 0.0).marked("nothing is known")
            )
        return Outcome(tuple(out))

    return sample
