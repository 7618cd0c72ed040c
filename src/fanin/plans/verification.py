"""Whether a model still is what its plan and seed say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fanin.grid import Grid, plain
from fanin.plans.digest import SHOWN

if TYPE_CHECKING:
    from rich.console import Group

HEADERS = ("parameter", "what differs", "first at", "expected", "got")


@dataclass(frozen=True)
class Difference:
    """One parameter that is not what the plan says.

    Attributes:
        what: in words.
        element: index, in the whole tensor, of the first value among those compared that differs; None where none was
            compared.
        expected, got: the value there.
    """

    path: str
    what: str
    element: tuple[int, ...] | None = None
    expected: complex | None = None
    got: complex | None = None


@dataclass(frozen=True)
class Verification:
    """What `fanin.verify` found; true if nothing differs.

    Attributes:
        digest: of the plan and seed that the model was compared with.
        differences: one for each parameter that is not what the plan says.
        compared: elements that were drawn again and compared, bit for bit.
        held: elements that this process holds of what the plan writes.
        kept: parameters that the plan keeps: nothing is known of their values.
    """

    digest: str
    differences: tuple[Difference, ...]
    compared: int
    held: int
    kept: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing differs in what was compared."""
        return not self.differences

    def __bool__(self) -> bool:
        return self.ok

    @property
    def summary(self) -> str:
        """One line."""
        if not self.ok:
            return f"{len(self.differences)} parameter(s) are not what {self._start} says"
        kept = f"; {len(self.kept)} kept parameter(s) were not compared" if self.kept else ""
        return f"as {self._start} says: {self.compared:,} of {self.held:,} elements compared, bit for bit{kept}"

    @property
    def _start(self) -> str:
        return f"the plan (digest {self.digest[:SHOWN]})"

    def __rich__(self) -> Group:
        """The line, and a table of what differs."""
        from rich.console import Group
        from rich.text import Text

        rows = [(d.path, d.what, _place(d), _number(d.expected), _number(d.got)) for d in self.differences]
        grid = [Grid(HEADERS, rows, ("left", "left", "left", "right", "right"))] if rows else []
        return Group(Text(self.summary), *grid)

    def __str__(self) -> str:
        return plain(self)


def _place(difference: Difference) -> str:
    return "" if difference.element is None else f"[{', '.join(map(str, difference.element))}]"


def _number(value: complex | None) -> str:
    """As many digits as tell two float32 apart."""
    return "" if value is None else f"{value:.9g}"
