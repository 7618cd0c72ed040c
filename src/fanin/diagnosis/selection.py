"""Which checks run, and which findings are not to be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fanin.diagnosis.model import Finding

if TYPE_CHECKING:
    from fanin.diagnosis.check import Check


@dataclass(frozen=True)
class Selection:
    """Codes or their beginnings, as "B01", or "F" for a family; "U02:gate.*" only where it is found in such modules.

    Attributes:
        select: checks to run; empty means all.
        ignore: not to run, or, with a place, not to show where all that is affected matches it.

    Example:
        >>> from fanin.diagnosis import CHECKS
        >>> chosen = Selection(select=("F", "B"), ignore=("B02",))
        >>> [code for code, check in CHECKS.items() if chosen.wants(check)][:3]
        ['F01', 'F02', 'B01']
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def wants(self, check: Check) -> bool:
        """Whether to run it."""
        chosen = not self.select or _any(check.code, self.select)
        return chosen and not _any(check.code, [item for item in self.ignore if ":" not in item])

    def ignores(self, finding: Finding) -> bool:
        """Whether an entry with a place covers all that the finding affects."""
        places = [item.partition(":") for item in self.ignore if ":" in item]
        globs = [place for code, _, place in places if finding.code.startswith(code)]
        return bool(finding.affected and globs) and all(
            any(fnmatchcase(path, glob) for glob in globs) for path in finding.affected
        )


def _any(code: str, beginnings: Sequence[str]) -> bool:
    return any(code.startswith(beginning) for beginning in beginnings)
