"""What starts otherwise in two plans. Laws are compared, not their spelling; values, with what chance does to them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.console import Group
from rich.text import Text

from fanin.grid import Grid, plain
from fanin.initializers import Keep, Law, Structure
from fanin.plans.repeated import grouped, label

if TYPE_CHECKING:
    from fanin.plans.measured import Measured
    from fanin.plans.model import Entry, Plan

HEADERS: Final = ("parameter", "here", "there", "std here", "std there", "ratio")
ROUNDED: Final = 1e-6  # relative: a law is written in so many digits
UNBOUNDED: Final = 5.0  # sigmas beyond which a bound is no bound for as many values as a weight has
CUT_ALIKE: Final = 0.05  # relative: how near in reach two cut laws are


class Change(NamedTuple):
    """A parameter that starts otherwise in two plans; None where a plan does not have it."""

    path: str
    here: Entry | None
    there: Entry | None

    @property
    def ratio(self) -> float:
        """The standard deviation here over that there; NaN where one of them is not known or both are 0."""
        if self.here is None or self.there is None:
            return math.nan
        here, there = self.here.std, self.there.std
        return here / there if there else math.inf if here > 0 else math.nan


class PlanDiff(tuple[Change, ...]):
    """The changes between two plans, a tuple; `print` shows them as a table in which layers that repeat share a line.

    Attributes:
        here: the name of the plan that was asked.
        there: of the one it was compared with.
        compared: how many parameters the two have together.
    """

    here: str
    there: str
    compared: int

    def __new__(
        cls, changes: Iterable[Change], here: str = "here", there: str = "there", compared: int = 0
    ) -> PlanDiff:
        """A tuple with the names of what was compared."""
        made = super().__new__(cls, changes)
        made.here, made.there, made.compared = here, there, compared
        return made

    @property
    def summary(self) -> str:
        """How many parameters start otherwise."""
        if not self:
            return f"{self.here} and {self.there}: all {self.compared} parameters start alike"
        return f"{self.here} and {self.there}: {len(self)} of {self.compared} parameters start otherwise"

    def __rich__(self) -> Group:
        """The table that `print` and the command line show."""
        parts = [Text(self.summary, "bold")]
        if not self:
            return Group(*parts)
        justify: list[str] = ["left", "left", "left", "right", "right", "right"]
        return Group(*parts, Grid(HEADERS, rows(self), justify))  # type: ignore[arg-type]  # the two literals

    def __str__(self) -> str:
        return plain(self)

    def __repr__(self) -> str:
        return f"PlanDiff({tuple(change.path for change in self)})"


def changes(here: Plan, there: Plan) -> PlanDiff:
    """The parameters that do not start alike."""
    paths = dict.fromkeys([e.parameter.path for e in here] + [e.parameter.path for e in there])
    ours, theirs = ({path: e for e in plan for path in (e.parameter.path, *e.parameter.also)} for plan in (here, there))
    pairs = (Change(path, ours.get(path), theirs.get(path)) for path in paths)
    return PlanDiff((c for c in pairs if not _alike(c)), here.recipe, there.recipe, len(paths))


def rows(diff: Iterable[Change]) -> list[tuple[str, ...]]:
    """The table's cells."""
    return [
        (
            label([change.path for change in group]),
            _what(group[0].here),
            _what(group[0].there),
            *(_number(_over([e.std for c in group if (e := getattr(c, side))])) for side in ("here", "there")),
            _number(_over([c.ratio for c in group])),
        )
        for group in grouped(diff, lambda c: c.path, lambda c: (_kind(c.here), _kind(c.there)))
    ]


def same_start(here: Entry, there: Entry) -> bool:
    """Whether a parameter starts alike in two entries.

    Two laws do if mean, std, bounds and structure are the same, however they are written. A law and values that were
    looked at do if so many values of the law may have that mean and std (6 standard errors), and if the values were not
    recognised as of another family. Of two that were looked at, each stands for what it is.
    """
    if here.initializer == there.initializer and not (isinstance(here.initializer, Keep) and here.measured):
        return True
    seen, other = (here, there) if here.measured else (there, here)
    if seen.measured is None:
        return not _keeps(here) and not _keeps(there) and _same_law(_law(here), _law(there))
    if isinstance(other.initializer, Keep):
        return other.measured is not None and _drawn_alike(seen.measured, other.measured)
    law = _law(other)
    fits = seen.measured.has_std(law.std, law.kurtosis) and seen.measured.has_mean(law.mean, law.std)
    return fits and (isinstance(seen.initializer, Keep) or _family(_law(seen)) == _family(law))


def _alike(change: Change) -> bool:
    here, there = change.here, change.there
    return here is not None and there is not None and same_start(here, there)


def _keeps(entry: Entry) -> bool:
    return isinstance(entry.initializer, Keep)


def _law(entry: Entry) -> Law:
    return entry.initializer.law(entry.target)


def _same_law(a: Law, b: Law) -> bool:
    """NaN, of a file of weights that nobody opened, is like nothing."""
    numbers = zip((a.mean, a.std, a.low, a.high), (b.mean, b.std, b.low, b.high), strict=True)
    scale = max(a.std, b.std, abs(a.mean), abs(b.mean))
    near = all(x == y or abs(x - y) <= ROUNDED * scale for x, y in numbers)
    return near and (a.structure is b.structure or a.std == 0) and not _fixed_pattern(a)


def _fixed_pattern(law: Law) -> bool:
    """The same under every seed but not one number: two of them may put the same values elsewhere."""
    return law.structure is Structure.FIXED and law.std > 0


def _family(law: Law) -> tuple[object, ...]:
    """Structure, and the reach in sigmas where it tells: ∞ for a normal law and one that is cut far out."""
    if law.std == 0 or law.structure not in (Structure.INDEPENDENT, Structure.ORTHOGONAL):
        return (law.structure,)
    if law.structure is Structure.ORTHOGONAL:
        return (law.structure,)
    reach = max(law.high - law.mean, law.mean - law.low) / law.std
    return (law.structure, math.inf if reach > UNBOUNDED else round(math.log(reach) / CUT_ALIKE))


def _drawn_alike(a: Measured, b: Measured) -> bool:
    """Two samples of one law differ by both their chances."""
    if (a.count, a.low, a.high, a.std) == (b.count, b.low, b.high, b.std):
        return True
    error = math.hypot(a.std_error(a.kurtosis), b.std_error(b.kurtosis)) * 6
    if abs(a.std - b.std) > error * max(a.std, b.std) + a.rounding + b.rounding:
        return False
    return abs(a.mean - b.mean) <= 6 * math.hypot(a.std, b.std) / math.sqrt(min(a.count, b.count))


def _kind(entry: Entry | None) -> object:
    """Lines join where this is one: of what is kept, the shape; else the law."""
    if entry is None:
        return None
    return (entry.parameter.shape, "kept") if isinstance(entry.initializer, Keep) else entry.initializer


def _what(entry: Entry | None) -> str:
    if entry is None:
        return "not in it"
    return "its values" if isinstance(entry.initializer, Keep) and entry.measured else str(entry.initializer)


def _over(numbers: list[float]) -> float:
    """Root mean square of what a line stands for; the number itself where they are one."""
    if len(set(numbers)) == 1:
        return numbers[0]
    return math.sqrt(math.fsum(x * x for x in numbers) / len(numbers)) if numbers else math.nan


def _number(x: float) -> str:
    return "" if math.isnan(x) else f"{x:.4g}"
