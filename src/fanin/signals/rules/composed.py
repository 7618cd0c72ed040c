"""A rule as a chain of others: `glu` is a product of one half and the sigmoid of the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from fanin.graph import ActivationCall, Graph, Node, Ref
from fanin.signals.flow import Gradient
from fanin.signals.propagate import backward, forward
from fanin.signals.values import Call, NoRule, Outcome, Pulled, WeightGradient


class Step(NamedTuple):
    """One operation of a chain; tensors among its arguments are `Ref`s to arguments of the call or to earlier steps."""

    name: str
    op: str
    shape: tuple[int, ...]
    arguments: Mapping[str, Any]
    activation: str = ""


def composed(call: Call, steps: Sequence[Step], results: Sequence[str | tuple[str, int]]) -> Outcome:
    """The chain's results as those of the call.

    Raises:
        NoRule: a step has no rule, or it does not hold.
    """
    from fanin.signals.rules import RULES

    known = {f"⟨{name}⟩": value for name, value in call.values.items()}
    graph = Graph(call.node.name, tuple(_node(call, step) for step in steps), ())
    found = forward(graph, known, RULES, _refuse)
    outs = [(name, 0) if isinstance(name, str) else name for name in results]

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seeds = {
            name if at == 0 else f"{name}#{at}": gradient
            for (name, at), gradient in zip(outs, gradients, strict=False)
            if gradient
        }
        backward(graph, found, seeds)
        for name in call.values:
            for gradient in found.gradients.get(f"⟨{name}⟩", ()):
                yield name, gradient
            if f"⟨{name}⟩" in found.weights:
                yield name, WeightGradient(found.weights[f"⟨{name}⟩"])

    return Outcome(tuple(found.values[name][at] for name, at in outs), pull)


def given(name: str, shape: Sequence[int] = ()) -> Ref:
    """An argument of the call."""
    return Ref(f"⟨{name}⟩", 0, tuple(shape))


def _node(call: Call, step: Step) -> Node:
    refs = [a for a in step.arguments.values() if isinstance(a, Ref)]
    activation = ActivationCall(step.activation) if step.activation else None
    return replace(
        call.node,
        name=step.name,
        op=step.op,
        inputs=tuple(ref.name for ref in refs),
        shape=step.shape,
        shapes=(step.shape,),
        activation=activation,
        arguments=step.arguments,
    )


def _refuse(call: Call) -> Outcome:
    raise NoRule(f"no rule of {call.node.op} holds")
