"""How alike samples, or tokens, become over depth: the one law behind F03 and F04."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.remedies import fit_all_and_biases
from fanin.graph import Layer, Node, Role
from fanin.graph.paths import Paths
from fanin.plans import Plan
from fanin.signals import LayerSignal, Moments
from fanin.signals.axes import Kind, count, kinds_of

# Inputs of which this share of the second moment tells one from another are alike already: the data's fault, if it is
# one, and close to what float32 can tell.
ALIKE: Final = 1e-6


@dataclass(frozen=True)
class Point:
    """A place on the way of the signal, with 1 − c: the share of the second moment that two do not have in common."""

    node: Node
    difference: float


def alike_check(
    code: str,
    name: str,
    page: str,
    *,
    tokens: bool,
    noticeable: float,
    hopeless: float,
    summary: str,
    advice: str,
) -> Check:
    """The check for samples that become alike, or, with `tokens`, the tokens of one sample.

    Args:
        noticeable, hopeless: what is left of the first point's 1 − c, below which it is a warning, and an error.
    """
    one, two = ("tokens of a sample", "two tokens") if tokens else ("samples", "two samples")

    def find(check: Check, evidence: Evidence) -> Finding | None:
        points = told_apart(points_of(evidence, tokens=tokens))
        lost = lost_of(points, noticeable)
        if not lost:
            return None
        first, last = points[0], lost[-1]
        left = max(last.difference, 0.0) / first.difference
        layer = next(
            (s for s in evidence.layers if lost[0].node.name in (s.layer.node.name, s.layer.output.name)), None
        )
        shown = f"{last.difference:.1e}" if last.difference > ALIKE**2 else "nothing"
        return check.finding(
            evidence,
            Severity.ERROR if left < hopeless else Severity.WARNING,
            layer or lost[0].node,
            what=f"the {one} become alike: {two} differ in {shown} of their second moment at the last of "
            f"{len(points)} points, where they differ in {first.difference:.2g} at the first",
            why=evidence.scale_sentence(layer.layer) if layer else "what is added to the stream is the same for all",
            last_difference=last.difference,
            first_difference=first.difference,
            points_beyond=len(lost),
        )

    def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
        return fit_all_and_biases(plan, evidence)

    return Check(code, name, summary, page, find, advice, remedy, worse="smaller")


def told_apart(points: list[Point]) -> list[Point]:
    """From the first point that tells its inputs apart; none where the data do not differ."""
    return list(dropwhile(lambda p: p.difference < ALIKE, points))


def lost_of(points: list[Point], noticeable: float) -> list[Point]:
    """The last points, if of the first one's difference no more than `noticeable` is left from there on."""
    if not points:
        return []
    least = noticeable * points[0].difference
    return list(reversed(list(takewhile(lambda p: p.difference < least, reversed(points[1:])))))


def points_of(evidence: Evidence, *, tokens: bool) -> list[Point]:
    """The embeddings, layers and additions through which all of the signal passes, in the order they run.

    What a branch holds is not the signal, nor is a gate: what attends uniformly is alike, and is added to what is not.
    Readouts are left out, since their biases say what is common to all on purpose; so is what is 0 or is not known.
    """
    names = {seen.layer.output.name for seen in without_readouts(evidence)} | {b.add for b in evidence.branches}
    names |= {p.node for p in evidence.graph.parameters if p.role is Role.EMBEDDING and p.node}
    alone = passages(evidence.paths, [ref.name for ref in evidence.graph.outputs])
    of = _between_tokens(evidence) if tokens else _between_samples
    values = evidence.signals.values
    seen = [(n, values[n.name]) for n in evidence.graph.nodes if n.name in names & alone and n.name in values]
    return [
        Point(node, 1 - common / value.second_moment)
        for node, value in seen
        if value.second_moment > 0 and not value.non_finite and (common := of(node, value)) is not None
    ]


def passages(paths: Paths, outputs: Sequence[str]) -> set[str]:
    """The operations that nothing goes around which a weight has had a part in.

    Masks and positions are no signal, though every block may read them.
    """
    leads = 0
    for name in outputs or paths.names[-1:]:
        leads |= paths.before.get(name, 0)
    on_the_way = [name for name in paths.names if leads >> paths.position[name] & 1]
    furthest, found = 0, set()  # the last operation that reads what came before
    for name in on_the_way:
        if paths.position[name] >= furthest:
            found.add(name)
        if paths.before[name] & paths.with_weights:
            readers = [user for user in paths.graph.users.get(name, ()) if leads >> paths.position[user.name] & 1]
            furthest = max([furthest, *(paths.position[user.name] for user in readers)])
    return found


def without_readouts(evidence: Evidence) -> list[LayerSignal]:
    """The layers but for those that make the output."""

    def reads_out(layer: Layer) -> bool:
        return layer.next_op == "output" or Role.READOUT in evidence.graph.by_path[layer.weight].roles

    return [seen for seen in evidence.layers if not reads_out(seen.layer)]


def _between_samples(node: Node, value: Moments) -> float | None:
    return value.across_samples


def _between_tokens(evidence: Evidence) -> Callable[[Node, Moments], float | None]:
    """Of positions on one axis, features behind them: maps, whose neighbours converge by design, have two axes."""

    def of(node: Node, value: Moments) -> float | None:
        axes = evidence.signals.axes.get(node.name, ())
        places = [axis for axis in axes if Kind.POSITION in kinds_of(axis)]
        tokens = len(places) == 1 and kinds_of(places[0]) == {Kind.POSITION} and count(places, Kind.POSITION) > 1
        return value.across_positions if tokens and kinds_of(axes[-1]) == {Kind.FEATURE} else None

    return of
