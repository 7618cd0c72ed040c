"""`[tool.fanin.check]` of a pyproject.toml: which findings a project asks for, and which fail."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fanin.diagnosis import CHECKS, Finding, Selection, Severity
from fanin.diagnosis.diagnose import EVERYTHING
from fanin.errors import BadInput, UnknownName

KEYS: Final = ("select", "ignore", "fail-on")
FAILS: Final[Mapping[str, frozenset[Severity]]] = {
    "error": frozenset({Severity.ERROR}),
    "warning": frozenset({Severity.ERROR, Severity.WARNING}),
}


@dataclass(frozen=True)
class Settings:
    """What is looked for, and from which severity on a command fails."""

    selection: Selection = EVERYTHING
    fail_on: str = "warning"

    def fails(self, finding: Finding) -> bool:
        """It counts for the exit code; a note never does."""
        return finding.severity in FAILS[self.fail_on]

    def and_of(self, select: Sequence[str], ignore: Sequence[str], fail_on: str | None) -> Settings:
        """With what the command line adds.

        Raises:
            UnknownName: a code that no check has, or no such severity.
        """
        added = Selection.of(select, ignore, CHECKS)
        return Settings(self.selection.and_of(added), self.fail_on if fail_on is None else severity(fail_on))


def severity(name: object) -> str:
    """One that can be failed on.

    Raises:
        UnknownName: it is neither "error" nor "warning".
    """
    if not isinstance(name, str) or name not in FAILS:
        raise UnknownName("severity to fail on", name, FAILS)
    return name


def settings_for(model_file: Path) -> Settings:
    """Of the nearest pyproject.toml, from the folder of the model upwards, that has a table [tool.fanin.check].

    Raises:
        BadInput: a file that is no TOML, or a value of another kind.
        UnknownName: a key, a code or a severity that is not known.
    """
    for folder in model_file.resolve().parents:
        file = folder / "pyproject.toml"
        if file.is_file() and (table := _table(file)) is not None:
            return _read(table, file)
    return Settings()


def _table(file: Path) -> Any:
    try:
        tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is not TOML: {error}.") from error
    return tool.get("fanin", {}).get("check")


def _read(table: Any, file: Path) -> Settings:
    if not isinstance(table, dict):
        raise BadInput(f"{file}: tool.fanin.check must be a table, such as [tool.fanin.check]; got {table!r}.")
    if unknown := [key for key in table if key not in KEYS]:
        raise UnknownName(f"key of [tool.fanin.check] in {file}", unknown[0], KEYS)
    select, ignore = (_strings(table.get(key, []), key, file) for key in ("select", "ignore"))
    try:
        return Settings(Selection.of(select, ignore, CHECKS), severity(table.get("fail-on", "warning")))
    except UnknownName as error:
        raise BadInput(f"[tool.fanin.check] in {file}: {error}") from error


def _strings(value: Any, key: str, file: Path) -> list[str]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise BadInput(
            f'[tool.fanin.check] in {file}: {key} must be a list of codes, such as {key} = ["B01"]; got {value!r}.'
        )
    return given
