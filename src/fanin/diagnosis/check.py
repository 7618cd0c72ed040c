"""What a check is: a code, a page of text, a search, and a remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.place import Place, place_of_layer, place_of_node, place_of_parameter
from fanin.graph import Node, Parameter
from fanin.plans import Plan
from fanin.signals import LayerSignal

# What a check may need beside a graph and its signals → whether the evidence holds it.
NEEDS: Final[Mapping[str, Callable[[Evidence], bool]]] = {
    "a measurement": lambda evidence: evidence.measured,
    "a loss": lambda evidence: evidence.given_loss,
    "an optimizer": lambda evidence: evidence.training is not None,
    "the laws of the weights": lambda evidence: evidence.laws is not None,
}


@dataclass(frozen=True)
class Check:
    """One kind of finding.

    Codes go by family: F forward signals, B backward signals, A attention, U units, W weights, L loss and logits,
    N numbers and dtypes, D data, P parameters.

    Attributes:
        summary: a sentence for lists.
        page: the text of `fanin explain CODE`: what it does, why it is bad, example, remedy, exceptions, source.
        find: from evidence to at most one finding, at the place where it starts. What the evidence does not hold is
            not judged.
        advice: the remedy in a sentence; a finding may say more.
        remedy: the plan, changed so that the finding should go; None where no start helps, and the advice says what
            else does.
        worse: how the first of a finding's numbers gets worse, by which a remedy is judged; None where it says nothing
            of that, and only the severity and the number of places count.
        needs: what it cannot judge without, beside a graph and its signals: a key of `NEEDS`, or "".
    """

    code: str
    name: str
    summary: str
    page: str
    find: Callable[[Check, Evidence], Finding | None]
    advice: str
    remedy: Callable[[Plan, Evidence, Finding], Plan] | None = None
    needs: str = ""
    worse: Literal["larger", "smaller", "farther from 1"] | None = None

    def can_judge(self, evidence: Evidence) -> bool:
        """The evidence holds what the check needs."""
        return not self.needs or NEEDS[self.needs](evidence)

    def finding(
        self,
        evidence: Evidence,
        severity: Severity,
        at: LayerSignal | Node | Parameter | None,
        what: str,
        why: str,
        *,
        also: Iterable[str] = (),
        advice: str = "",
        **numbers: float,
    ) -> Finding:
        """A finding of this check, with its place filled in.

        Args:
            at: where it starts; None is the model as a whole.
            also: paths of the modules or parameters that have it too.
            advice: in place of the check's, where the numbers say more.
            numbers: the evidence, by name.
        """
        match at:
            case LayerSignal():
                place = place_of_layer(evidence.graph, at.layer, len(evidence.layers))
            case Node():
                place = place_of_node(evidence.graph, at, evidence.layers)
            case Parameter():
                place = place_of_parameter(evidence.graph, at, evidence.layers)
            case None:
                place = Place()
        affected = tuple(dict.fromkeys(path for path in (place.parameter or place.module, *also) if path))
        said, helps = advice or self.advice, self.remedy is not None
        return Finding(self.code, self.name, severity, place, what, why, said, affected, numbers, helps)
