"""How a second moment changes over depth: the one law behind the checks for vanishing and exploding signals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.remedies import fit_all_to_activations
from fanin.graph import Role
from fanin.graph.layers import norms_behind
from fanin.plans import Plan
from fanin.signals import LayerSignal

# Second moments, so 1e4 is a factor 100 in amplitude. The random fluctuation of a healthy net of finite width stays
# well below: std(log q) = √(5 L/n) for ReLU (Hanin & Nica 2020), 1.25 for 40 layers of 128 units, 7 σ from 1e4.
NOTICEABLE = 1e4
HOPELESS = 1e8
ASKS = frozenset({Role.QUERY, Role.KEY})


@dataclass(frozen=True)
class Trend:
    """A signal that left its range.

    Attributes:
        start: the first layer, in the direction of the signal, from which on all are beyond `NOTICEABLE`.
        beyond: the layers that are.
        total: second moment at the far end over that at the near end.
        per_layer: its geometric mean over the layers between.
    """

    start: LayerSignal
    beyond: tuple[LayerSignal, ...]
    total: float
    per_layer: float

    @property
    def severity(self) -> Severity:
        """An error where plain gradient descent cannot bridge it."""
        return Severity.ERROR if abs(math.log(self.total)) > math.log(HOPELESS) else Severity.WARNING


def trend_check(code: str, name: str, page: str, *, forward: bool, grows: bool, advice: str) -> Check:
    """The check for a signal that grows or falls over depth, forward (activations) or backward (gradients)."""
    signal = "the second moment of the output" if forward else "going back, the squared norm of the gradient"
    verb, measure = ("grows", "times") if grows else ("falls", "of")

    def find(check: Check, evidence: Evidence) -> Finding | None:
        trend = _forward(evidence, grows) if forward else _backward(evidence, grows)
        if trend is None:
            return None
        return check.finding(
            evidence,
            trend.severity,
            trend.start,
            what=f"{signal} {verb} by ×{trend.per_layer:.3g} a layer, to {trend.total:.2g} {measure} where it began",
            why=evidence.scale_sentence(trend.start.layer),
            total_ratio=trend.total,
            ratio_per_layer=trend.per_layer,
            layers_beyond=len(trend.beyond),
        )

    def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
        return fit_all_to_activations(plan, evidence)

    what = "The outputs" if forward else "Going back, the gradients"
    how = "grow from layer to layer" if grows else "shrink from layer to layer until nothing is left"
    return Check(code, name, f"{what} {how}.", page, find, advice, remedy, worse="farther from 1")


def _forward(evidence: Evidence, grows: bool) -> Trend | None:
    """Of the layers' outputs, from the first to the last."""
    return _trend(_along(evidence), lambda seen: seen.value.second_moment, grows=grows)


def _backward(evidence: Evidence, grows: bool) -> Trend | None:
    """Of the gradients, from the last layer to the first."""
    trend = _trend(_along(evidence)[::-1], lambda seen: _gradient_norm(evidence, seen), grows=grows)
    return None if trend and not grows and _passed_by(evidence, trend) else trend


def _passed_by(evidence: Evidence, trend: Trend) -> bool:
    """Whether the stream brings back what the branches of these layers do not, as those of values that are averaged."""
    if any(evidence.graph.by_path[seen.layer.weight].branch is None for seen in trend.beyond):
        return False
    near = evidence.layers[-1].gradient_norm
    forks = [evidence.graph.by_name[b.fork] for b in evidence.branches if b.fork in evidence.signals.gradients]
    first = min(forks, key=lambda node: evidence.paths.position[node.name], default=None)
    if first is None or not near:
        return False
    arrives = evidence.signals.gradients[first.name].second_moment * math.prod(first.shape)
    return not _beyond(arrives / near, grows=False)


def _gradient_norm(evidence: Evidence, seen: LayerSignal) -> float | None:
    """‖δ‖² behind the norm, where one is all that sees the layer: before it, δ has the scale that the norm undoes."""
    norms = norms_behind(evidence.graph, seen.layer)
    gradient = evidence.signals.gradients.get(norms[0].name) if len(norms) == 1 else None
    return gradient.second_moment * math.prod(norms[0].shape) if gradient else seen.gradient_norm


def _along(evidence: Evidence) -> list[LayerSignal]:
    """The layers without those that only ask: small queries and keys are uniform attention, and a good start."""

    def asks(seen: LayerSignal) -> bool:
        roles = evidence.graph.by_path[seen.layer.weight].roles
        return bool(ASKS.intersection(roles)) and Role.VALUE not in roles

    return [seen for seen in evidence.layers if not asks(seen)]


def _beyond(ratio: float, grows: bool) -> bool:
    return ratio > NOTICEABLE if grows else ratio < 1 / NOTICEABLE


def _trend(path: list[LayerSignal], of: Callable[[LayerSignal], float | None], *, grows: bool) -> Trend | None:
    """Compare each layer with the first on the path; a trend is a signal that leaves its range and does not come back.

    A side branch, such as a squeeze-and-excite gate, may carry a small signal while the main path is well.
    Exact zeros and non-finite values are left out: they are findings of their own (U01, N01), and a head or branch that
    starts at zero on purpose sends exact zeros back until its first step.
    """
    sizes = [(seen, q) for seen in path if (q := of(seen)) is not None]
    usable = [(seen, q) for seen, q in sizes if q > 0 and math.isfinite(q)]
    if len(usable) < 2:
        return None
    near = usable[0][1]
    ratios = [(seen, q / near) for seen, q in usable]
    beyond = list(reversed(list(takewhile(lambda pair: _beyond(pair[1], grows), reversed(ratios)))))
    if not beyond:
        return None
    extreme = max(beyond, key=lambda pair: abs(math.log(pair[1])))
    steps = [seen for seen, _ in usable].index(extreme[0])
    return Trend(beyond[0][0], tuple(seen for seen, _ in beyond), extreme[1], extreme[1] ** (1 / steps))
