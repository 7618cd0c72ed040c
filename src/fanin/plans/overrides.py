"""Which parameters a caller means: by a glob over paths, by what they do, or by the module that they belong to."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, TypeAlias

from fanin.errors import BadInput, UnknownName
from fanin.graph import Parameter, Role
from fanin.initializers import Initializer, from_dict, initializer
from fanin.plans.model import Decision

Key: TypeAlias = str | Role | type
Values: TypeAlias = Mapping[Any, Decision | Initializer | str]  # by `Key`; mappings are invariant in theirs
Overrides: TypeAlias = Values | str | os.PathLike[str]
WHY: Final = "given by the caller"


@dataclass(frozen=True)
class Selector:
    """Says of a parameter whether a key means it.

    Attributes:
        key: as the caller wrote it.
        seen: what the key could have said of a parameter, such as its paths.
    """

    key: str
    matches: Callable[[Parameter], bool]
    seen: Callable[[Parameter], tuple[str, ...]]

    def require(self, parameters: Sequence[Parameter]) -> None:
        """A key that means no parameter is a mistake.

        Raises:
            BadInput: it is one; names what is there, the nearest first.
        """
        if any(map(self.matches, parameters)):
            return
        known = list(dict.fromkeys(text for p in parameters for text in self.seen(p)))
        near = difflib.get_close_matches(self.key, known, n=1, cutoff=0.6)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        there = {"role:": "Roles here are", "type:": "Types here are"}.get(self.key[:5], "Paths look like")
        some = known[:3] if there.startswith("Paths") else known[:20]
        raise BadInput(
            f"The override {self.key!r} matches no parameter. {there} {', '.join(some)}"
            f"{', …' if len(known) > len(some) else ''}.{hint}"
        )


def selector(key: Key) -> Selector:
    """What a key of `overrides` means.

    A role and "role:readout" mean the parameters that have it; a module's class and "type:torch.nn.Linear" those that
    belong to a module of it or of a class derived from it; any other string is a glob over paths.

    Raises:
        BadInput: something else.
        UnknownName: no such role; the message names the nearest.

    Example:
        >>> kind = ("torch.nn.modules.linear.Linear",)
        >>> head = Parameter("head.weight", (2, 3), "float32", further=(Role.READOUT,), owner=kind)
        >>> [selector(key).matches(head) for key in ("head.*", "role:readout", "type:torch.nn.Linear", "type:Conv2d")]
        [True, True, True, False]
    """
    if isinstance(key, Role):
        return _by_role(key, f"role:{key}")
    if isinstance(key, type):
        own = f"{key.__module__}.{key.__qualname__}"
        return Selector(f"type:{own}", lambda p: own in p.owner, _types)
    if not isinstance(key, str):
        raise BadInput(f"overrides: expected a glob over paths, a fanin.Role, or a module's class; got {key!r}.")
    kind, separator, name = key.partition(":")
    if separator and kind == "role":
        return _by_role(_role(name), key)
    if separator and kind == "type":
        return Selector(key, lambda p: any(_is_called(owner, name) for owner in p.owner), _types)
    return Selector(
        key, lambda p: any(fnmatchcase(path, key) for path in (p.path, *p.also)), lambda p: (p.path, *p.also)
    )


def _by_role(role: Role, key: str) -> Selector:
    return Selector(key, lambda p: role in p.roles, lambda p: tuple(f"role:{own}" for own in p.roles))


def _types(p: Parameter) -> tuple[str, ...]:
    return (f"type:{p.owner[0]}",) if p.owner else ()


def _role(name: str) -> Role:
    """By its value or its name: "residual output" or "residual_out"."""
    wanted = name.strip().lower().replace("_", " ")
    for role in Role:
        if wanted in (str(role), role.name.lower().replace("_", " ")):
            return role
    raise UnknownName("role", name, map(str, Role))


def _is_called(owner: str, name: str) -> bool:
    """Whether a class is meant by its own name or by one under which a package offers it: torch.nn.Linear, Linear."""
    package, _, kind = name.rpartition(".")
    module, _, own = owner.rpartition(".")
    return owner == name or (own == kind and (f"{module}.").startswith(f"{package}." if package else ""))


def decisions(overrides: Overrides) -> dict[Key, Decision]:
    """Key → decision, from a mapping or a TOML file.

    Raises:
        BadInput: a file that cannot be read, or a value that is no initializer.
        UnknownName: an initializer's spelling that is not known.
    """
    given = overrides if isinstance(overrides, Mapping) else from_toml(overrides)
    return {
        key: what if isinstance(what, Decision) else Decision(initializer(what), WHY) for key, what in given.items()
    }


def from_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The overrides in a file: `"*head.weight" = "zeros"`, `"role:readout" = { law = "Normal", std = 0.02 }`.

    Raises:
        BadInput: no such file, or it is not TOML; the message names the line.
        UnknownName: no such law.
    """
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"overrides: cannot read {os.fspath(path)!r}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"overrides: {os.fspath(path)} is not TOML: {error}.") from error
    return dict(_flat(data, ""))


def _flat(data: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    """A path without quotes is nested tables in TOML: head.weight = "zeros"."""
    for name, value in data.items():
        key = f"{above}.{name}" if above else name
        if isinstance(value, Mapping) and "law" in value:
            yield key, from_dict(value)
        elif isinstance(value, Mapping):
            yield from _flat(value, key)
        else:
            yield key, value
