"""The names under which a plan's parameters are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from fanin.errors import BadInput

if TYPE_CHECKING:
    from fanin.plans.model import Entry, Plan


def renamed(plan: Plan, names: Mapping[str, str]) -> Plan:
    """See `Plan.rename`."""
    if not isinstance(names, Mapping) or not all(isinstance(name, str) and name for name in names.values()):
        raise BadInput(
            f"rename takes the path in this model → the name to draw under, "
            f"such as {{'dense_1/kernel': '0.weight'}}; got {names!r}."
        )
    chosen = {plan[path].parameter.path: name for path, name in names.items()}

    def called(entry: Entry) -> Entry:
        p = entry.parameter
        name = chosen.get(p.path, p.drawn_as)
        return replace(entry, parameter=replace(p, name="" if name == p.path else name))

    result = replace(plan, entries=tuple(called(e) for e in plan))
    counts = Counter(e.parameter.drawn_as for e in result)
    if shared := [name for name, count in counts.items() if count > 1]:
        paths = [e.parameter.path for e in result if e.parameter.drawn_as == shared[0]]
        raise BadInput(
            f"rename: {' and '.join(paths)} would both be drawn as {shared[0]!r} and have the same values. "
            "Give each a name of its own."
        )
    return result
