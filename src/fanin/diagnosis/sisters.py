"""Sister layers: weights of one shape and role whose paths differ in one number, and the one that starts otherwise."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.remedies import fit_to_activations
from fanin.graph import Parameter
from fanin.initializers import Keep
from fanin.plans import Decision, Entry, Measured, Plan

FEWEST: Final = 4  # sisters; of three, which one is the odd one is a guess
MOST_AGREE: Final = 3 / 4  # of the sisters have one law: what depends on depth by design has none that most have
NOTICEABLE: Final = 1.25  # ratio of standard deviations, below which widths that were tuned layer by layer may lie
SIGMAS: Final = 6.0  # standard errors: chance goes beyond in two of 10⁹ pairs
ENOUGH: Final = 16  # values whose standard deviation says something


@dataclass(frozen=True)
class Odd:
    """A parameter that starts unlike its sisters.

    Attributes:
        entry: what its values look like.
        usual: of a sister that starts as most do.
        sisters: how many do.
        at_an_end: it is among the first or the last of them, where a law of its own may be meant.
    """

    entry: Entry
    usual: Entry
    sisters: int
    at_an_end: bool

    @property
    def ratio(self) -> float:
        """Its standard deviation over theirs; of constants, the ratio of the constants."""
        own, theirs = self.entry.measured, self.usual.measured
        return _ratio(own, theirs) if own and theirs else math.nan

    @property
    def decision(self) -> Decision:
        """The sisters' law, or to keep it where theirs is not known."""
        return Decision(self.usual.initializer, f"as its {self.sisters} sisters, such as {self.usual.parameter.path}")


def odd_ones(evidence: Evidence) -> list[Odd]:
    """Every parameter that starts unlike most of its sisters, in the order of the plan."""
    if evidence.laws is None:
        return []
    found: dict[str, Odd] = {}
    for sisters in _groups(evidence):
        for odd in _odd(sisters):
            found.setdefault(odd.entry.parameter.path, odd)
    return [found[e.parameter.path] for e in evidence.laws if e.parameter.path in found]


def draw_as_sisters(plan: Plan, evidence: Evidence, paths: Iterable[str]) -> Plan:
    """Give these parameters the law that most of their sisters have, if there is one, else that of recipe auto."""
    wanted, usual = set(paths), {}
    for sisters in _groups(evidence):
        for entry in sisters:
            path, others = entry.parameter.path, [e for e in sisters if e is not entry]
            said = [e.initializer for e in others if not isinstance(e.initializer, Keep)]
            if path in wanted and said and said.count(said[0]) >= MOST_AGREE * len(sisters):
                usual[path] = Decision(said[0], f"as its sisters, such as {others[0].parameter.path}")
    return fit_to_activations(plan, evidence, wanted - usual.keys()).decide(usual)


def _groups(evidence: Evidence) -> Iterator[list[Entry]]:
    """Entries that differ in one number of their path, in its order."""
    groups: dict[object, dict[int, Entry]] = {}
    fed = {path: (seen.layer.activation, seen.layer.next_op) for path, seen in evidence.layer_of.items()}
    for entry in evidence.laws or ():
        p = entry.parameter
        if entry.measured is None or entry.measured.count < ENOUGH or p.frozen:
            continue
        kind = (p.shape, p.roles, p.fans, _step(p), fed.get(p.path), p.owner, _beside(evidence, p))
        for number in re.finditer(r"\d+", p.path):
            name = f"{p.path[: number.start()]}#{p.path[number.end() :]}"
            groups.setdefault((name, str(kind)), {})[int(number[0])] = entry
    for group in groups.values():
        if len(group) >= FEWEST:
            yield [group[i] for i in sorted(group)]


def _beside(evidence: Evidence, p: Parameter) -> tuple[tuple[int, ...], ...]:
    """Shapes of what its operation reads with it: a bias's law may follow from its weight's fan_in."""
    node = evidence.graph.by_name.get(p.node or "")
    read = (evidence.graph.by_path.get(name) for name in (node.inputs if node else ()))
    return tuple(q.shape for q in read if q is not None)


def _step(p: Parameter) -> object:
    return (p.branch.step, p.branch.steps, p.branch.normed) if p.branch else None


def _odd(sisters: list[Entry]) -> Iterator[Odd]:
    seen = [e.measured for e in sisters if e.measured]
    agreeing = max(([_alike(one, other) for other in seen] for one in seen), key=sum)
    if sum(agreeing) == len(sisters) or sum(agreeing) < MOST_AGREE * len(sisters):
        return
    usual = [e for e, agrees in zip(sisters, agreeing, strict=True) if agrees]
    known = [e for e in usual if not isinstance(e.initializer, Keep)]
    middle = _median(known or usual)
    first, last = agreeing.index(True), len(sisters) - 1 - agreeing[::-1].index(True)
    for i, (entry, agrees) in enumerate(zip(sisters, agreeing, strict=True)):
        odd = Odd(entry, middle, len(usual), not first < i < last)
        if not agrees and not 1 / NOTICEABLE < odd.ratio < NOTICEABLE:
            yield odd


def _median(entries: list[Entry]) -> Entry:
    return sorted(entries, key=lambda e: e.measured.std if e.measured else 0.0)[len(entries) // 2]


def _alike(a: Measured, b: Measured) -> bool:
    """Whether two samples may be of one law, as far as mean and standard deviation tell."""
    chance = SIGMAS * math.hypot(a.std_error(a.kurtosis), b.std_error(b.kurtosis)) * max(a.std, b.std)
    means = SIGMAS * math.hypot(a.std / math.sqrt(a.count), b.std / math.sqrt(b.count))
    rounding = a.rounding + b.rounding
    return abs(a.std - b.std) <= chance + rounding and abs(a.mean - b.mean) <= means + rounding


def _ratio(a: Measured, b: Measured) -> float:
    own, theirs = (a.std, b.std) if a.std or b.std else (abs(a.mean), abs(b.mean))
    return own / theirs if theirs else math.inf
