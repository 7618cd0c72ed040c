"""What a watch has seen so far, in memory that does not grow with the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any, Final

from fanin.diagnosis.model import Severity
from fanin.errors import BadInput
from fanin.monitor.account import Onset, Record, Watch
from fanin.monitor.alarm import History
from fanin.monitor.thinned import Thinned
from fanin.monitor.trend import Trend
from fanin.signals import Origin
from fanin.signals.step import StepSignals

NORMS: Final = 50  # of the last steps, of which an alarm takes as many as it needs
RECORDS, LOSSES = 256, 4096  # that are kept for the account


class Seen:
    """Counts steps, and gives alarms the `History` of one."""

    def __init__(self) -> None:
        self.step = 0
        self.first: Record | None = None
        self.said: set[str] = set()
        self.notes: list[str] = []
        self._trend, self._norms = Trend(), deque[tuple[int, float]](maxlen=NORMS)
        self._records, self._losses = Thinned[Record](RECORDS), Thinned[tuple[int, float]](LOSSES)
        self._onsets: list[Onset] = []
        self._clipped = self._could = 0

    def count(self, step: int, loss: float | None, norm: float | None, clipped: float | None) -> None:
        """One step, watched or not."""
        if loss is not None:
            self._trend = self._trend.seen(loss)
            self._losses.add((step, loss))
        if norm is not None:
            self._norms.append((step, norm))
        if clipped is not None:
            self._could += 1
            self._clipped += bool(clipped)

    def record(self, loss: float | None, signals: StepSignals, norm: float | None) -> Record:
        """A watched step; `norm` is what clipping told of the gradients before it."""
        measured = signals.gradient_norm
        clipped = measured / norm if measured is not None and norm and isfinite(norm) else None
        skipped = not signals.updated and measured is not None and not isfinite(measured)
        record = Record(self.step, loss, signals, skipped, clipped)
        self._records.add(record)
        self.first = self.first or record
        return record

    def history(
        self,
        step: int,
        loss: float | None,
        record: Record | None = None,
        *,
        norm: bool = True,
        not_finite: tuple[str, ...] = (),
        origin: Origin | None = None,
        kept_in: str = "",
    ) -> History:
        """Of a step that was counted; `norm`: the last of the norms is this step's."""
        return History(
            step,
            self._trend,
            loss,
            tuple(self._norms) if norm else (),
            record,
            self.first,
            not_finite,
            origin,
            kept_in,
            (self._clipped, self._could),
            tuple((o.step, o.finding.name) for o in self._onsets if o.finding.severity is not Severity.NOTE),
        )

    def begins(self, onset: Onset) -> bool:
        """Whether it is new; each kind is kept once."""
        if onset.finding.code in self.said:
            return False
        self.said.add(onset.finding.code)
        self._onsets.append(onset)
        return True

    def watch(self, model: str, every: int) -> Watch:
        """The account."""
        return Watch(
            model,
            self.step,
            every,
            self._records.kept,
            tuple(self._onsets),
            self._losses.kept,
            tuple(self.notes),
            (self._clipped, self._could),
        )

    def state_dict(self) -> dict[str, Any]:
        """Plain data. Records and losses but the first are not in it: the file has them."""
        return {
            "step": self.step,
            "trend": asdict(self._trend) | {"recent": list(self._trend.recent)},
            "norms": [list(pair) for pair in self._norms],
            "said": sorted(self.said),
            "clipped": [self._clipped, self._could],
            "first": self.first.to_dict() if self.first else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From `state_dict`, whole or not at all.

        Raises:
            BadInput: not such a state.
        """
        try:
            trend = Trend(**{**state["trend"], "recent": tuple(state["trend"]["recent"])})
            norms = deque(((int(s), float(n)) for s, n in state["norms"]), NORMS)
            said, step = set(map(str, state["said"])), int(state["step"])
            clipped, could = map(int, state["clipped"])
            first = Record.from_dict(state["first"]) if state["first"] else None
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"Not the state of a watch ({type(error).__name__}: {error}). Give what state_dict() of one returned."
            ) from error
        self._trend, self._norms, self.said, self.step, self.first = trend, norms, said, step, first
        self._clipped, self._could = clipped, could
