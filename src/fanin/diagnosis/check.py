"""What a check is: a code, a page of text, a search, and a remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.plans import Plan
from fanin.signals import LayerSignal


@dataclass(frozen=True)
class Check:
    """One kind of finding.

    Codes go by family: F forward signals, B backward signals, U units, N numerics.

    Attributes:
        summary: a sentence for lists.
        page: the text of `fanin explain CODE`: what it does, why it is bad, example, remedy, exceptions, source.
        find: from evidence to at most one finding, at the layer where it starts.
        remedy: the plan, changed so that the finding should go.
        advice: the remedy in a sentence.
    """

    code: str
    name: str
    summary: str
    page: str
    find: Callable[[Check, Evidence], Finding | None]
    remedy: Callable[[Plan, Evidence, Finding], Plan]
    advice: str

    def finding(
        self,
        evidence: Evidence,
        severity: Severity,
        at: LayerSignal | None,
        what: str,
        why: str,
        **numbers: float,
    ) -> Finding:
        """A finding of this check, with its place filled in."""
        layer = at.layer if at else None
        return Finding(
            code=self.code,
            name=self.name,
            severity=severity,
            layer=layer.index if layer else None,
            layers=len(evidence.layers),
            module=layer.module if layer else "",
            source=layer.node.source if layer else "",
            what=what,
            why=why,
            remedy=self.advice,
            evidence=numbers,
        )
