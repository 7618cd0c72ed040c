"""The names under which parameters are drawn, where they are not their paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from fanin.errors import BadInput, UnknownName
from fanin.graph import Graph, Parameter

if TYPE_CHECKING:
    from fanin.plans.model import Plan


def renamed(plan: Plan, names: Mapping[str, str]) -> Plan:
    """See `Plan.rename`."""
    called = _called([e.parameter for e in plan], names)
    return replace(plan, entries=tuple(replace(e, parameter=p) for e, p in zip(plan, called, strict=True)))


def renamed_graph(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The same of a graph, before anything is decided: some initializers look for a tensor by its name."""
    return replace(graph, parameters=tuple(_called(graph.parameters, names)))


def _called(parameters: Iterable[Parameter], names: Mapping[str, str]) -> list[Parameter]:
    if not isinstance(names, Mapping) or not all(isinstance(name, str) and name for name in names.values()):
        raise BadInput(
            f"rename takes the path in this model → the name to draw under, "
            f"such as {{'dense_1/kernel': '0.weight'}}; got {names!r}."
        )
    given = list(parameters)
    known = {path: p.path for p in given for path in (p.path, *p.also)}
    for path in names:
        if path not in known:
            raise UnknownName("parameter", path, known)
    chosen = {known[path]: name for path, name in names.items()}
    result = [_with(p, chosen.get(p.path, p.drawn_as)) for p in given]
    counts = Counter(p.drawn_as for p in result)
    if shared := [name for name, count in counts.items() if count > 1]:
        paths = [p.path for p in result if p.drawn_as == shared[0]]
        raise BadInput(
            f"rename: {' and '.join(paths)} would both be drawn as {shared[0]!r} and have the same values. "
            "Give each a name of its own."
        )
    return result


def _with(parameter: Parameter, name: str) -> Parameter:
    return replace(parameter, name="" if name == parameter.path else name)
