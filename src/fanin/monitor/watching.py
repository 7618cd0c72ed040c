"""The open watch of a training loop: which steps are looked at, what is judged, where it is written."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from math import isfinite
from types import TracebackType
from typing import Any, Final, Self

from fanin.errors import BadInput, FaninError
from fanin.frameworks import adapter_of
from fanin.monitor.account import SCHEMA, Onset, Record, Watch
from fanin.monitor.alarm import History
from fanin.monitor.alarms import ALARMS
from fanin.monitor.alarms.non_finite import ALARM as NON_FINITE
from fanin.monitor.sinks import Sinks
from fanin.monitor.thinned import Thinned
from fanin.monitor.trend import Trend
from fanin.signals.step import StepSignals

NORMS: Final = 50  # of the last steps, of which an alarm takes as many as it needs
CLOSER: Final = 8  # steps watched one after the other once a loss diverges: NaN may follow, and is to be found there
COMPILED: Final = "Layers inside torch.compile are not seen; gradients, weights and updates are."


class Watching:
    """`with fanin.watch(model) as w`: call `w.step(loss)` once for each step of the optimizer.

    It prints as the account of what was seen until now, which `result` is.
    """

    def __init__(
        self,
        model: Any,
        every: int = 50,
        to: str | os.PathLike[str] | None = None,
        *,
        optimizer: Any = None,
        tensorboard: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise BadInput(f"every takes a whole number of steps, 1 or more; got {every!r}.")
        if tensorboard and to is None:
            raise BadInput("tensorboard=True needs a folder to write to: fanin.watch(model, to='runs/', …).")
        self._adapter = adapter_of(model)
        self._watcher = self._adapter.Watcher(model, optimizer, histograms=tensorboard)
        self._every, self._to, self._tensorboard = every, to, tensorboard
        self._say = say or _to_stderr
        self._arriving = self._adapter.Arriving()
        self._step, self._closer_until, self._armed, self._open = 0, 0, False, False
        self._trend, self._norms = Trend(), deque[tuple[int, float]](maxlen=NORMS)
        self._first: Record | None = None
        self._records, self._kept = Thinned[Record](256), Thinned[tuple[int, float]](4096)
        self._onsets: list[Onset] = []
        self._said: set[str] = set()
        self._notes: list[str] = [] if self._watcher.sees_forward else [COMPILED]
        self._sinks = Sinks(None, None)

    def __enter__(self) -> Self:
        if self._open:
            raise BadInput("This watch is open already. Make another for another loop: fanin.watch(model, …).")
        if self._watcher.speaks and self._to is not None:
            self._sinks = Sinks.opened(self._to, self._adapter.Board if self._tensorboard else None)
            self._written("run", {"schema": SCHEMA, "model": self._watcher.name, "every": self._every})
        self._open = True
        self._arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The hooks go, the files are closed; what was seen stays. Leaving the block does it."""
        self._watcher.disarm()
        self._armed = False
        if self._open:
            self._open = False
            try:
                self._take(self._arriving.all())
            finally:
                self._sinks.close()

    def step(self, loss: Any = None, gradient_norm: Any = None) -> None:
        """One step of the optimizer is done; call it behind `optimizer.step()`.

        Args:
            loss: of this step, a scalar tensor or a number. A tensor on a GPU is not waited for.
            gradient_norm: what `torch.nn.utils.clip_grad_norm_` returned; then the norm of every step is judged, as it
                was before clipping.

        Raises:
            BadInput: the watch is not open, or the loss is no scalar. Nothing else is ever raised in the loop.
        """
        if not self._open:
            raise BadInput("This watch is not open. Use it as `with fanin.watch(model) as w:` and w.step(loss) within.")
        self._step += 1
        self._arriving.add(self._step, loss, gradient_norm)
        try:
            if self._armed:
                self._armed = False
                self._look(self._watcher.collect())
            else:
                self._take(self._arriving.ready())
            self._arm()
        except Exception as error:  # noqa: BLE001  # training goes on, whatever a watch comes across
            self._give_up(error)

    @property
    def result(self) -> Watch:
        """What was seen until now."""
        return Watch(
            self._watcher.name,
            self._step,
            self._every,
            self._records.kept,
            tuple(self._onsets),
            self._kept.kept,
            tuple(self._notes),
        )

    def __str__(self) -> str:
        return str(self.result)

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint, so that a run that goes on counts its steps on and says nothing twice."""
        return {
            "step": self._step,
            "trend": asdict(self._trend),
            "norms": [list(pair) for pair in self._norms],
            "said": sorted(self._said),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken; before the block is entered.

        Raises:
            BadInput: not such a state, or the watch is open.
        """
        if self._open:
            raise BadInput("Load the state before the watch is open: w = fanin.watch(…); w.load_state_dict(…); with w:")
        try:
            trend = Trend(**{**state["trend"], "recent": tuple(state["trend"]["recent"])})
            norms = deque(((int(s), float(n)) for s, n in state["norms"]), NORMS)
            said, step = set(map(str, state["said"])), int(state["step"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput("Not the state of a watch. Give what state_dict() of one returned.") from error
        self._trend, self._norms, self._said, self._step = trend, norms, said, step

    def _arm(self) -> None:
        """If the next step is to be watched."""
        coming = self._step + 1
        if coming == 1 or coming % self._every == 0 or coming <= self._closer_until:
            self._watcher.arm()
            self._armed = True

    def _look(self, signals: StepSignals) -> None:
        """A watched step has ended. What is on its way is waited for."""
        *before, now = self._arriving.all()
        self._take(before)
        measured, given = signals.gradient_norm, now.norm
        clipped = measured / given if measured is not None and given and isfinite(given) else None
        skipped = not signals.updated and measured is not None and not isfinite(measured)
        record = Record(self._step, now.loss, signals, skipped, clipped)
        self._records.add(record)
        self._first = self._first or record
        self._count(self._step, now.loss, measured if given is None else given)
        self._judge(self._history(self._step, now.loss, record))
        self._written("step", record.to_dict())
        self._trouble(self._sinks.show(record))

    def _take(self, arrived: Iterable[Any]) -> None:
        """Of steps that are not watched."""
        for step, loss, norm in arrived:
            self._count(step, loss, norm)
            lost = loss is not None and not isfinite(loss) and "N01" not in self._said
            broken = self._watcher.not_finite() if lost else ()
            self._judge(self._history(step, loss, None, norm is not None, broken))

    def _count(self, step: int, loss: float | None, norm: float | None) -> None:
        if loss is not None:
            self._trend = self._trend.seen(loss)
            self._kept.add((step, loss))
        if norm is not None:
            self._norms.append((step, norm))

    def _history(
        self, step: int, loss: float | None, record: Record | None, norm: bool = True, broken: tuple[str, ...] = ()
    ) -> History:
        norms = tuple(self._norms) if norm else ()
        return History(step, self._trend, loss, norms, record, self._first, broken)

    def _judge(self, history: History) -> None:
        if (broken := NON_FINITE.find(NON_FINITE, history)) is not None:
            self._begins(Onset(history.step, broken))
            return  # whatever else is seen now, that does
        for alarm in ALARMS:
            if alarm.code not in self._said and (finding := alarm.find(alarm, history)) is not None:
                self._begins(Onset(history.step, finding))
                self._closer_until = max(self._closer_until, history.step + CLOSER)

    def _begins(self, onset: Onset) -> None:
        """Said once."""
        if onset.finding.code in self._said:
            return
        self._said.add(onset.finding.code)
        self._onsets.append(onset)
        if self._watcher.speaks:
            self._say(str(onset))
            self._written("finding", onset.to_dict())
            self._trouble(self._sinks.tell(onset))

    def _written(self, kind: str, content: dict[str, Any]) -> None:
        self._trouble(self._sinks.write(kind, content))

    def _trouble(self, what: str | None) -> None:
        """A sink that fails is left out from then on, and the loop goes on."""
        if what:
            self._notes.append(what)
            self._say(f"fanin.watch: {what}")

    def _give_up(self, error: Exception) -> None:
        """Whatever went wrong is said, and the rest of the run is not watched."""
        self._watcher.disarm()
        self._armed = False
        reason = str(error) if isinstance(error, FaninError) else f"{type(error).__name__}: {error}"
        self._trouble(f"step {self._step} could not be watched: {reason}")


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
