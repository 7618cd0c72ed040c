"""Finding and Diagnosis: what was seen, where, why, and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fanin.graph import Graph
from fanin.signals import Signals


class Severity(StrEnum):
    """How much it matters."""

    ERROR = "error"  # will not train
    WARNING = "warning"  # trains slowly, or only with luck


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        code: stable, such as "B01".
        name: in the field's words, such as "vanishing gradients".
        layer: number of the layer where it starts, 1 … `layers`; None where it is not in a layer.
        module: path of the module.
        source: "file.py:line" of the user's code.
        what: what was measured, with the numbers.
        why: what makes it so.
        remedy: what to do.
        evidence: the numbers, by name.
    """

    code: str
    name: str
    severity: Severity
    layer: int | None
    layers: int
    module: str
    source: str
    what: str
    why: str
    remedy: str
    evidence: Mapping[str, float] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where it starts, as "layer 7 of 41 (body.6, net.py:12)"."""
        number = f"layer {self.layer} of {self.layers}" if self.layer else ""
        detail = ", ".join(part for part in (self.module, self.source) if part)
        return f"{number} ({detail})" if number and detail else number or detail or "the model"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "code": self.code,
            "name": self.name,
            "severity": str(self.severity),
            "layer": self.layer,
            "layers": self.layers,
            "module": self.module,
            "source": self.source,
            "what": self.what,
            "why": self.why,
            "remedy": self.remedy,
            "evidence": {k: v if math.isfinite(v) else str(v) for k, v in self.evidence.items()},
        }


@dataclass(frozen=True)
class Diagnosis:
    """What the checks found in one set of signals; iterating gives the findings."""

    findings: tuple[Finding, ...]
    graph: Graph = field(repr=False)
    signals: Signals = field(repr=False)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    @property
    def healthy(self) -> bool:
        """Nothing was found."""
        return not self.findings

    @property
    def summary(self) -> str:
        """One line: the findings' names, or "healthy"."""
        return ", ".join(dict.fromkeys(f.name for f in self.findings)) or "healthy"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "model": self.graph.model,
            "healthy": self.healthy,
            "findings": [f.to_dict() for f in self.findings],
            "signals": self.signals.to_dict(),
        }

    def __str__(self) -> str:
        head = f"{self.graph.model}: {self.summary}"
        lines = [
            f"{f.code} {f.name} ({f.severity}) from {f.place}\n"
            f"    what    {f.what}\n    why     {f.why}\n    remedy  {f.remedy}"
            for f in self.findings
        ]
        return "\n".join([head, *lines])
