"""Which checks run, and which findings are not to be shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Self

from fanin.diagnosis.model import Finding
from fanin.errors import UnknownName

if TYPE_CHECKING:
    from fanin.diagnosis.check import Check


@dataclass(frozen=True)
class Selection:
    """Codes or their beginnings, as "B01", or "F" for a family; "U02:gate.*" only where it is found in such modules.

    Attributes:
        select: checks to run; empty means all.
        ignore: findings not to show; with a place, those all of whose affected modules or parameters match it.

    Example:
        >>> from fanin.diagnosis import CHECKS
        >>> chosen = Selection.of("F, B", "U02:gate.*", CHECKS)
        >>> chosen
        Selection(select=('F', 'B'), ignore=('U02:gate.*',))
        >>> {code[0] for code, check in CHECKS.items() if chosen.wants(check)} == {"F", "B"}
        True
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    @classmethod
    def of(cls, select: str | Sequence[str], ignore: str | Sequence[str], known: Iterable[str]) -> Self:
        """As people write it: names or lists of them with commas, in capitals or not.

        Raises:
            UnknownName: no check has such a code, or begins so; the message names the nearest.
        """
        codes = list(known)
        names = [*codes, *dict.fromkeys(code[0] for code in codes)]

        def checked(item: str) -> str:
            code, colon, place = item.partition(":")
            code = code.strip().upper()
            if not code or not any(name.startswith(code) for name in codes):
                raise UnknownName("check", code, names)
            return f"{code}{colon}{place.strip()}"

        return cls(tuple(map(checked, _listed(select))), tuple(map(checked, _listed(ignore))))

    def and_of(self, other: Selection) -> Selection:
        """What either of them selects and ignores."""
        return Selection((*self.select, *other.select), (*self.ignore, *other.ignore))

    def wants(self, check: Check) -> bool:
        """Whether to run it."""
        return not self.select or any(check.code.startswith(beginning) for beginning in self.select)

    def names(self, check: Check) -> bool:
        """Whether it is asked for by its own code, and not with all or with its family."""
        return check.code in self.select

    def ignores(self, finding: Finding) -> bool:
        """Whether not to show it: by its code, or because entries with a place cover all that it affects."""
        entries = [item.partition(":") for item in self.ignore]
        globs = [place for code, _, place in entries if finding.code.startswith(code)]
        return any(not glob for glob in globs) or (
            bool(finding.affected and globs)
            and all(any(fnmatchcase(path, glob) for glob in globs) for path in finding.affected)
        )


def _listed(items: str | Sequence[str]) -> list[str]:
    given = [items] if isinstance(items, str) else list(items)
    return [part.strip() for item in given for part in item.split(",") if part.strip()]
