"""A plan whose widths are tuned on what the graph predicts: every signal of the size that it should have, in one sweep.

It is LSUV without data (Mishkin & Matas 2016): layer by layer in the order they run, with moments in the place of a
batch, so that the first layer counts as every other, and a weight that is used twice is tuned once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias

from fanin.activations import activation
from fanin.graph import Graph, Layer, Node, Role, layers
from fanin.graph.layers import goes_to_a_norm
from fanin.initializers.scaled import can_be_scaled, scaled
from fanin.plans.model import Entry, Plan
from fanin.signals.propagate import Second, Tune

Sweep: TypeAlias = Callable[[Plan, Tune], Mapping[str, float]]  # forward, tuning; by how much each was changed
STEP: Final = 32  # a factor is a multiple of 2^(1/32), 2 %, so that layers that are alike stay alike
LOGITS: Final = 0.25  # E z² of a readout: a loss of about ⅛ above chance, and still a gradient for what is behind
LARGEST: Final = 16.0  # beyond, the cause is elsewhere and no width should hide it


def tuned(
    plan: Plan, graph: Graph, sweep: Sweep, keep: frozenset[str] = frozenset(), seen: str = "the graph predicts"
) -> Plan:
    """The plan with each weight as wide as its result asks for, where that has a scale.

    A pre-activation is given E z² = 1, but for activations that saturate, whose decision is one about slopes; the end
    of a residual branch 1/N of what the stream has there, N branches to a stream; logits ¼. What a norm takes in, and
    what attends, stays as the recipe has it.

    Args:
        sweep: predicts or measures forward from a plan, asking its second argument at each node.
        keep: paths that are not to be changed, such as those the caller has decided.
        seen: where the signals come from, for the reasons.
    """
    goals = _goals(plan, graph, keep)

    def tune(node: Node, second: Second) -> Mapping[str, float]:
        goal = goals.get(node.name)
        found = second(node.name)
        wanted = goal.second(second) if goal else None
        if goal is None or not found or not wanted or not math.isfinite(wanted / found):
            return {}
        path, by = goal.weight, in_steps(math.sqrt(wanted / found))
        return {} if by == 1 or not 1 / LARGEST <= by <= LARGEST else {path: by}

    factors = sweep(plan, tune)
    return replace(plan, entries=tuple(wider(e, factors.get(e.parameter.path, 1.0), f"what {seen} here") for e in plan))


class Goal(NamedTuple):
    """The weight to tune at a node, and the E z² that it should make there."""

    weight: str
    second: Callable[[Second], float | None]


def _goals(plan: Plan, graph: Graph, keep: frozenset[str]) -> dict[str, Goal]:
    """Node → which weight to tune there, and to what; the first use of a weight decides."""
    ends = {}
    for branch in graph.structure.branches:
        for name in branch.last:
            ends[name] = branch
    found: dict[str, Goal] = {}
    done: set[str] = set(keep)
    for layer in layers(graph):
        p = graph.by_path[layer.weight]
        if p.path in done or not can_be_scaled(plan[p.path].initializer):
            continue
        done.add(p.path)
        asks = {Role.QUERY, Role.KEY, Role.ATTENTION_OUT, Role.ROUTER, Role.GATE, Role.UP} & set(p.roles)
        if asks or (p.branch and p.branch.normed) or goes_to_a_norm(graph, layer):
            continue
        end = ends.get(layer.node.name)
        if end is not None and p.branch is not None:
            found[layer.node.name] = Goal(p.path, _share_of((end.skip, end.fork), p.branch.count))
        elif Role.READOUT in p.roles and layer.activation is None:
            found[layer.node.name] = Goal(p.path, lambda _: LOGITS)
        elif layer.activation is not None and not _saturates(layer):
            found[layer.node.name] = Goal(p.path, lambda _: 1.0)
    return found


def _share_of(stream: tuple[str, ...], count: int) -> Callable[[Second], float | None]:
    """Of the first of these places in the stream that is known by then: a shortcut may be computed after its branch."""

    def wanted(second: Second) -> float | None:
        there = next((found for name in stream if (found := second(name)) is not None), None)
        return None if there is None else there / count

    return wanted


def _saturates(layer: Layer) -> bool:
    assert layer.activation is not None
    return activation(layer.activation.name, **layer.activation.parameters).saturates


def in_steps(by: float) -> float:
    """The nearest multiple of 2^(1/STEP)."""
    return float(2 ** (round(math.log2(by) * STEP) / STEP))


def wider(entry: Entry, by: float, purpose: str) -> Entry:
    """The entry so many times as wide, and why."""
    if by == 1:
        return entry
    why = f"{entry.why}; × {by:.3g} for {purpose}"
    return replace(entry, initializer=scaled(entry.initializer, by), why=why)
