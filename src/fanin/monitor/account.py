"""What was seen of a training run: records of watched steps, and the steps at which something began to go wrong."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

from fanin.diagnosis import Finding
from fanin.diagnosis.model import Severity
from fanin.files import write_text
from fanin.signals.step import StepSignals
from fanin.strict_json import strict_json

SCHEMA: Final = "urn:fanin:watch/1"  # of the JSON form and of the lines; another when a field changes or goes
ROWS: Final = 8  # of the table over time: a screen beside the findings


@dataclass(frozen=True)
class Record:
    """One watched step.

    Attributes:
        step: 1 is the first.
        loss: of that step; None where none was given, or it has not arrived.
        signals: what was seen.
        skipped: the optimizer changed nothing, as a GradScaler lets it when gradients overflow.
        clipped: gradients were scaled down to this share of their norm before the update; None where that is not known.
    """

    step: int
    loss: float | None
    signals: StepSignals
    skipped: bool = False
    clipped: float | None = None

    @property
    def dead(self) -> float | None:
        """The largest share of dead units of a layer."""
        return max((layer.activated.dead for layer in self.signals.layers if layer.activated), default=None)

    @property
    def update_ratio(self) -> float | None:
        """The median over weights of ‖Δw‖/‖w‖."""
        found = sorted(p.update_ratio for p in self.signals.parameters if len(p.shape) > 1 and p.update_ratio)
        return found[len(found) // 2] if found else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        head = {"step": self.step, "loss": self.loss, "skipped": self.skipped, "clipped": self.clipped}
        return head | self.signals.to_dict()

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """From `to_dict`, without histograms.

        Raises:
            KeyError, TypeError: not such data.
        """
        signals = StepSignals.from_dict(plain)
        return cls(plain["step"], plain["loss"], signals, plain["skipped"], plain["clipped"])


@dataclass(frozen=True)
class Onset:
    """A finding, and the step at which it began."""

    step: int
    finding: Finding

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"step": self.step, "finding": self.finding.to_dict()}

    def __str__(self) -> str:
        f, place = self.finding, self.finding.place
        where = (place.parameter and f" in parameter {place.parameter}") or (place.module and f" in {place.module}")
        where += f" at {place.source}" if place.source else ""
        return (
            f"step {self.step}: {f.code} {f.name} ({f.severity}){where}\n"
            f"    what    {f.what}\n    why     {f.why}\n    remedy  {f.remedy}\n    more    fanin explain {f.code}"
        )


@dataclass(frozen=True)
class Watch:
    """What was seen until now; iterating gives the onsets.

    Attributes:
        model: the name of its class.
        steps: how many there were.
        every: one of so many was watched.
        records: of watched steps, oldest first; when they become many, every second one is dropped (the file has all).
        onsets: each kind of finding once, in the order in which they began.
        losses: of every step that was kept, as (step, loss), thinned likewise.
        notes: what could not be seen.
        clipping: in how many steps gradients were clipped, of how many for which that is known.
    """

    model: str
    steps: int
    every: int
    records: tuple[Record, ...] = ()
    onsets: tuple[Onset, ...] = ()
    losses: tuple[tuple[int, float], ...] = ()
    notes: tuple[str, ...] = ()
    clipping: tuple[int, int] = (0, 0)

    def __iter__(self) -> Iterator[Onset]:
        return iter(self.onsets)

    def __len__(self) -> int:
        return len(self.onsets)

    @property
    def healthy(self) -> bool:
        """Nothing began to go wrong but what may be meant so."""
        return all(onset.finding.severity is Severity.NOTE for onset in self.onsets)

    @property
    def summary(self) -> str:
        """One line: what began to go wrong, with its step, or "healthy"."""
        wrong = [o for o in self.onsets if o.finding.severity is not Severity.NOTE]
        return ", ".join(f"{o.finding.name} from step {o.step}" for o in wrong) or "healthy"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "steps": self.steps,
            "every": self.every,
            "healthy": self.healthy,
            "onsets": [onset.to_dict() for onset in self.onsets],
            "losses": [list(pair) for pair in self.losses],
            "records": [record.to_dict() for record in self.records],
            "notes": list(self.notes),
            "clipping": dict(zip(("clipped", "of"), self.clipping, strict=True)),
        }

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The same as JSON that every parser reads. Written to a file, if any.

        Raises:
            BadInput: the file cannot be written.
        """
        text = strict_json(self.to_dict())
        if path is not None:
            write_text(path, text, "watch.json")
        return text

    def __str__(self) -> str:
        head = f"{self.model}: {self.steps} steps, {len(self.records)} of them seen closely: {self.summary}"
        clipped, could = self.clipping
        if could:
            head += f"\ngradients were clipped in {clipped} of {could} steps ({clipped / could:.0%})"
        return "\n".join([head, *self._table(), *map(str, self.onsets), *(f"note: {note}" for note in self.notes)])

    def _table(self) -> list[str]:
        if not self.records:
            return []
        names = ("step", "loss", "‖gradient‖", "‖Δw‖/‖w‖", "dead units", "‖δ‖² first/last")
        rows = [names, *(_row(record) for record in _spread(self.records, ROWS))]
        widths = [max(len(row[i]) for row in rows) for i in range(len(names))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return [lines[0], "─" * len(lines[0]), *lines[1:]]


def gradient_over_depth(signals: StepSignals) -> list[tuple[str, float]]:
    """(path, ‖δ‖²) of layers with matrices, from the first to the last, where a gradient came back."""
    return [(x.path, x.gradient) for x in signals.layers if x.matrix and x.gradient is not None]


def _row(record: Record) -> tuple[str, ...]:
    over_depth = gradient_over_depth(record.signals)
    ratio = over_depth[0][1] / over_depth[-1][1] if len(over_depth) > 1 and over_depth[-1][1] else None
    numbers = (record.loss, record.signals.gradient_norm, record.update_ratio)
    dead = "–" if record.dead is None else f"{record.dead:.0%}"
    return (str(record.step), *(_number(x) for x in numbers), dead, _number(ratio))


def _number(x: float | None) -> str:
    if x is None:
        return "–"
    return f"{x:.3g}" if math.isfinite(x) else str(x)


def _spread(records: tuple[Record, ...], count: int) -> Iterable[Record]:
    """The first, the last, and some between."""
    if len(records) <= count:
        return records
    places = [round(i * (len(records) - 1) / (count - 1)) for i in range(count)]
    assert all(a < b for a, b in pairwise(places))
    return [records[i] for i in places]
