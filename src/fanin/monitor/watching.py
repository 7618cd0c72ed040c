"""The open watch of a training loop: which steps are looked at, what is judged, where it is written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from types import TracebackType
from typing import Any, Final, Self

from fanin.diagnosis.model import Severity
from fanin.errors import BadInput, FaninError
from fanin.frameworks import training_adapter_of
from fanin.frameworks.tensorboard import Board
from fanin.monitor.account import SCHEMA, Onset, Watch
from fanin.monitor.alarm import Alarm, History
from fanin.monitor.alarms import ALARMS
from fanin.monitor.alarms.non_finite import ALARM as NON_FINITE
from fanin.monitor.keeper import Broken, Keeper
from fanin.monitor.seen import Seen
from fanin.monitor.sinks import Log, Sinks
from fanin.signals import Clipped
from fanin.signals.step import StepSignals

CLOSER: Final = 8  # steps watched one after the other behind a finding: what follows from it is to be seen
NO_STEP: Final = "w.step was never called, so that nothing was seen; call it behind each optimizer.step()."


class Watching:
    """`with fanin.watch(model) as w`: call `w.step(loss)` once for each step of the optimizer.

    It prints as the account of what was seen until now, which `result` is.

    Args:
        watcher: what looks at a step, where it is not made of the model: of `fanin.monitor.keras` and `.jax`.
        model, every, …: as for `fanin.watch`.
    """

    def __init__(
        self,
        model: Any,
        every: int = 50,
        to: str | os.PathLike[str] | None = None,
        *,
        optimizer: Any = None,
        tensorboard: bool = False,
        log: Log | None = None,
        keep_step: bool = False,
        alarms: Sequence[Alarm] = ALARMS,
        say: Callable[[str], None] | None = None,
        watcher: Any = None,
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise BadInput(f"every takes a whole number of steps, 1 or more; got {every!r}.")
        if to is None and (option := "tensorboard" if tensorboard else "keep_step" if keep_step else ""):
            raise BadInput(f"{option}=True needs a folder to write to: fanin.watch(model, to='runs/', …).")
        if watcher is None:
            watcher = training_adapter_of(model, "Watcher").Watcher(model, optimizer, histograms=tensorboard)
        self._watcher = watcher
        self._every, self._to, self._tensorboard, self._log = every, to, tensorboard, log
        self._say, self._alarms = say or _to_stderr, alarms
        self._arriving, self._seen = self._watcher.arriving(), Seen()
        self._closer_until, self._armed, self._open = 0, False, False
        self._gave_up, self._owes = False, False
        self._seen.notes += self._watcher.notes()
        self._sinks = Sinks()
        self._keeper = None
        if keep_step and to is not None:
            self._keeper = Keeper(model, to, self._watcher.rank, sharded=self._watcher.sharded)

    def __enter__(self) -> Self:
        if self._open:
            raise BadInput("This watch is open already. Make another for another loop: fanin.watch(model, …).")
        if self._watcher.rank == 0:
            self._sinks = Sinks.opened(self._to, Board if self._tensorboard else None, self._log)
            self._written("run", {"schema": SCHEMA, "model": self._watcher.name, "every": self._every})
        self._open = True
        try:
            if self._keeper:
                self._keeper.open()
            self._arm()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The hooks go, the files are closed; what was seen stays. Leaving the block does it."""
        self._watcher.disarm()
        if self._keeper:
            self._keeper.close()
        self._armed = False
        if self._open:
            self._open = False
            self._seen.notes += [] if self._seen.step else [NO_STEP]
            try:
                self._take(self._arriving.all())
            finally:
                self._sinks.close()

    def step(self, loss: Any = None, gradient_norm: Any = None) -> None:
        """One step of the optimizer is done; call it behind `optimizer.step()`.

        Args:
            loss: of this step, a scalar tensor or a number. A tensor on a GPU is not waited for.
            gradient_norm: what `fanin.clip_` or `torch.nn.utils.clip_grad_norm_` returned; then the norm of every step
                is judged, as it was before clipping.

        Raises:
            BadInput: the watch is not open, or the loss is no scalar. Nothing else is ever raised in the loop.
        """
        if not self._open:
            raise BadInput("This watch is not open. Use it as `with fanin.watch(model) as w:` and w.step(loss) within.")
        norm, clipped = gradient_norm, None
        if isinstance(gradient_norm, Clipped):
            norm, clipped = gradient_norm.norm, gradient_norm.clipped
        self._arriving.add(self._seen.step + 1, loss, norm, clipped)
        self._seen.step += 1
        try:
            if not self._gave_up:
                self._ended(loss)
                self._arm()
            elif self._owes and self._watches(self._seen.step):
                self._owes = False
                self._watcher.abstain()
        except Exception as error:  # noqa: BLE001  # training goes on, whatever a watch comes across
            self._give_up(error)

    @property
    def result(self) -> Watch:
        """What was seen until now."""
        return self._seen.watch(self._watcher.name, self._every)

    def __str__(self) -> str:
        return str(self.result)

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint, so that a run that goes on counts its steps on and says nothing twice."""
        return self._seen.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken; before the block is entered.

        Raises:
            BadInput: not such a state, or the watch is open.
        """
        if self._open:
            raise BadInput("Load the state before the watch is open: w = fanin.watch(…); w.load_state_dict(…); with w:")
        self._seen.load_state_dict(state)

    def _watches(self, step: int) -> bool:
        return step == 1 or step % self._every == 0 or step <= self._closer_until

    def _arm(self) -> None:
        """If the next step is to be watched."""
        if self._watches(self._seen.step + 1):
            self._watcher.arm()
            self._armed = True

    def _ended(self, loss: Any) -> None:
        """A step has: what was seen of it is judged."""
        armed, self._armed = self._armed, False
        signals = self._watcher.collect() if armed else None
        broken = self._keeper.look(self._seen.step, loss) if self._keeper else None
        if broken and broken.trouble:
            self._trouble(broken.trouble)
        if signals is not None:
            self._look(signals, broken)
        else:
            self._take(self._arriving.ready() if broken is None else self._arriving.all(), broken)

    def _look(self, signals: StepSignals, broken: Broken | None) -> None:
        """At a watched step. What is on its way is waited for."""
        *before, now = self._arriving.all()
        self._take(before)
        record = self._seen.record(now.loss, signals, now.norm)
        self._seen.count(now.step, now.loss, signals.gradient_norm if now.norm is None else now.norm, now.clipped)
        self._judge(self._seen.history(now.step, now.loss, record, **_facts(broken)))
        self._written("step", record.to_dict())
        self._trouble(self._sinks.show(record))

    def _take(self, arrived: Iterable[Any], broken: Broken | None = None) -> None:
        """Of steps that are not watched; the last of them is broken, if any is."""
        for step, loss, norm, clipped in arrived:
            self._seen.count(step, loss, norm, clipped)
            last = broken if step == self._seen.step else None
            lost = last is not None or (loss is not None and not isfinite(loss))
            paths = self._watcher.not_finite() if lost and NON_FINITE.code not in self._seen.said else ()
            history = self._seen.history(step, loss, norm=norm is not None, not_finite=paths, **_facts(last))
            self._judge(history)

    def _judge(self, history: History) -> None:
        if (finding := NON_FINITE.find(NON_FINITE, history)) is not None:
            self._begins(Onset(history.step, finding))
            return  # whatever else is seen now, that does
        for alarm in self._alarms:
            if alarm.code not in self._seen.said and (finding := alarm.find(alarm, history)) is not None:
                self._begins(Onset(history.step, finding))
                # Processes of a sharded model may find different things, and must watch the same steps.
                if finding.severity is not Severity.NOTE and not self._watcher.sharded:
                    self._closer_until = history.step + CLOSER

    def _begins(self, onset: Onset) -> None:
        """Said once."""
        if self._seen.begins(onset) and self._watcher.rank == 0:
            self._say(str(onset))
            self._written("finding", onset.to_dict())
            self._trouble(self._sinks.tell(onset))

    def _written(self, kind: str, content: dict[str, Any]) -> None:
        self._trouble(self._sinks.write(kind, content))

    def _trouble(self, what: str | None) -> None:
        """A sink that fails is left out from then on, and the loop goes on."""
        if what:
            self._seen.notes.append(what)
            self._say(f"fanin.watch: {what}")

    def _give_up(self, error: Exception) -> None:
        """Whatever went wrong is said, and the rest of the run is not watched."""
        self._gave_up, self._armed = True, False
        self._owes = self._watcher.sharded and not self._watcher.ended  # the others wait at the next watched step
        self._watcher.disarm()
        if self._keeper:
            self._keeper.close()
        reason = str(error) if isinstance(error, FaninError) else f"{type(error).__name__}: {error}"
        self._trouble(f"step {self._seen.step} could not be watched: {reason}")


def _facts(broken: Broken | None) -> dict[str, Any]:
    if broken is None:
        return {}
    return {"origin": broken.origin, "kept_in": str(broken.folder) if broken.folder else ""}


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
