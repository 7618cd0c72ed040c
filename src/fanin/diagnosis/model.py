"""Finding and Diagnosis: what was seen, where, why, and what to do."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fanin.diagnosis.place import Place
from fanin.errors import BadInput
from fanin.files import check_target, write_text
from fanin.graph import Graph
from fanin.signals import Signals
from fanin.strict_json import strict_json

if TYPE_CHECKING:
    from fanin.diagnosis.evidence import Evidence


SCHEMA: Final = "urn:fanin:diagnosis/1"  # of the JSON form; another number when a field changes its meaning or goes


class Severity(StrEnum):
    """How much it matters."""

    ERROR = "error"  # will not train
    WARNING = "warning"  # trains slowly, or only with luck
    NOTE = "note"  # may be meant so; does not make a model unhealthy


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        code: stable, such as "B01".
        name: in the field's words, such as "vanishing gradients".
        place: where it starts.
        what: what was seen, with the numbers.
        why: what makes it so.
        remedy: what to do.
        affected: paths of all modules, or parameters, that have it.
        evidence: the numbers, by name; the first is the one that it is about.
        start_helps: another start may make it go; if not, something else must change, and the remedy says what.
    """

    code: str
    name: str
    severity: Severity
    place: Place
    what: str
    why: str
    remedy: str
    affected: tuple[str, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)
    start_helps: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "code": self.code,
            "name": self.name,
            "severity": str(self.severity),
            "place": self.place.to_dict(),
            "what": self.what,
            "why": self.why,
            "remedy": self.remedy,
            "start_helps": self.start_helps,
            "affected": list(self.affected),
            "evidence": {k: v if math.isfinite(v) else str(v) for k, v in self.evidence.items()},
        }


@dataclass(frozen=True)
class Diagnosis:
    """What the checks found; iterating gives the findings.

    Attributes:
        findings: in the order of `CHECKS`.
        evidence: what they were found in.
        ignored: findings that the caller asked not to be shown.
        not_judged: code of a check → what it needs and was not given, such as "a loss".
        page: makes the whole report of a diagnosis, as HTML. Judging knows nothing of pages: whoever does gives it.
    """

    findings: tuple[Finding, ...]
    evidence: Evidence = field(repr=False)
    ignored: tuple[Finding, ...] = ()
    not_judged: Mapping[str, str] = field(default_factory=dict)
    page: Callable[[Diagnosis], str] | None = field(default=None, repr=False, compare=False)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    @property
    def graph(self) -> Graph:
        """The model's."""
        return self.evidence.graph

    @property
    def signals(self) -> Signals:
        """That were judged."""
        return self.evidence.signals

    @property
    def healthy(self) -> bool:
        """Nothing was found but what may be meant so."""
        return all(f.severity is Severity.NOTE for f in self.findings)

    @property
    def summary(self) -> str:
        """One line: the findings' names, or "healthy"."""
        wrong = dict.fromkeys(f.name for f in self.findings if f.severity is not Severity.NOTE)
        return ", ".join(wrong) or "healthy"

    @property
    def head(self) -> str:
        """The summary, and how many findings were asked not to be shown."""
        return f"{self.summary} ({len(self.ignored)} ignored)" if self.ignored else self.summary

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `schema/diagnosis.schema.json` says what is where."""
        return {
            "schema": SCHEMA,
            "model": self.graph.model,
            "healthy": self.healthy,
            "findings": [f.to_dict() for f in self.findings],
            "ignored": [f.to_dict() for f in self.ignored],
            "not_judged": dict(self.not_judged),
            "signals": self.signals.to_dict(),
        }

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The same as JSON that every parser reads: numbers that are not finite are strings. Written to a file, if any.

        Raises:
            BadInput: the file cannot be written.
        """
        text = strict_json(self.to_dict())
        if path is not None:
            write_text(path, text, "diagnosis.json")
        return text

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Writes the report, one page that opens offline, as `fanin check --html` does; returns where.

        Raises:
            BadInput: the file cannot be written; or the diagnosis was not made by `fanin.diagnose`, which gives `page`.
        """
        check_target(path)  # before the page is made
        if self.page is None:
            raise BadInput(
                "This diagnosis does not know how to make its page. Take it from fanin.diagnose, or write the page "
                "with fanin.reports: write_html(check_page(diagnosis, None, {}, ''), path)."
            )
        return write_text(path, self.page(self))

    def _repr_html_(self) -> str:
        """In a notebook: the findings, and the signals over depth."""
        from fanin.diagnosis.notebook import html

        return html(self)

    def __str__(self) -> str:
        lines = [
            f"{f.code} {f.name} ({f.severity}) from {f.place}\n"
            f"    what    {f.what}\n    why     {f.why}\n"
            f"    remedy  {f.remedy}{'' if f.start_helps else '; no start helps'}"
            for f in self.findings
        ]
        return "\n".join([f"{self.graph.model}: {self.head}", *lines])
