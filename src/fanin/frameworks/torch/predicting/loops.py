"""Run loops over positions as wholes: forward, and back with half of the draws, where what is between is kept."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.frameworks.torch.model.state import unchanged_randomness
from fanin.frameworks.torch.predicting.loop_back import WayBack
from fanin.frameworks.torch.predicting.loop_whole import Whole
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.signals.flow import Gradient
from fanin.signals.gradient import total
from fanin.signals.loops import Joint, Loop, Returned, RunLoop
from fanin.signals.state import State
from fanin.signals.values import Value


def loop_runner(traced: Traced) -> RunLoop:
    """For the loops of one program."""
    nodes = {fx.name: fx for fx in traced.program.graph.nodes}

    def run_loop(loop: Loop, arguments: Mapping[str, Value], ruled: Mapping[str, Value]) -> Joint | None:
        whole = Whole(loop, {node.name: nodes[node.name] for node in loop.nodes}, arguments, ruled)
        try:
            with unchanged_randomness():
                values = whole.values()
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            return None  # what the rules say of each node stands

        def pull(reached: Mapping[str, Gradient]) -> Returned:
            with unchanged_randomness():
                known = {n: total(g, _state(ruled[n])) for n, g in reached.items() if n in ruled}
                return WayBack(whole, whole.drawn.fewer(2)).through(known)

        return Joint(values, pull)

    return run_loop


def _state(value: Value) -> State:
    assert isinstance(value, State)
    return value
