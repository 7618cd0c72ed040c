"""Entries that are repeated along an axis of one: what comes back to them is a sum."""

from __future__ import annotations

from collections.abc import Sequence

from fanin.signals.axes import Axis, Kind, axis, kinds_of, size_of
from fanin.signals.broadcast import as_state, common_axes, expanded, gathered
from fanin.signals.distribution import Root
from fanin.signals.flow import Gradient
from fanin.signals.frozen import replace
from fanin.signals.state import State
from fanin.signals.values import Call, NoRule, Outcome, Pulled


def expand(call: Call) -> Outcome:
    """`expand`, `repeat` of axes of size one."""
    x = call.state(call.first)
    shape = call.node.shape
    axes: list[Axis] = []
    for at in range(-len(shape), 0):
        own = x.axes[at] if len(x.axes) >= -at else ()
        if size_of(own) == shape[at]:
            axes.append(own)
        elif size_of(own) == 1:
            axes.append(axis(_repeated(x, at, len(shape)), shape[at]))
        else:
            raise NoRule("an axis of several entries is repeated")
    out = expanded(x, tuple(axes))
    if out.features > x.features > 1:  # heads that several queries share: other features, though they are copies
        out = replace(out, root=Root()).beside(out)
    return Outcome((out,), lambda g: iter([(call.first, gathered(g[0], out, x))]))


def broadcast(call: Call) -> Outcome:
    """`broadcast_tensors`: each repeated to the shape that they have together."""
    named = call.listed("tensors")
    axes = common_axes([value for _, value in named if isinstance(value, State)], tuple(call.node.shapes[0]))
    states = [as_state(value, axes) for _, value in named]
    axes = common_axes(states, tuple(call.node.shapes[0]))
    outs = [expanded(state, axes) for state in states]

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        for (name, value), gradient, out, state in zip(named, gradients, outs, states, strict=True):
            if gradient and isinstance(value, State):
                yield name, gathered(gradient, out, state)

    return Outcome(tuple(outs), pull)


def _repeated(x: State, at: int, rank: int) -> Kind:
    """What an axis counts along which one entry is repeated."""
    if at == -1 and x.features == 1:
        return Kind.FEATURE
    right = {kind for a in x.axes[at + 1 :] for kind in kinds_of(a)} if at < -2 else set()
    if at > -rank and Kind.POSITION in right and kinds_of(x.axes[-1]) == {Kind.FEATURE}:  # heads that share keys
        return Kind.FEATURE
    return Kind.SAMPLE if at == -rank and x.samples == 1 else Kind.POSITION
