"""How an initializer is written: as `he_normal(negative_slope=0.1)`, and as plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from fanin.call import bind
from fanin.errors import BadInput, UnknownName
from fanin.initializers.base import Initializer


def initializer(what: str | Initializer) -> Initializer:
    """An initializer as given, or by its spelling.

    Example:
        >>> initializer("he_normal")
        VarianceScaling(gain=1.4142135623730951, mode='fan_in', distribution='normal')
        >>> initializer("normal(std=0.02)")
        Normal(std=0.02, mean=0.0)

    Raises:
        UnknownName: no such initializer; the message names the nearest.
        BadInput: arguments it does not take, or something else than an initializer.
    """
    from fanin.initializers import ALL  # the literal that lists this package's own modules

    if isinstance(what, Initializer):
        return what
    if not isinstance(what, str):
        raise BadInput(f"Expected an initializer such as Normal(std=0.02), or 'normal(std=0.02)'; got {what!r}.")
    return bind("initializer", what, ALL)()


def to_dict(what: Initializer) -> dict[str, Any]:
    """Plain data: the class's name as "law", and its fields."""
    return {"law": type(what).__name__} | {name: getattr(what, name) for name in _arguments(type(what))}


def _arguments(law: Any) -> list[str]:
    return [f.name for f in fields(law) if f.init]


def from_dict(data: Mapping[str, Any], laws: Iterable[type[Initializer]] = ()) -> Initializer:
    """The inverse of `to_dict`, for the laws of this package and for further `laws` of the caller's own.

    Raises:
        UnknownName: no such law.
        BadInput: fields that the law does not have.
    """
    from fanin.initializers import ALL

    known = {f.__name__: f for f in (*ALL.values(), *laws) if isinstance(f, type)}
    arguments = dict(data)
    name = str(arguments.pop("law", ""))
    if name not in known:
        raise UnknownName("law", name, known)
    law: Any = known[name]
    if unknown := arguments.keys() - set(_arguments(law)):
        raise BadInput(f"{name} has no field {', '.join(sorted(unknown))}; it has {_arguments(law)}.")
    made: Initializer = law(**arguments)
    return made
