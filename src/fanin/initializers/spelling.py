"""How an initializer is written: as `he_normal(negative_slope=0.1)`, and as plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from fanin.call import bind
from fanin.errors import BadInput, UnknownName
from fanin.initializers.base import Initializer


def initializer(what: str | Initializer) -> Initializer:
    """An initializer as given, or by its spelling.

    Example:
        >>> initializer("he_normal")
        VarianceScaling(gain=1.4142135623730951, mode='fan_in', distribution='normal', fan_in=None, fan_out=None)
        >>> initializer("normal(std=0.02)")
        Normal(std=0.02, mean=0.0)

    Raises:
        UnknownName: no such initializer; the message names the nearest.
        BadInput: arguments it does not take, or something else than an initializer.
    """
    from fanin.initializers import ALIASES, ALL  # the literals that list this package's own modules

    if isinstance(what, Initializer):
        return what
    if not isinstance(what, str):
        raise BadInput(f"Expected an initializer such as Normal(std=0.02), or 'normal(std=0.02)'; got {what!r}.")
    return bind("initializer", what, ALL | {alias: ALL[name] for alias, name in ALIASES.items()})()


def to_dict(what: Initializer) -> dict[str, Any]:
    """Plain data: the class's name as "law", and its fields but for those that are None."""
    arguments = {name: getattr(what, name) for name in _arguments(type(what))}
    return {"law": type(what).__name__} | {name: _plain(v) for name, v in arguments.items() if v is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Initializer):
        return to_dict(value)
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _arguments(law: Any) -> list[str]:
    return [f.name for f in fields(law) if f.init]


def from_dict(data: Mapping[str, Any], laws: Iterable[type[Initializer]] = ()) -> Initializer:
    """The inverse of `to_dict`, for the laws of this package and for further `laws` of the caller's own.

    Raises:
        UnknownName: no such law.
        BadInput: fields that the law does not have.
    """
    from fanin.initializers import ALL

    laws = tuple(laws)
    known = {f.__name__: f for f in (*ALL.values(), *laws) if isinstance(f, type)}
    arguments = dict(data)
    name = str(arguments.pop("law", ""))
    if name not in known:
        raise UnknownName("law", name, known)
    law: Any = known[name]
    if unknown := arguments.keys() - set(_arguments(law)):
        raise BadInput(f"{name} has no field {', '.join(sorted(unknown))}; it has {_arguments(law)}.")
    made: Initializer = law(**{name: _parsed(value, laws) for name, value in arguments.items()})
    return made


def _parsed(value: Any, laws: Iterable[type[Initializer]]) -> Any:
    if isinstance(value, Mapping) and "law" in value:
        return from_dict(value, laws)
    return [_parsed(v, laws) for v in value] if isinstance(value, list) else value
