"""The plan "as built" of a model that is there as arrays: the law of each parameter, from its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fanin.graph import Fans, Graph, Parameter
from fanin.initializers import Initializer, Keep, PerPart, Target
from fanin.plans.model import Entry, Plan
from fanin.plans.recognition.layers import in_one_voice
from fanin.plans.recognition.recognise import Recognised, recognise

NAME: Final = "as built"


def as_seen(graph: Graph, read: Callable[[str], npt.NDArray[Any]]) -> Plan:
    """Each parameter by `recognise`, part by part where it packs.

    Args:
        read: the logical values of a parameter, by its path.
    """
    siblings = fans_of_siblings(graph)

    def entry(p: Parameter) -> Entry:
        target = Target(p.path, p.shape, p.dtype, p.fans)
        found = by_parts(p, read(p.path).reshape(p.shape), target, siblings.get(p.path, ()))
        return Entry(p, found.initializer, f"{NAME}: {found.why}", measured=found.seen)

    return Plan(NAME, in_one_voice(map(entry, graph.parameters)), graph.notes)


def by_parts(parameter: Parameter, values: npt.NDArray[Any], whole: Target, also: tuple[Fans, ...]) -> Recognised:
    """One law if all parts have it, or else one for each; the whole as one tensor if a part has none."""
    together = recognise(values, whole, also)
    if parameter.parts is None or values.size == 0:
        return together
    found: dict[str, Recognised] = {}
    for part in parameter.parts.of(parameter.shape):
        axis = parameter.parts.axis
        own = np.take(values, range(part.start, part.start + part.size), axis).reshape(part.shape)
        found[part.name] = recognise(own, Target(part.name, part.shape, whole.dtype, whole.fans), also)
    laws: list[Initializer] = [one.initializer for one in found.values()]
    if any(isinstance(law, Keep) for law in laws):
        return together
    if len(set(laws)) == 1:
        return Recognised(laws[0], f"part by part: {next(iter(found.values())).why}", together.seen)
    if _plain(together.initializer) and all(map(_plain, laws)):
        return together
    (most, _), *_ = Counter(laws).most_common()
    but = {name: one.initializer for name, one in found.items() if one.initializer != most}
    why = "; ".join(f"{name}: {one.why}" for name, one in found.items()) if len(found) < 5 else "part by part"
    return Recognised(PerPart(most, but), why, together.seen)


def _plain(law: Initializer) -> bool:
    """Of independent values: what parts and whole may have in common."""
    return law.sampling(Target("", (1,), fans=Fans(1, 1))) is not None


def fans_of_siblings(graph: Graph) -> dict[str, tuple[Fans, ...]]:
    """For a parameter without fans of its own, those of the weights that the same operation reads."""
    found: dict[str, tuple[Fans, ...]] = {}
    for p in graph.parameters:
        if p.fans is None and p.node is not None and p.node in graph.by_name:
            beside = (graph.by_path.get(name) for name in graph.by_name[p.node].inputs)
            found[p.path] = tuple(q.fans for q in beside if q is not None and q.fans is not None)
    return found
