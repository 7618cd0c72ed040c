"""What an alarm is: a code, a page of text, and a search through what has been seen of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fanin.diagnosis import Finding
from fanin.diagnosis.model import Severity
from fanin.diagnosis.place import Place
from fanin.monitor.account import Record
from fanin.monitor.trend import Trend
from fanin.signals import Origin


@dataclass(frozen=True)
class History:
    """What an alarm looks at, at one step.

    Attributes:
        step: now.
        losses: their trend, this step's included.
        loss: of this step, where it has one.
        norms: (step, norm of all gradients) of the last steps for which it is known, this step's the last.
        record: of this step, if it is a watched one.
        first: the first record; what was so from the start is told from what grew.
        not_finite: paths of parameters whose gradient or value is not finite, where that was looked for.
        origin: the first operation that was not finite, where that was looked for and found.
        kept_in: the folder where the step is kept, if it is.
        clipping: in how many steps gradients were clipped, of how many for which that is known.
        begun: (step, name) of what was found before, but notes.
    """

    step: int
    losses: Trend
    loss: float | None = None
    norms: tuple[tuple[int, float], ...] = ()
    record: Record | None = None
    first: Record | None = None
    not_finite: tuple[str, ...] = ()
    origin: Origin | None = None
    kept_in: str = ""
    clipping: tuple[int, int] = (0, 0)
    begun: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Alarm:
    """One kind of warning. Those that `fanin.diagnose` has as well share its code, name and page.

    Attributes:
        page: what it does, why it is bad, the remedy, its source.
        find: from a history to at most one finding.
    """

    code: str
    name: str
    summary: str
    page: str = field(repr=False)  # signatures in `help` are to be read
    find: Callable[[Alarm, History], Finding | None]
    remedy: str

    def finding(
        self,
        severity: Severity,
        what: str,
        why: str,
        *,
        module: str = "",
        parameter: str = "",
        source: str = "",
        also: Iterable[str] = (),
        remedy: str = "",
        start_helps: bool = False,
        **numbers: float,
    ) -> Finding:
        """A finding of this alarm.

        Args:
            module, parameter: where it begins; neither is the model as a whole.
            also: what has it, too.
            remedy: in place of the alarm's, where the numbers say more.
        """
        place = Place(module=module, operation="output" if module else "", source=source, parameter=parameter)
        affected = tuple(dict.fromkeys(path for path in (parameter or module, *also) if path))
        said = remedy or self.remedy
        return Finding(self.code, self.name, severity, place, what, why, said, affected, numbers, start_helps)
