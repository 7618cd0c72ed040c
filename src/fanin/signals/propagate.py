"""The engine: one sweep forward over the nodes, one back. It knows no operation by name.

A rule maps the values of an operation's arguments to those of its results and to a `pull`, which maps the gradients of
the results to those of the arguments. Where there is no rule, or it does not hold, `sample` runs the operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fanin.graph import Graph, Node, Ref
from fanin.signals import draws
from fanin.signals.flow import Gradient, merged
from fanin.signals.gradient_forms import condensed
from fanin.signals.loops import Joint, Loop, RunLoop, loops, result_name, results_of
from fanin.signals.state import State
from fanin.signals.twins import Kin, kin
from fanin.signals.values import Call, NoRule, Outcome, Value, Weight, WeightGradient

Rule: TypeAlias = Callable[[Call], Outcome]
Second: TypeAlias = Callable[[str], float | None]  # E x² of what is known by then, by name
# Given a node, and what is known up to it: the parameters to make wider, and how many times.
Tune: TypeAlias = Callable[[Node, Second], Mapping[str, float]]


@dataclass
class Propagated:
    """What the sweeps found.

    Attributes:
        values: of every node, one a result.
        gradients: of every node's results.
        weights: E (∂loss/∂w)² by path of the parameter.
        sampled: nodes that were run on a sample, and why.
        factors: by how much parameters were made wider on the way.
    """

    values: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    gradients: dict[str, tuple[Gradient, ...]] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    sampled: dict[str, str] = field(default_factory=dict)
    factors: dict[str, float] = field(default_factory=dict)

    def second(self, name: str) -> float | None:
        """E x² of a node, if it is known by now."""
        value = self.values[name][0] if name in self.values else None
        return value.average(value.second) if isinstance(value, State) else None

    def __post_init__(self) -> None:
        self._pulls: list[tuple[Node, Outcome, Mapping[str, str]]] = []
        self._joint: dict[str, tuple[Loop, Joint]] = {}  # by the last node


def forward(
    graph: Graph,
    known: Mapping[str, Value],
    rules: Mapping[str, Rule],
    sample: Rule,
    tune: Tune | None = None,
    run_loop: RunLoop | None = None,
) -> Propagated:
    """The values of all nodes, from those of inputs, parameters and constants.

    Args:
        run_loop: runs a loop over positions as a whole, when the rules have been through it.
        tune: asked at every node, in order; where it changes a parameter, the node is done again, so that what follows
            sees the change. What it changed is in `Propagated.factors`.
    """
    draws.begin()
    found = Propagated()
    known, family = dict(known), kin(graph)
    ends = {loop.last: loop for loop in loops(graph)} if run_loop else {}
    for node in graph.nodes:
        if node.name in known:  # a constant
            found.values[node.name] = (known[node.name],)
            continue
        call, sources = _call(node, known, found.values, family)
        outcome = _outcome(call, rules, sample, found)
        found.values[node.name] = _typical(outcome.values) if tune else outcome.values
        factors = tune(node, found.second) if tune else {}
        if factors:
            for path, by in factors.items():
                weight = known[path]
                assert isinstance(weight, Weight)  # only parameters are tuned
                known[path] = weight.times(by)
                found.factors[path] = found.factors.get(path, 1.0) * by
            call, sources = _call(node, known, found.values, family)
            outcome = _outcome(call, rules, sample, found)
            found.values[node.name] = _typical(outcome.values)
        found._pulls.append((node, outcome, sources))
        if run_loop and node.name in ends:
            _run_whole(ends[node.name], known, found, run_loop)
    return found


def _run_whole(loop: Loop, known: Mapping[str, Value], found: Propagated, run_loop: RunLoop) -> None:
    """What a loop makes when it is run as a whole, in the place of what rules say of its nodes one by one."""
    arguments = {name: _value(ref, known, found.values) for name, ref in loop.arguments.items()}
    results = [zip(results_of(node), found.values[node.name], strict=False) for node in loop.nodes]
    joint = run_loop(loop, arguments, {name: value for each in results for name, value in each})
    if joint is not None:
        found._joint[loop.last] = (loop, joint)
        found.values.update({name: (value,) for name, value in joint.values.items()})


def _outcome(call: Call, rules: Mapping[str, Rule], sample: Rule, found: Propagated) -> Outcome:
    rule = rules.get("activation" if call.node.activation else call.node.op)
    if rule is None:
        found.sampled[call.node.name] = f"{call.node.op} has no rule"
        return sample(call)
    try:
        outcome = rule(call)
        if _finite(call.values.values()) and not _finite(outcome.values):
            raise ValueError("moments that are no numbers")
        return outcome
    except NoRule as reason:
        found.sampled[call.node.name] = f"the rule of {call.node.op} does not hold: {reason}"
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # a call that a rule did not think of
        why = f"{type(error).__name__}: {error}"
        found.sampled[call.node.name] = f"the rule of {call.node.op} failed on this call, which is a fault: {why}"
    return sample(call)


def _typical(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """A plan is made for the net as it is meant, and not for the mean over draws, which few of them may carry."""
    return tuple(value.typical() if isinstance(value, State) else value for value in values)


def _finite(values: Iterable[Value]) -> bool:
    return all(math.isfinite(v.average(v.second)) for v in values if isinstance(v, State))


def _call(
    node: Node, known: Mapping[str, Value], values: Mapping[str, tuple[Value, ...]], family: Mapping[str, Kin]
) -> tuple[Call, dict[str, str]]:
    """The arguments with their values, and from which name each tensor comes."""
    tensors: dict[str, Value] = {}
    sources: dict[str, str] = {}
    plain: dict[str, Any] = {}
    relatives: dict[str, Kin] = {}

    def look(name: str, argument: Any) -> None:
        if isinstance(argument, Ref):
            tensors[name] = _value(argument, known, values)
            sources[name] = result_name(argument)
            if argument.name in family and argument.result == 0:
                relatives[name] = family[argument.name]
        elif isinstance(argument, Sequence) and any(isinstance(a, Ref) for a in argument):
            for at, a in enumerate(argument):
                look(f"{name}.{at}", a)
        else:
            plain[name] = argument

    for name, argument in node.arguments.items():
        look(name, argument)
    return Call(node, tensors, plain, known, relatives), sources


def _value(ref: Ref, known: Mapping[str, Value], values: Mapping[str, tuple[Value, ...]]) -> Value:
    value = known.get(ref.name)
    if value is None:
        value = values[ref.name][ref.result]
    return value.seen(ref.shape, ref.rows) if isinstance(value, Weight) else value


def backward(graph: Graph, found: Propagated, seeds: Mapping[str, Gradient]) -> None:
    """The gradients of all nodes and inputs, from those of the outputs; filled into `found`."""
    back = _Backward(found, seeds)
    inside: set[str] = set()
    for node, outcome, sources in reversed(found._pulls):
        if node.name in found._joint:
            loop, joint = found._joint[node.name]
            inside |= loop.names
            back.through_all(loop, joint)
        if node.name not in inside:
            back.through(node, outcome, sources)
    found.gradients.update({name: (merged(left),) for name, left in back.parts.items()})
    found.weights.update(back.squares)


class _Backward:
    """What has come back by now: to signals in parts, to weights as mean squares."""

    def __init__(self, found: Propagated, seeds: Mapping[str, Gradient]) -> None:
        self.found = found
        self.parts: dict[str, list[Gradient]] = {name: [g] for name, g in seeds.items()}
        self.squares: dict[str, float] = {}

    def through(self, node: Node, outcome: Outcome, sources: Mapping[str, str]) -> None:
        """From the results of a node to its arguments."""
        gradients: list[Any] = []
        for index, value in enumerate(outcome.values):
            name = node.name if index == 0 else f"{node.name}#{index}"
            if name in self.squares:  # a weight that is computed from parameters
                gradients.append(WeightGradient(self.squares.pop(name)))
                continue
            gradient = merged(self.parts.pop(name, ()))
            gradients.append(condensed(gradient, value) if isinstance(value, State) else gradient)
        self.found.gradients[node.name] = tuple({} if isinstance(g, WeightGradient) else g for g in gradients)
        if any(gradients):
            for argument, back in outcome.pull(gradients):
                self.add(sources[argument], back)

    def through_all(self, loop: Loop, joint: Joint) -> None:
        """From all nodes of a loop that something outside reads, to its arguments."""
        reached = {name: merged(self.parts.pop(name)) for name in sorted(loop.results & self.parts.keys())}
        returned = joint.pull(reached)
        for node in loop.nodes:
            self.found.gradients[node.name] = tuple(returned.inside.get(name, {}) for name in results_of(node))
        for ref, back in returned.outside:
            self.add(result_name(ref), back)

    def add(self, source: str, back: Gradient | WeightGradient) -> None:
        """One more part, or one more mean square."""
        if isinstance(back, WeightGradient):
            self.squares[source] = self.squares.get(source, 0.0) + back.second
        elif back:
            self.parts.setdefault(source, []).append(back)
